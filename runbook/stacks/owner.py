"""Who holds an environment's lock: enough to name them, and to tell whether they still live."""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

#: Clock corrections move a process's start time by less than this, in seconds.
_SAME_START_S = 1.0


@dataclass(frozen=True)
class Owner:
    """One process that writes. `started_at` is the process's start, in seconds of Unix time.

    `machine` tells machines, their boots and containers apart; pids mean something only
    within one of them.
    """

    user: str
    host: str
    machine: str
    pid: int
    started_at: float
    since: str
    what: str

    @property
    def is_alive(self) -> bool | None:
        """Whether that very process still runs; None when it lives on another machine."""
        if self.machine != _machine():
            return None
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at) < _SAME_START_S
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False

    @property
    def is_me(self) -> bool:
        """Whether this process is it."""
        return self.pid == os.getpid() and self.is_alive is True

    def describe(self) -> str:
        """For a sentence: who, where, since when, and whether it still lives."""
        alive = {True: "it runs", False: "it is dead", None: "on another machine"}[self.is_alive]
        return (
            f"{self.user}@{self.host}, process {self.pid} ({self.what}), "
            f"since {self.since}; {alive}"
        )

    @classmethod
    def unreadable(cls, text: str) -> Owner:
        """Somebody who left a text that says nothing: they may live, wherever they are."""
        return cls("somebody", "an unknown host", "", 0, 0.0, "an unknown time", repr(text[:80]))

    def to_json(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Owner | None:
        """None for what is no owner."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None


def this_process(what: str = "") -> Owner:
    """This process as an owner; `what` it does is its command line unless given."""
    return Owner(
        user=_user(),
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        started_at=psutil.Process().create_time(),
        since=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        what=what or _command(),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _command() -> str:
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:80]


def _machine() -> str:
    """The boot and the pid namespace where there are such things, else the host's name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()}/{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()
