"""What tasks print, brought into the log group their definition names."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

INTERVAL_S = 0.5
BURST_LINES = 300
LINES_PER_S = 20.0
"""A task's lines beyond this rate (after a burst) stay in its file, and that is said: the
emulator keeps every log event in memory for good."""
LARGEST_FILE_BYTES = 16 * 2**20
_log = logging.getLogger("local_region.tasks.logs")


@dataclass
class LogFile:
    """One task's output and where it goes: without a group nowhere, only its size is bounded.

    `read_bytes` is how far it has been forwarded, `budget` how many lines it may forward now.
    """

    path: Path
    group: str | None
    stream: str
    read_bytes: int = 0
    ended: bool = False
    budget: float = BURST_LINES
    budgeted_at: float | None = None

    def allowance(self, now: float) -> int:
        """Lines that may be forwarded at `now` (seconds)."""
        since = now - (now if self.budgeted_at is None else self.budgeted_at)
        self.budget = min(BURST_LINES, self.budget + since * LINES_PER_S)
        self.budgeted_at = now
        return int(self.budget)


class LogForwarder:
    """Follows the log files of tasks on one thread.

    `put(group, stream, [(epoch seconds, line)])` stores lines; `scope` pins account and region.
    """

    def __init__(
        self,
        put: Callable[[str, str, Sequence[tuple[float, str]]], bool],
        scope: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._put, self._scope = put, scope
        self._lock = threading.Lock()
        self._files: dict[str, LogFile] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="region-task-logs", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Forward what is left and end. Idempotent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def follow(self, task_id: str, path: Path, group: str | None, stream: str) -> None:
        """Begin to watch a task's output."""
        with self._lock:
            self._files[task_id] = LogFile(path, group, stream)

    def finish(self, task_id: str) -> None:
        """The task has ended: forward the rest, then forget it."""
        with self._lock:
            if task_id in self._files:
                self._files[task_id].ended = True

    def _loop(self) -> None:
        while not self._stopping.wait(INTERVAL_S):
            self._forward_all()
        self._forward_all()

    def _forward_all(self) -> None:
        with self._lock:
            files = dict(self._files)
        for task_id, file in files.items():
            ended = file.ended
            try:
                with self._scope():
                    forward(file, self._put, time.time())
            except Exception:
                _log.exception("output of task %s could not be forwarded", task_id)
            if ended:
                with self._lock:
                    self._files.pop(task_id, None)


def forward(
    file: LogFile, put: Callable[[str, str, Sequence[tuple[float, str]]], bool], now: float
) -> None:
    """Put the complete lines written since the last call; the file itself is kept bounded."""
    try:
        size = file.path.stat().st_size
        if size == file.read_bytes:
            return
        with file.path.open("rb") as source:
            source.seek(file.read_bytes)
            chunk = source.read(size - file.read_bytes)
    except OSError:
        return
    complete = chunk if file.ended else chunk[: chunk.rfind(b"\n") + 1]
    file.read_bytes += len(complete)
    lines = [line for line in complete.decode("utf-8", "replace").splitlines() if line]
    if lines and file.group is not None:
        allowed = file.allowance(now)
        file.budget -= min(allowed, len(lines))
        left_out = len(lines) - allowed
        if left_out > 0:
            lines = [*lines[:allowed], f"[local region: {left_out} more lines in {file.path}]"]
        put(file.group, file.stream, [(now, line) for line in lines])
    if file.read_bytes > LARGEST_FILE_BYTES:
        # The task appends (O_APPEND), so it goes on at the new end.
        with file.path.open("r+b") as target:
            target.truncate(0)
        file.read_bytes = 0
