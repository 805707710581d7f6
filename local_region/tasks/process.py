"""Starting, signalling and watching processes through the task host."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from local_region.children import ChildRegistry
from local_region.errors import DataPlaneFailed

_log = logging.getLogger("local_region.tasks.process")
_PACKAGE_PARENT = Path(__file__).resolve().parents[2]
KILLED_EXIT_CODE = 137


@dataclass(frozen=True)
class ProcessSpec:
    """What to start. `env` is the whole environment; `duty_cores` asks for the duty cycle."""

    id: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    log: str
    cgroup_procs: Sequence[str] = ()
    duty_cores: float | None = None


@dataclass(frozen=True)
class ProcessEvent:
    """Something that happened to a process. `exit_code` of an exit, `why` of a failed start."""

    kind: Literal["spawned", "failed", "exited"]
    id: str
    pid: int = 0
    exit_code: int | None = None
    why: str = ""


class TaskHost:
    """The region's end of the pipe. Thread-safe; subscribers are called on a thread of its own."""

    def __init__(self, children: ChildRegistry, log: Path) -> None:
        self._children, self._log_path = children, log
        self._subscribers: list[Callable[[ProcessEvent], None]] = []
        self._lock = threading.Lock()
        self._alive: dict[str, int] = {}
        self._usage: dict[int, queue.SimpleQueue[dict[str, float] | None]] = {}
        self._sequence = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._remove_at_end: list[str] = []

    def start(self) -> None:
        """Start the host process. Raises DataPlaneFailed."""
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(_PACKAGE_PARENT), *filter(None, [environment.get("PYTHONPATH")])]
        )
        try:
            with self._log_path.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "local_region.tasks.host"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise DataPlaneFailed(
                f"The task host did not start: {error}; check {sys.executable}"
            ) from error
        self._children.add(self._process.pid, "task host")
        threading.Thread(
            target=self._read_events, args=(self._process,), name="region-task-host", daemon=True
        ).start()

    def subscribe(self, on_event: Callable[[ProcessEvent], None]) -> None:
        """Have every event handed to `on_event`, which must be quick."""
        self._subscribers.append(on_event)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def spawn(self, spec: ProcessSpec) -> None:
        """Ask for a process; `spawned` or `failed` follows as an event."""
        self._send(op="spawn", **asdict(spec))

    def signal(self, process_id: str, number: int, *, group: bool = False) -> None:
        """Send a signal to the first process, or to its whole group."""
        self._send(op="signal", id=process_id, signal=int(number), group=group)

    def kill(self, process_id: str) -> None:
        """End a process and everything in its group at once."""
        self.signal(process_id, signal.SIGKILL, group=True)

    def remove_at_end(self, directories: Sequence[str]) -> None:
        """Empty directories (cgroups) the host removes when it ends, also after a kill -9."""
        self._remove_at_end = list(directories)
        self._send(op="remove_at_end", directories=self._remove_at_end)

    def usage(self, process_id: str, timeout_s: float = 1.0) -> dict[str, float] | None:
        """The duty cycle's account of a process; None when there is none."""
        sequence = next(self._sequence)
        answer: queue.SimpleQueue[dict[str, float] | None] = queue.SimpleQueue()
        self._usage[sequence] = answer
        try:
            self._send(op="usage", id=process_id, sequence=sequence)
            return answer.get(timeout=timeout_s)
        except queue.Empty:
            return None
        finally:
            self._usage.pop(sequence, None)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Close the pipe: the host ends what still runs, then itself. Idempotent."""
        self._stopping = True
        process = self._process
        if process is None:
            return
        with contextlib.suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            _log.warning("the task host did not end within %.0f s: killed", timeout_s)
            process.kill()
            process.wait()
        self._children.discard(process.pid)

    def _publish(self, event: ProcessEvent) -> None:
        for subscriber in self._subscribers:
            subscriber(event)

    def _send(self, **command: Any) -> None:
        data = json.dumps(command).encode() + b"\n"
        with self._lock:
            if self._process is None or self._process.stdin is None:
                return
            try:
                self._process.stdin.write(data)
                self._process.stdin.flush()
            except (OSError, ValueError):
                if command["op"] == "spawn":
                    self._publish(
                        ProcessEvent("failed", command["id"], why="the task host is not running")
                    )

    def _read_events(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self._handle(json.loads(line))
        if self._stopping:
            return
        _log.error("the task host ended unexpectedly: its tasks are gone, starting another one")
        process.wait()
        with contextlib.suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        self._children.discard(process.pid)
        for process_id, pid in list(self._alive.items()):
            self._handle(
                {"event": "exited", "id": process_id, "pid": pid, "code": KILLED_EXIT_CODE}
            )
        self.start()
        self.remove_at_end(self._remove_at_end)

    def _handle(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "usage":
                waiting = self._usage.get(event["sequence"])
                if waiting is not None:
                    waiting.put(event["usage"])
            case "spawned":
                self._alive[event["id"]] = event["pid"]
                self._children.add(event["pid"], event["id"])
                self._publish(ProcessEvent("spawned", event["id"], event["pid"]))
            case "exited":
                self._alive.pop(event["id"], None)
                self._children.discard(event["pid"])
                self._publish(
                    ProcessEvent("exited", event["id"], event["pid"], exit_code=event["code"])
                )
            case "failed":
                self._publish(ProcessEvent("failed", event["id"], why=event["why"]))
