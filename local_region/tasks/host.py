"""The task host: one small process that forks every task (and the balancer).

Why a process of its own: its standard input is a pipe from the region, so it learns of the
region's death however it came about, `kill -9` included, and ends everything it started. Being
single-threaded it may also fork and prepare a child safely, which the region itself may not.
Should the host be killed in its turn, Linux sends its children SIGTERM (PR_SET_PDEATHSIG), and
the region sees the pipe close.

Commands arrive and events leave as JSON lines:
    {"op": "spawn", "id", "argv", "env", "cwd", "log", "cgroup_procs": [file], "duty_cores": float}
    {"op": "signal", "id", "signal", "group": bool}
    {"op": "usage", "id", "sequence"}
    {"op": "remove_at_end", "directories": [path]}
    -> {"event": "spawned", "id", "pid"} | {"event": "failed", "id", "why"}
    -> {"event": "exited", "id", "pid", "code"} (128 + signal when a signal ended it, as in Docker)
    -> {"event": "usage", "sequence", "usage": {...} | null}
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from local_region.tasks.duty_cycle import DutyCycle

END_GRACE_S = 2.0
"""How long children have between SIGTERM and SIGKILL once the region is gone."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Host:
    """The children and what is to be done for them. One thread, one loop."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands, self._events = commands, events
        self._pids: dict[str, int] = {}
        self._duty = DutyCycle()
        self._buffer = b""
        self._remove_at_end: list[str] = []
        self._prctl = _prctl()

    def run(self) -> None:
        """Serve until the commands end; then end every child."""
        self._prctl(_PR_SET_CHILD_SUBREAPER, 1)
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(wake_read, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        # A terminal's Ctrl-C and a polite kill are for the region; we follow it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with selectors.DefaultSelector() as selector:
            selector.register(self._commands, selectors.EVENT_READ)
            selector.register(wake_read, selectors.EVENT_READ)
            alive = True
            while alive:
                for key, _ in selector.select(self._duty.step()):
                    if key.fd == wake_read:
                        with contextlib.suppress(BlockingIOError):
                            os.read(wake_read, 4096)
                    else:
                        alive = self._read_commands()
                self._reap()
        self._end_everything()

    def _read_commands(self) -> bool:
        chunk = os.read(self._commands, 65536)
        if not chunk:
            return False
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return True

    def _obey(self, command: dict[str, Any]) -> None:
        match command["op"]:
            case "spawn":
                self._spawn(command)
            case "signal":
                self._signal(command["id"], command["signal"], group=command["group"])
            case "usage":
                usage = self._duty.usage(command["id"])
                self._tell(event="usage", sequence=command["sequence"], usage=usage)
            case "remove_at_end":
                self._remove_at_end = command["directories"]

    def _spawn(self, command: dict[str, Any]) -> None:
        try:
            log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                child = subprocess.Popen(
                    command["argv"],
                    env=command["env"],
                    cwd=command["cwd"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    # Safe here: this process has one thread.
                    preexec_fn=self._preparation(command["cgroup_procs"]),  # noqa: PLW1509
                )
            finally:
                os.close(log)
        except (OSError, subprocess.SubprocessError) as error:
            self._tell(event="failed", id=command["id"], why=str(error))
            return
        # The loop reaps by pid, orphans included; the object shall not wait for it.
        child.returncode = 0
        self._pids[command["id"]] = child.pid
        if command["duty_cores"]:
            self._duty.add(command["id"], child.pid, command["duty_cores"])
        self._tell(event="spawned", id=command["id"], pid=child.pid)

    def _preparation(self, cgroup_procs: list[str]) -> Callable[[], None]:
        host = os.getpid()

        def prepare() -> None:
            self._prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != host:
                os._exit(1)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for path in cgroup_procs:
                with open(path, "w", encoding="ascii") as procs:
                    procs.write("0")

        return prepare

    def _signal(self, task_id: str, number: int, *, group: bool) -> None:
        pid = self._pids.get(task_id)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(pid, number)
            else:
                os.kill(pid, number)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for task_id, main_pid in list(self._pids.items()):
                if main_pid == pid:
                    self._ended(task_id, pid, status)

    def _ended(self, task_id: str, pid: int, status: int) -> None:
        # As in a container, nothing outlives the first process.
        self._signal(task_id, signal.SIGKILL, group=True)
        self._duty.remove(task_id)
        del self._pids[task_id]
        code = os.waitstatus_to_exitcode(status)
        self._tell(event="exited", id=task_id, pid=pid, code=128 - code if code < 0 else code)

    def _tell(self, **event: Any) -> None:
        data = json.dumps(event).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[os.write(self._events, data) :]

    def _end_everything(self) -> None:
        self._duty.release_all()
        for number, patience_s in ((signal.SIGTERM, END_GRACE_S), (signal.SIGKILL, 1.0)):
            for task_id in list(self._pids):
                self._signal(task_id, number, group=True)
            deadline = time.monotonic() + patience_s
            while self._pids and time.monotonic() < deadline:
                self._reap()
                time.sleep(0.02)
        for directory in self._remove_at_end:
            _remove_directory(directory)


def _remove_directory(path: str) -> None:
    """Remove an empty directory; a cgroup is busy until its last process is gone entirely."""
    for _ in range(50):
        try:
            os.rmdir(path)
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)


def _prctl() -> Callable[[int, int], Any]:
    """Linux's prctl(2); elsewhere a function that does nothing (the pipe still tells us)."""
    if not sys.platform.startswith("linux"):
        return lambda option, value: None
    library = ctypes.CDLL(None, use_errno=True)
    prctl: Callable[[int, int], Any] = library.prctl
    return prctl


def main() -> None:
    """Serve standard input and output."""
    Host(sys.stdin.fileno(), sys.stdout.fileno()).run()


if __name__ == "__main__":
    main()
