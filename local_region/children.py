"""Which processes this region started, on disk, so that none outlives a killed daemon for long."""

from __future__ import annotations

import contextlib
import logging
import threading
from pathlib import Path

import psutil

from local_region.state import (
    is_same_process,
    process_started_at,
    read_json,
    write_json_atomically,
)

FILE_NAME = "children.json"
_log = logging.getLogger("local_region.children")


class ChildRegistry:
    """Every process the region spawned and has not seen end. Thread-safe."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._lock = threading.Lock()
        self._children: dict[int, tuple[float, str]] = {}

    def add(self, pid: int, role: str) -> None:
        """Remember a process just spawned; one that has already ended is not worth it."""
        try:
            started_at = process_started_at(pid)
        except psutil.Error:
            return
        with self._lock:
            self._children[pid] = (started_at, role)
            self._save()

    def discard(self, pid: int) -> None:
        """Forget a process that has ended."""
        with self._lock:
            if self._children.pop(pid, None) is not None:
                self._save()

    def end_leftovers(self, timeout_s: float = 3.0) -> list[str]:
        """End what an earlier region left running (SIGTERM, then SIGKILL); their roles.

        Only processes that match by pid and creation time are touched.
        """
        found = read_json(self._path) or {}
        processes, roles = [], []
        for pid_text, entry in found.items():
            pid, (started_at, role) = int(pid_text), entry
            if pid not in self._children and is_same_process(pid, started_at):
                with contextlib.suppress(psutil.Error):
                    processes.append(psutil.Process(pid))
                    roles.append(f"{role} (process {pid})")
        _end(processes, timeout_s)
        with self._lock:
            self._save()
        return roles

    def end_all(self, timeout_s: float = 3.0) -> list[str]:
        """End whatever of this region's own children still runs; their roles.

        The owners stop their processes themselves; this is the net below them.
        """
        with self._lock:
            remaining = dict(self._children)
            self._children.clear()
        processes, roles = [], []
        for pid, (started_at, role) in remaining.items():
            if is_same_process(pid, started_at):
                with contextlib.suppress(psutil.Error):
                    processes.append(psutil.Process(pid))
                    roles.append(f"{role} (process {pid})")
        _end(processes, timeout_s)
        self._path.unlink(missing_ok=True)
        return roles

    def _save(self) -> None:
        write_json_atomically(self._path, {str(pid): e for pid, e in self._children.items()})


def _end(processes: list[psutil.Process], timeout_s: float) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=timeout_s)
    for process in alive:
        _log.warning("process %d ignored SIGTERM for %.0f s: killed", process.pid, timeout_s)
        with contextlib.suppress(psutil.Error):
            process.kill()
