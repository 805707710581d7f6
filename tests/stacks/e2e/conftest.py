"""A project of its own, with a region of its own, for the tests of one module in their order."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from runbook import aws
from runbook.environment import load_environment
from runbook.stacks.edit import write_parameter

ROOT = Path(__file__).resolve().parents[3]


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Project:
    """A copy of what a checkout holds; `run` is the command, as a user gives it."""

    root: Path

    def run(self, *arguments: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "runbook", *arguments],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def kill_saying(self, text: str, *arguments: str) -> None:
        """Run a command and kill it as soon as it says `text`."""
        command = [sys.executable, "-m", "runbook", *arguments]
        with subprocess.Popen(
            command, cwd=self.root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            assert any(text in line for line in process.stderr), "it ended before"
            process.send_signal(signal.SIGKILL)

    def kill_when(self, text: str, notebook: str, *options: str) -> None:
        """Run a notebook and kill the run as soon as it has recorded an event with `text`."""
        command = [sys.executable, "-m", "runbook", "run", notebook, *options]
        known = set(self.root.glob("runs/local/*/*/events.log"))
        with subprocess.Popen(
            command, cwd=self.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            deadline_s = time.monotonic() + 100
            while not any(
                text in path.read_text()
                for path in set(self.root.glob("runs/local/*/*/events.log")) - known
            ):
                assert process.poll() is None, "it ended before"
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)

    def set(self, layer: str, name: str, value: str) -> None:
        """Change a parameter in a stack's configuration."""
        write_parameter(self.root / f"sceptre/config/local/{layer}.yaml", name, value)

    def replace(self, path: str, old: str, new: str) -> None:
        """Change text in a file."""
        file = self.root / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def statuses(self) -> dict[str, str | None]:
        """Every layer's status, None where there is no stack."""
        found = json.loads(self.run("status", "local", "--json").out)
        return {layer: stack and stack["status"] for layer, stack in found.items()}

    def url(self) -> str:
        return aws.outputs(load_environment("local", self.root), "balancer")["ServiceUrl"]

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / ".local-region/state.json").read_text())
        return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project, in this process's environment."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("app", "notebooks", "sceptre"):
        ignored = shutil.ignore_patterns("__pycache__", "data")
        shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
    shutil.copy(ROOT / "Dockerfile", root)
    made = Project(root)
    # A rollout is watched for as long as its alarms look back: one period here, not three.
    for name in ("DeploymentAlarmPeriods", "DeploymentAlarmDatapoints"):
        made.replace(
            "sceptre/config/local/balancer.yaml", "\nparameters:\n", f"\nparameters:\n  {name}: 1\n"
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_PROJECT", str(root))
        patch.setenv("RUNBOOK_LOCAL_REGION_DIR", str(root / ".local-region"))
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        up = made.run("local", "up", "--port", "0")
        assert up.code == 0, up.err
        yield made
        assert made.run("local", "down").code == 0


@pytest.fixture(scope="module")
def created(project: Project) -> Answer:
    """What creating the environment said."""
    return project.run("create", "local", "--json")
