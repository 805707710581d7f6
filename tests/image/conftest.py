"""A container engine that only writes down what it is told, and a small project."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runbook.ecs.engine import Engine
from runbook.environment import Environment


class Spoken:
    """Answers by the command's first words; remembers command, input and environment."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.stdin: list[str | None] = []
        self.environments: list[dict[str, str]] = []
        self.answers: dict[str, str] = {}
        self.refusals: dict[str, str] = {}
        self.on_call: Callable[[list[str]], None] = lambda command: None

    def __call__(self, command: list[str], **options: Any) -> Any:
        self.calls.append(command)
        self.stdin.append(options.get("input"))
        self.environments.append(options.get("env") or {})
        self.on_call(command)
        said = " ".join(command)
        for start, why in self.refusals.items():
            if said.startswith(start):
                return SimpleNamespace(returncode=125, stdout="", stderr=why)
        answer = next((text for start, text in self.answers.items() if said.startswith(start)), "")
        return SimpleNamespace(returncode=0, stdout=answer, stderr="")

    def said(self, start: str) -> list[str]:
        """The one command that begins so."""
        (found,) = [call for call in self.calls if " ".join(call).startswith(start)]
        return found


@pytest.fixture
def spoken() -> Spoken:
    return Spoken()


@pytest.fixture
def podman(spoken: Spoken) -> Engine:
    return Engine("podman", spoken)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for folder in ("app", "runbook", "notebooks", "sceptre"):
        (root / folder).mkdir(parents=True)
        (root / folder / "x.py").write_text(f"# {folder}\n")
    (root / "Dockerfile").write_text("ARG BASE\nFROM ${BASE} AS service\n")
    (root / "pyproject.toml").write_text(
        '[tool.ecs-runbook]\nbase-image = "docker.io/library/python:3.13-slim"\n'
    )
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


@pytest.fixture
def environment(project: Path) -> Environment:
    return Environment("local", "shop", "eu-west-1", "000000000000", 10, project, project)
