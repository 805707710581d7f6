"""A CPU share held from inside the task, for machines that can do it no other way.

Fargate gives a task of 0.25 vCPU 25 ms of CPU per 100 ms period and stops it for
the rest of a period in which they are used up. Where neither control groups nor
stop signals are at hand, `CpuShare` imitates that at the door of the WSGI
application: a request begins only while CPU is left in this period. Used only
when IN_TASK_CPU_SHARE is set.

It differs from the real thing in one way: a request that has begun is not stopped.
What it overdraws is owed, and the following periods pay it back.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PERIOD_S = 0.1
_STAT_INTERVAL_S = 1.0
_EXEMPT = frozenset({"/health", "/ready"})


class Clock(Protocol):
    """The times that count, in seconds, and the way to wait."""

    def monotonic(self) -> float: ...

    def process_time(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


@dataclass
class CpuStat:
    """Counts since the start, named and meant as in a control group's `cpu.stat`."""

    nr_periods: int = 0
    """Periods in which anything ran."""
    nr_throttled: int = 0
    """Periods in which a request had to wait for the next one."""
    throttled_usec: int = 0
    """Time requests waited."""
    usage_usec: int = 0
    """CPU used by this process."""


class CpuBucket:
    """CPU left in the period under way, filled up at each period's boundary.

    `share` is in vCPUs. Not safe for threads: `CpuShare` holds a lock around it.
    """

    def __init__(self, share: float, clock: Clock = time) -> None:
        self.stat = CpuStat()
        self._clock = clock
        self._quota_s = share * PERIOD_S
        self._left_s = self._quota_s
        self._period = self._current_period()
        self._active_period = -1
        self._settled_s = clock.process_time()

    def settle(self) -> None:
        """Book the CPU used since the last call, by any thread, on the periods since then."""
        used_s = self._clock.process_time()
        self._left_s -= used_s - self._settled_s
        self._settled_s = used_s
        self.stat.usage_usec = round(used_s * 1e6)
        period = self._current_period()
        self._left_s = min(self._quota_s, self._left_s + (period - self._period) * self._quota_s)
        self._period = period
        if period != self._active_period:
            self.stat.nr_periods += 1
            self._active_period = period

    def wait(self) -> None:
        """Return when CPU is left, at once or at the start of a later period."""
        self.settle()
        while self._left_s <= 0:
            self.stat.nr_throttled += 1
            began_s = self._clock.monotonic()
            self._clock.sleep((self._period + 1) * PERIOD_S - began_s)
            self.stat.throttled_usec += round((self._clock.monotonic() - began_s) * 1e6)
            self.settle()

    def _current_period(self) -> int:
        return int(self._clock.monotonic() / PERIOD_S)


class CpuShare:
    """WSGI middleware that serves one request at a time within `share` vCPUs.

    `/health` and `/ready` never wait, but what they use counts. The counts of
    `CpuStat` are written to the file `stat_path`, if given, as JSON, at most once
    a second and only as requests come.
    """

    def __init__(
        self,
        app: WSGIApplication,
        share: float,
        stat_path: Path | None = None,
        clock: Clock = time,
    ) -> None:
        self._app = app
        self._bucket = CpuBucket(share, clock)
        self._stat_path = stat_path
        self._clock = clock
        self._stat_due_s = 0.0
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            if environ["PATH_INFO"] not in _EXEMPT:
                self._bucket.wait()
            answer = _complete(self._app(environ, start_response))
            self._bucket.settle()
            self._write_stat()
            return answer

    def _write_stat(self) -> None:
        now_s = self._clock.monotonic()
        if self._stat_path is None or now_s < self._stat_due_s:
            return
        self._stat_due_s = now_s + _STAT_INTERVAL_S
        part = self._stat_path.with_name(f"{self._stat_path.name}.part")
        part.write_text(json.dumps(vars(self._bucket.stat)))
        os.replace(part, self._stat_path)


def _complete(answer: Iterable[bytes]) -> list[bytes]:
    """The whole body, so that producing it is paid for by its own request."""
    close: Callable[[], Any] = getattr(answer, "close", lambda: None)
    try:
        return [b"".join(answer)]
    finally:
        close()
