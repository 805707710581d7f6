"""A real engine without a daemon, a base made on this machine, and a copy of the project."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
RUNBOOK = Path(sys.executable).with_name("runbook")
BASE = "localhost/runbook-test-base"
_BASE_PACKAGES = "ca-certificates,python3,python3-pip,python3-venv,python-is-python3"
_TOOLS = ("podman", "buildah", "mmdebstrap", "runc")
# What podman asks of the kernel by default is more than a container may give; runc, because crun
# wants an interface to cgroups that not every machine has.
_CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
"""


def missing() -> str:
    """Why real containers cannot be had here; empty when they can."""
    if not sys.platform.startswith("linux"):
        return f"containers share the host's network here: Linux only, this is {platform.system()}"
    if os.geteuid() != 0:
        return "building without a daemon here needs root"
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if absent:
        return f"{', '.join(absent)} not installed: apt-get install {' '.join(_TOOLS)}"
    return ""


@dataclass(frozen=True)
class Machine:
    """The project's copy, and how things are run in it."""

    project: Path
    variables: dict[str, str]

    def run(self, *command: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.project,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def said(self, *command: str, timeout_s: float = 300) -> str:
        """Standard output of a command that succeeds."""
        done = self.run(*command, timeout_s=timeout_s)
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout.strip()

    @staticmethod
    def free_port() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    def runbook(self, *arguments: str, timeout_s: float = 300) -> str:
        return self.said(str(RUNBOOK), *arguments, timeout_s=timeout_s)


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    if why := missing():
        # CI installs them, so there a missing one is a mistake and not a circumstance.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    folder = tmp_path_factory.mktemp("image")
    configuration = folder / "containers.conf"
    configuration.write_text(_CONFIGURATION)
    project = folder / "project"
    project.mkdir()
    for name in ("app", "notebooks", "runbook", "sceptre"):
        ignored = shutil.ignore_patterns("__pycache__", "data")
        shutil.copytree(ROOT / name, project / name, ignore=ignored)
    for name in ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, project / name)
    variables = {k: v for k, v in os.environ.items() if not k.startswith("AWS_ENDPOINT")}
    return Machine(
        project,
        {
            **variables,
            "PATH": f"{RUNBOOK.parent}:{os.environ['PATH']}",
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_CONF": str(configuration),
            "RUNBOOK_CONTAINER_ENGINE": "podman",
            "RUNBOOK_PROJECT": str(project),
            "RUNBOOK_LOCAL_REGION_DIR": str(project / ".local-region"),
        },
    )


@pytest.fixture(scope="session")
def base(machine: Machine) -> str:
    """A Debian with Python, made of packages: nothing is pulled. Kept for the next run."""
    tag = f"{BASE}:{_codename()}"
    if machine.run("podman", "image", "exists", tag).returncode:
        archive = machine.project.parent / "base.tar"
        machine.said(
            "mmdebstrap", "--quiet", "--variant=minbase", f"--include={_BASE_PACKAGES}",
            _codename(), str(archive),
        )  # fmt: skip
        machine.said("podman", "import", "--quiet", str(archive), tag)
        archive.unlink()
    return tag


@pytest.fixture(scope="session")
def built(machine: Machine, base: str) -> Iterator[dict[str, Any]]:
    """The service's image, built as a user builds it: what `image build --json` says."""
    made: dict[str, Any] = json.loads(
        machine.runbook("image", "build", "--base", base, "--json", timeout_s=400)
    )
    yield made
    machine.run("podman", "rmi", "--force", made["name"])
    machine.run("podman", "image", "prune", "--force")


def _codename() -> str:
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    # A release of Debian of its own where this machine runs something else.
    return found.get("VERSION_CODENAME", "") if found.get("ID") == "debian" else "bookworm"
