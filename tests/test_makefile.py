"""The verbs as people type them: what `make` makes of its variables is what `runbook` is given."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: In the place of `runbook`: its arguments, one a line.
STUB = '#!/bin/sh\nprintf "%s\\n" "$@"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout that is set up, with a `runbook` that only says what it was given."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.lock", "pyproject.toml", ".ci/python-check"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (1, 1))
    stub = tmp_path / ".venv" / "bin" / "runbook"
    stub.parent.mkdir(parents=True)
    stub.write_text(STUB)
    stub.chmod(0o755)
    (tmp_path / ".venv" / ".ready").touch()
    return tmp_path


def make(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL", "ENV"}}
    return subprocess.run(
        ["make", "--silent", *words],
        cwd=project,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["create", "ENV=dev"], "create dev"),
        (
            ["create", "ENV=dev", "LAYERS=registry data", "DIGEST=ab12", "IMAGE=@sha256:ef"],
            "create dev registry data --image @sha256:ef --approve ab12",
        ),
        (["create", "ENV=dev", "DRY_RUN=1"], "create dev --dry-run"),
        (["create", "ENV=dev", "DRY_RUN=0"], "create dev"),
        (
            ["change", "ENV=dev", "NAME=x", "LAYERS=service", "IMAGE=:v1", "DRY_RUN=1"],
            "change dev x service --image :v1 --dry-run",
        ),
        (["approve", "ENV=dev", "NAME=x", "DIGEST=ab12"], "approve dev x --digest ab12"),
        (["approve", "ENV=dev", "NAME=x", "DRY_RUN=1"], "approve dev x --dry-run"),
        (
            ["delete", "ENV=dev", "LAYERS=edge runbooks", "DIGEST=ab12"],
            "delete dev edge runbooks --approve ab12",
        ),
        (["diff", "ENV=dev", "LAYERS=scaling"], "diff dev scaling"),
        (["outputs", "ENV=dev"], "outputs dev"),
        (["status", "ENV=dev", "DRY_RUN=1"], "status dev --dry-run"),
        (["drift", "ENV=dev"], "drift dev"),
        (["test", "ENV=dev"], "test dev"),
        (["last-create-failure", "ENV=dev"], "last-create-failure dev"),
        (["last-update-failure", "ENV=dev", "DRY_RUN=1"], "last-update-failure dev --dry-run"),
        (["push", "ENV=dev", "TARGET=runbook"], "image push --env dev --target runbook"),
        (["image", "BASE=x@sha256:ab", "DRY_RUN=1"],
         "image build --target service --base x@sha256:ab --dry-run"),
    ],
)  # fmt: skip
def test_a_verb_is_the_command_of_its_name(project: Path, words: list[str], given: str) -> None:
    done = make(project, *words)
    assert done.returncode == 0, done.stderr
    assert " ".join(done.stdout.splitlines()) == given


@pytest.mark.parametrize(
    ("words", "asked"),
    [(["create"], "which environment?"), (["approve", "ENV=dev"], "which change?")],
)
def test_what_is_missing_is_asked_for_before_anything_runs(
    project: Path, words: list[str], asked: str
) -> None:
    done = make(project, *words)
    assert done.returncode != 0
    assert asked in done.stderr
    assert done.stdout == ""


def test_byte_code_is_kept_whatever_the_environment_says(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = project / ".venv" / "bin" / "runbook"
    stub.write_text('#!/bin/sh\necho "${PYTHONDONTWRITEBYTECODE-unset}"\n')
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert make(project, "status", "ENV=dev").stdout == "unset\n"


def test_set_up_compiles_what_the_commands_import(project: Path, tmp_path: Path) -> None:
    (project / ".venv" / ".ready").unlink()
    planned = make(project, "--dry-run", "setup").stdout.splitlines()
    assert ".ci/import_all.py runbook local_region" in planned[-2]
    assert "--editable" in planned[-3]
    package = tmp_path / "things" / "deep"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()
    (package / "lacking.py").write_text("import what_no_machine_has\n")
    (package / "one.py").write_text("import json\n")
    (package / "__main__.py").write_text("raise SystemExit(3)\n")
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", ROOT / ".ci" / "import_all.py", "things"],
        env={**variables, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    compiled = {path.name.split(".")[0] for path in (package / "__pycache__").iterdir()}
    assert compiled == {"__init__", "lacking", "one"}
