"""The documentation is complete: what exists and is not written down fails here."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from runbook.environment import LAYERS
from runbook.runs.catalogue import all_notebooks

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
VARIABLES = (ROOT / "docs" / "environment-variables.md").read_text(encoding="utf-8")
_OWN = re.compile(r"(RUNBOOK|LOCAL_REGION|IN_TASK)_[A-Z_]+")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def calls_for_variables() -> Iterator[str]:
    """The names of environment variables that the code reads."""
    for package in ("runbook", "local_region", "app"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and _OWN.fullmatch(str(node.value)):
                    yield str(node.value)
                if (
                    path.name == "config.py"
                    and isinstance(node, ast.Call)
                    and ast.unparse(node.func) == "env.get"
                ):
                    yield ast.literal_eval(node.args[0])


def test_the_reference_is_what_the_code_says() -> None:
    written = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert written == generator().reference(), "run `make docs` and commit docs/reference.md"


def test_every_stack_parameter_and_output_has_a_meaning() -> None:
    empty = [line for line in generator().reference().splitlines() if line.endswith("|  |")]
    assert not empty


@pytest.mark.parametrize("name", sorted(set(calls_for_variables())))
def test_every_environment_variable_is_documented(name: str) -> None:
    assert f"`{name}`" in VARIABLES


def test_every_documented_variable_exists() -> None:
    own = set(re.findall(r"^\| `([A-Z_]+)`", VARIABLES, re.MULTILINE))
    assert own - {"AWS_ENDPOINT_URL"} == set(calls_for_variables())


@pytest.mark.parametrize("layer", LAYERS)
def test_every_stack_is_in_the_readme(layer: str) -> None:
    assert f"`{layer}`" in README


@pytest.mark.parametrize("notebook", [notebook.name for notebook in all_notebooks(ROOT)])
def test_every_notebook_is_in_the_readme(notebook: str) -> None:
    assert f"`{notebook}`" in README


def test_every_verb_of_the_makefile_is_in_the_readme() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    verbs = re.findall(r"^([a-z0-9-]+):.*## ", makefile, re.MULTILINE)
    assert [verb for verb in verbs if f"make {verb}" not in README] == []


@pytest.mark.parametrize("page", [*sorted(ROOT.glob("docs/**/*.md")), ROOT / "README.md"])
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []
