"""The local region seen from outside: its state file, starting it, stopping it.

The runbook knows the region only as an endpoint and a process, never as a package.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from runbook.environment import find_project
from runbook.errors import LocalRegionFailed, LocalRegionNotRunning

DEFAULT_PORT = 4566
_START_COMMAND = "start it: runbook local up"


@dataclass(frozen=True)
class RegionState:
    """What the running region wrote about itself."""

    pid: int
    process_started_at: float
    endpoint_url: str
    region: str
    account_id: str
    ready: bool
    metric_period_s: int
    cpu_enforcement: str
    tasks: str = "processes"
    compression: dict[str, Any] = field(default_factory=dict)
    log: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether that very process still runs: a pid alone may have been given to another."""
        try:
            process = psutil.Process(self.pid)
            same = bool(abs(process.create_time() - self.process_started_at) < 1.0)
            return same and bool(process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False


def state_dir() -> Path:
    """Where the region keeps state and logs: RUNBOOK_LOCAL_REGION_DIR or `.local-region/`."""
    named = os.environ.get("RUNBOOK_LOCAL_REGION_DIR")
    return Path(named).resolve() if named else find_project() / ".local-region"


def read_state(folder: Path | None = None) -> RegionState | None:
    """The state file as written, alive or stale; None when there is none or it is garbled."""
    path = (folder or state_dir()) / "state.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = RegionState.__dataclass_fields__
        return RegionState(**{key: value for key, value in content.items() if key in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def running() -> RegionState | None:
    """The state of the region that runs and is ready, or None."""
    state = read_state()
    return state if state and state.ready and state.is_alive else None


def require_running() -> RegionState:
    """The running region's state. Raises LocalRegionNotRunning."""
    state = running()
    if state is None:
        found = read_state()
        why = (
            f"its last process {found.pid} is gone"
            if found and not found.is_alive
            else "it is still starting"
            if found
            else f"{state_dir()} holds no state of one"
        )
        raise LocalRegionNotRunning("The local region is not running", why, _START_COMMAND)
    return state


def up(
    port: int = DEFAULT_PORT,
    *,
    timeout_s: float = 60.0,
    on_wait: Callable[[float], None] | None = None,
    owner_pid: int | None = None,
    container_engine: str = "",
) -> RegionState:
    """Start the region detached and wait until it is ready; a running one is returned as it is.

    `on_wait` is called with the seconds waited so far. With `owner_pid` the region ends when
    that process is gone. `container_engine` (docker, podman): tasks are containers of it
    instead of processes.
    Raises LocalRegionFailed, with the end of the region's log, when it does not come up.
    """
    if state := running():
        return state
    folder = state_dir()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "region.log"
    command = [sys.executable, "-m", "local_region", "--dir", str(folder), "--port", str(port)]
    if owner_pid is not None:
        command += ["--owner-pid", str(owner_pid)]
    if container_engine:
        command += ["--container-engine", container_engine]
    with log.open("ab") as stream:
        offset = stream.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=find_project(),
        )
    try:
        return _wait_ready(process, folder, log, offset, timeout_s, on_wait)
    except BaseException:
        # Nothing half-started may outlive a failed or interrupted start.
        _end(process.pid)
        raise


def _wait_ready(
    process: subprocess.Popen[bytes],
    folder: Path,
    log: Path,
    offset: int,
    timeout_s: float,
    on_wait: Callable[[float], None] | None,
) -> RegionState:
    started = time.monotonic()
    while (waited_s := time.monotonic() - started) < timeout_s:
        state = read_state(folder)
        if state and state.ready and state.pid == process.pid:
            return state
        if process.poll() is not None:
            why = _last_words(log, offset) or f"it ended with exit code {process.returncode}"
            raise LocalRegionFailed("The local region did not start", why, f"read {log}")
        if on_wait:
            on_wait(waited_s)
        time.sleep(0.1)
    raise LocalRegionFailed(
        "The local region did not start", f"it was not ready after {timeout_s:.0f} s", f"read {log}"
    )


def _last_words(log: Path, offset: int) -> str:
    """The last line the region logged in this start."""
    with log.open("rb") as stream:
        stream.seek(offset)
        lines = stream.read().decode("utf-8", "replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else ""


def down(*, timeout_s: float = 60.0) -> bool:
    """Stop the running region and wait until it is gone. False when none ran.

    Raises LocalRegionFailed when it does not end in time.
    """
    state = read_state()
    if state is None or not state.is_alive:
        return False
    _end(state.pid, timeout_s)
    return True


def _end(pid: int, timeout_s: float = 30.0) -> None:
    try:
        process = psutil.Process(pid)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout_s)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired as error:
        raise LocalRegionFailed(
            "The local region did not stop",
            f"process {pid} still runs {timeout_s:.0f} s after SIGTERM",
            f"read its log, then end it: kill -9 {pid}",
        ) from error


def status() -> dict[str, Any]:
    """What the region says of itself now. Raises LocalRegionNotRunning."""
    state = require_running()
    try:
        with urllib.request.urlopen(f"{state.endpoint_url}/_region/status", timeout=10) as answer:
            content: dict[str, Any] = json.load(answer)
    except (urllib.error.URLError, ValueError) as error:
        raise LocalRegionNotRunning(
            "The local region does not answer", str(error), f"read {state.log}"
        ) from error
    return content


def environment_variables() -> dict[str, str]:
    """What points plain AWS tools at the running region. Raises LocalRegionNotRunning."""
    state = require_running()
    return {
        "AWS_ENDPOINT_URL": state.endpoint_url,
        "AWS_DEFAULT_REGION": state.region,
        "AWS_REGION": state.region,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
