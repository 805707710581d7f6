"""The state file: the only way the rest of the project finds the region."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from local_region.errors import DirectoryOwned

SCHEMA_VERSION = 1
FILE_NAME = "state.json"
SUBDIRECTORIES = ("tasks", "volumes", "images", "envoy")


@dataclass(frozen=True)
class State:
    """What `state.json` holds. Times: `process_started_at` epoch seconds, `started_at` ISO 8601."""

    pid: int
    process_started_at: float
    endpoint_url: str
    region: str
    account_id: str
    started_at: str
    metric_period_s: int
    cpu_enforcement: str
    log: str
    tasks: str = "processes"
    """What tasks are: `processes`, or `containers`."""
    compression: dict[str, Any] = field(default_factory=dict)
    ready: bool = True
    schema_version: int = SCHEMA_VERSION


def process_started_at(pid: int) -> float:
    """When the process was created (epoch seconds); with the pid this names one process for good.

    Raises psutil.NoSuchProcess.
    """
    return float(psutil.Process(pid).create_time())


def is_same_process(pid: int, started_at: float) -> bool:
    """Whether that very process still runs: a pid alone may have been given to another."""
    try:
        process = psutil.Process(pid)
        alive = bool(process.status() != psutil.STATUS_ZOMBIE)
        return alive and bool(abs(process.create_time() - started_at) < 1.0)
    except psutil.Error:
        return False


def iso(epoch_s: float) -> str:
    """The time in UTC, ISO 8601, whole milliseconds."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")


def write_json_atomically(path: Path, content: object) -> None:
    """Readers see the old file or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """The file's object, or None when it is absent or garbled."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def take_ownership(directory: Path) -> None:
    """Make the directory this process's: a dead owner's state file is removed.

    Raises DirectoryOwned when a live region owns it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / FILE_NAME
    found = read_json(path)
    if found is not None:
        pid, started_at = found.get("pid"), found.get("process_started_at")
        known = isinstance(pid, int) and isinstance(started_at, int | float)
        if known and pid != os.getpid() and is_same_process(int(pid), float(started_at)):  # type: ignore[arg-type]
            raise DirectoryOwned(
                f"{directory} belongs to a running local region: process {pid} answers at "
                f"{found.get('endpoint_url')}; use that one or stop it with: kill {pid}"
            )
    path.unlink(missing_ok=True)
    for name in SUBDIRECTORIES:
        (directory / name).mkdir(exist_ok=True)


def write(directory: Path, state: State) -> None:
    """Say that the region answers."""
    write_json_atomically(directory / FILE_NAME, asdict(state))


def remove(directory: Path) -> None:
    """Say that it no longer does; the file of another process is left alone."""
    path = directory / FILE_NAME
    found = read_json(path)
    if found is not None and found.get("pid") == os.getpid():
        with contextlib.suppress(OSError):
            path.unlink()
