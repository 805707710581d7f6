"""A project of its own, with a region of its own, driven as a user would: by the command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = Path(sys.executable).with_name("runbook")


@dataclass
class Project:
    """A copy of what a checkout holds, and the commands run in it."""

    root: Path
    _variables: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, timeout_s: float = 180) -> subprocess.CompletedProcess[str]:
        """`runbook ARGUMENTS` in this project."""
        variables = {k: v for k, v in os.environ.items() if not k.startswith("AWS_ENDPOINT")}
        variables.update(
            RUNBOOK_PROJECT=str(self.root), RUNBOOK_LOCAL_REGION_DIR=str(self.region_dir)
        )
        return subprocess.run(
            [str(RUNBOOK), *arguments],
            cwd=self.root,
            env=variables,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    @property
    def region_dir(self) -> Path:
        return self.root / ".local-region"

    def up(self) -> None:
        answer = self.run("local", "up", "--port", "0")
        assert answer.returncode == 0, answer.stderr

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.region_dir / "state.json").read_text())
        return found

    def client(self, service: str) -> Any:
        """What someone who did not write this would use."""
        return boto3.client(
            service,
            region_name="eu-west-1",
            endpoint_url=self.state()["endpoint_url"],
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )

    def outputs(self, layer: str) -> dict[str, str]:
        answer = self.run("stacks", "outputs", "local", layer, "--json")
        assert answer.returncode == 0, answer.stderr
        found: dict[str, str] = json.loads(answer.stdout)
        return found

    def set_parameters(self, layer: str, **values: object) -> None:
        """Change parameters in a stack's configuration."""
        path = self.root / "sceptre" / "config" / "local" / f"{layer}.yaml"
        lines = path.read_text().splitlines()
        for name, value in values.items():
            at = [i for i, line in enumerate(lines) if line.startswith(f"  {name}:")]
            assert len(at) == 1, f"{path} has {name} {len(at)} times"
            lines[at[0]] = f"  {name}: {value}"
        path.write_text("\n".join(lines) + "\n")

    def processes(self) -> list[str]:
        """Command lines of everything that still runs from this project's region."""
        return [
            " ".join(process.info["cmdline"] or [])
            for process in psutil.process_iter(["cmdline", "cwd", "status"])
            if process.info["status"] != psutil.STATUS_ZOMBIE
            and process.pid != os.getpid()
            and (
                str(self.region_dir) in " ".join(process.info["cmdline"] or [])
                or (process.info["cwd"] or "").startswith(str(self.region_dir))
            )
        ]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    root = tmp_path / "project"
    root.mkdir()
    for folder in ("sceptre", "app", "notebooks"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    made = Project(root)
    try:
        yield made
    finally:
        made.run("local", "down")
