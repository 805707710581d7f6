"""CPU shares without privileges: a process group is stopped when its quota of a window is spent.

Linux only. CPU time is read per process from its CPU-time clock, the same nanoseconds as
`/proc/PID/schedstat` for one system call instead of a file a thread. Windows are 100 ms, as
CFS quota periods are on Fargate: 25 ms of credit at 0.25 vCPU absorb a small burst.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from local_region.tasks.process_tree import process_cpu_s, process_tree

WINDOW_S = 0.1
SHORTEST_POLL_S = 0.002


@dataclass
class Quota:
    """The arithmetic of one task's quota, without processes or clocks.

    `debt_s` is what earlier windows overdrew: nothing stops a process at the exact nanosecond,
    so the overshoot is taken from the windows that follow. Unspent credit is lost, as in CFS.
    """

    cores: float
    debt_s: float = 0.0
    base_s: float = 0.0
    stopped: bool = False
    nr_periods: int = 0
    nr_throttled: int = 0
    throttled_s: float = 0.0

    @property
    def credit_s(self) -> float:
        return self.cores * WINDOW_S

    def remaining_s(self, used_s: float) -> float:
        """CPU seconds left in this window at `used_s` CPU seconds used since the start."""
        return self.credit_s - self.debt_s - (used_s - self.base_s)

    def must_stop(self, used_s: float) -> bool:
        return not self.stopped and self.remaining_s(used_s) <= 0

    def next_window(self, used_s: float, windows: int) -> bool:
        """Close `windows` windows; True when a stopped task may go on."""
        spent_s = self.debt_s + used_s - self.base_s
        self.debt_s = max(0.0, spent_s - self.credit_s * windows)
        self.base_s = used_s
        self.nr_periods += windows
        if self.stopped:
            self.nr_throttled += windows
        return self.stopped and self.debt_s < self.credit_s


@dataclass
class _Governed:
    pid: int
    quota: Quota
    seen_s: dict[int, float] = field(default_factory=dict)
    stopped_at: float = 0.0

    def used_s(self) -> float:
        """CPU seconds of every process ever seen in the tree; the dead keep their last reading."""
        for pid in list(self.seen_s):
            used_s = process_cpu_s(pid)
            if used_s is not None:
                self.seen_s[pid] = used_s
        return sum(self.seen_s.values())

    def refresh(self) -> None:
        for pid in process_tree(self.pid):
            self.seen_s.setdefault(pid, 0.0)


class DutyCycle:
    """Stops and continues process groups. Not thread-safe: one loop owns it."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        signal_group: Callable[[int, int], None] | None = None,
    ) -> None:
        self._clock = clock
        self._signal = signal_group or _signal_group
        self._governed: dict[str, _Governed] = {}
        self._window = int(clock() / WINDOW_S)
        self._cpus = os.cpu_count() or 1

    def add(self, task_id: str, pid: int, cores: float) -> None:
        """Govern the process group that `pid` leads. cores: CPU seconds a second."""
        self._governed[task_id] = _Governed(pid, Quota(cores), {pid: 0.0})

    def remove(self, task_id: str) -> None:
        self._governed.pop(task_id, None)

    def usage(self, task_id: str) -> dict[str, float] | None:
        """usage_s, nr_periods, nr_throttled, throttled_s since the start; None when unknown."""
        governed = self._governed.get(task_id)
        if governed is None:
            return None
        quota = governed.quota
        return {
            "usage_s": governed.used_s(),
            "nr_periods": quota.nr_periods,
            "nr_throttled": quota.nr_throttled,
            "throttled_s": quota.throttled_s,
        }

    def step(self) -> float | None:
        """Stop who has spent its quota, continue who may go on.

        Returns the seconds until the next step is needed, None when nothing is governed.
        """
        if not self._governed:
            return None
        now = self._clock()
        window = int(now / WINDOW_S)
        if window != self._window:
            for governed in self._governed.values():
                self._close_window(governed, window - self._window, now)
            self._window = window
        wait_s = (self._window + 1) * WINDOW_S - now
        for governed in self._governed.values():
            if not governed.quota.stopped:
                wait_s = min(wait_s, self._check(governed, now))
        return max(0.0, wait_s)

    def release_all(self) -> None:
        """Continue everything that is stopped: nobody may be left frozen."""
        for governed in self._governed.values():
            self._signal(governed.pid, signal.SIGCONT)
            governed.quota.stopped = False

    def _close_window(self, governed: _Governed, windows: int, now: float) -> None:
        governed.refresh()
        if governed.quota.next_window(governed.used_s(), windows):
            governed.quota.stopped = False
            governed.quota.throttled_s += now - governed.stopped_at
            self._signal(governed.pid, signal.SIGCONT)

    def _check(self, governed: _Governed, now: float) -> float:
        used_s = governed.used_s()
        if governed.quota.must_stop(used_s):
            self._signal(governed.pid, signal.SIGSTOP)
            governed.quota.stopped = True
            governed.stopped_at = now
            return WINDOW_S
        # All its threads on all CPUs cannot spend the rest sooner than this.
        return max(SHORTEST_POLL_S, governed.quota.remaining_s(used_s) / self._cpus)


def is_available() -> bool:
    """Whether this machine lets us read another process's CPU clock and its children."""
    parent = os.getppid()
    return (
        process_cpu_s(parent) is not None
        and Path(f"/proc/self/task/{os.getpid()}/children").exists()
    )


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
