"""Every notebook: one parameters cell, documented parameters, the skeleton, no outputs."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from runbook.runs.catalogue import Notebook, load
from runbook.runs.parameters import parameter_cells, read_notebook

PROJECT = Path(__file__).parent.parent
PATHS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
#: Parameters of notebooks that may change something.
CHANGING = {
    "10_deploy",
    "20_load_test",
    "50_apply",
    "60_verify",
    "80_addresses",
    "90_rollback",
    "99_teardown",
}


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def content(path: Path) -> dict[str, Any]:
    return read_notebook(path)


@pytest.fixture
def notebook(path: Path) -> Notebook:
    return load(path)


def sources(content: dict[str, Any], kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


def test_the_flow_is_complete() -> None:
    assert [path.stem for path in PATHS] == [
        "00_preflight",
        "10_deploy",
        "20_load_test",
        "30_analyse",
        "40_policy_lab",
        "50_apply",
        "60_verify",
        "70_review",
        "80_addresses",
        "90_rollback",
        "99_teardown",
    ]


def test_exactly_one_parameters_cell(content: dict[str, Any]) -> None:
    assert len(parameter_cells(content)) == 1


def test_every_parameter_is_documented(notebook: Notebook) -> None:
    assert all(parameter.help for parameter in notebook.parameters)
    names = {parameter.name for parameter in notebook.parameters}
    assert {"env", "run_dir", "sceptre_dir"} <= names
    assert ({"dry_run", "approve"} <= names) == (notebook.name in CHANGING)


def test_papermill_reads_the_same_parameters(path: Path, notebook: Notebook) -> None:
    import papermill

    read = papermill.inspect_notebook(str(path))
    assert {
        name: (item["inferred_type_name"], ast.literal_eval(item["default"]))
        for name, item in read.items()
    } == {item.name: (item.type_name, item.default) for item in notebook.parameters}


def test_the_head_says_what_it_is_for(notebook: Notebook) -> None:
    assert notebook.title != notebook.name
    assert list(notebook.facts) == ["Purpose", "Owner", "When to run", "May change"]


def test_no_outputs_and_stable_cells(path: Path, content: dict[str, Any]) -> None:
    for index, cell in enumerate(content["cells"]):
        assert cell["id"] == f"{path.stem.replace('_', '-')}-{index:02d}"
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    assert "papermill" not in content["metadata"]


def test_the_skeleton(path: Path, content: dict[str, Any]) -> None:
    code = sources(content, "code")
    assert f'run = runs.begin("{path.stem}", globals())' in code[1]
    assert code[-1].startswith("run.finish(")
    whole = "\n".join(code)
    if path.stem in CHANGING:
        order = [whole.index(call) for call in ("run.preflight(", "run.plan(", "run.gate()")]
        assert order == sorted(order)
        assert whole.index("run.gate()") < whole.index("if run.go:")


def test_logic_lives_in_the_package(content: dict[str, Any]) -> None:
    for source in sources(content, "code"):
        tree = ast.parse(source)
        defined = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        assert not defined
        assert not re.search(r"sys\.path|!\w|%\w", source)
        assert len(source.splitlines()) <= 16


def test_prose_comes_before_code(content: dict[str, Any]) -> None:
    kinds = [cell["cell_type"] for cell in content["cells"]]
    assert kinds[0] == "markdown"
    assert sources(content, "markdown")[-1].startswith("## Result")


def test_stored_as_people_diff_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    ordered = json.dumps(json.loads(text), indent=1, ensure_ascii=False, sort_keys=True)
    assert text == f"{ordered}\n"
