"""The open-loop load driver: `python -m runbook.load.driver PLAN.json OUT_DIR`.

Requests leave on their schedule whatever the answers do: an arrival takes an idle
keep-alive connection or opens a new one and never waits for one. Latency counts from
the intended start, so a stalled service cannot hide its stall, until the kernel had the answer
(`runbook.load.stamped`), so a driver that reads late does not add to it. Runs as a process of its
own, with the garbage collector off, on `select`, whose timers are ten times sharper than
`epoll`'s here. Progress goes to stdout as JSON lines; SIGINT or SIGTERM ends the run
early and keeps what was measured.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import signal
import ssl
import sys
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from runbook.errors import LoadFailed, RunbookError
from runbook.load.accounts import Account
from runbook.load.connection import (
    LOST,
    NOT_CONNECTED,
    OVERFLOW,
    TIMED_OUT,
    UNFINISHED,
    Connection,
)
from runbook.load.kinds import choose
from runbook.load.measurement import RawLoad, StepStats, step_stats
from runbook.load.plan import LoadPlan
from runbook.load.process import emit, go_first
from runbook.load.recording import write_results
from runbook.load.schedule import arrivals
from runbook.load.stamped import connect
from runbook.load.tokens import log_in

#: Sending this much early spares a timer round trip; far below anything measured.
EARLY_S = 50e-6
#: Timers are set ahead by what they are usually late, learnt in these steps up to this much.
AHEAD_STEP_S, MOST_AHEAD_S = 2e-6, 300e-6
SWEEP_INTERVAL_S = 0.1
TICK_INTERVAL_S = 1.0
LEAD_S = 0.2


class Driver:
    """One run: dispatches arrivals, collects answers. Times are seconds after the start."""

    def __init__(self, plan: LoadPlan, tokens: Sequence[str] = ()) -> None:
        self.plan = plan
        self._kinds = plan.request_kinds()
        self._classes = [kind.grouped_as for kind in self._kinds]
        self._tokens = list(tokens) or [""]
        self.intended_s = arrivals(plan.segments, seed=plan.seed, process=plan.process)
        count = len(self.intended_s)
        self._due: list[float] = self.intended_s.tolist()
        self._sent_s = array("d", bytes(8 * count))
        self._done_s = array("d", bytes(8 * count))
        self._status = array("h", bytes(2 * count))
        self._kind = choose(self._kinds, count, plan.seed)
        self._which: list[int] = self._kind.tolist()
        self._made: dict[tuple[int, int], bytes] = {}
        parts = urlsplit(plan.url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._ssl = ssl.create_default_context() if parts.scheme == "https" else None
        self._idle: list[Connection] = []
        self._outstanding: dict[int, Connection | None] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._open = 0
        self._next = 0
        self._ahead_s = 0.0
        self._failures = 0
        self._zero = 0.0
        self._edges = np.cumsum([0.0, *(segment.duration_s for segment in plan.segments)]).tolist()
        self._accounts: list[Account] = []
        self._sent_all = asyncio.Event()
        self.interrupted = False
        self.connections_opened = 0
        self.started_at_epoch_s = 0.0

    # -- the connections' owner

    def answered(self, connection: Connection, index: int, status: int, reusable: bool) -> None:
        """Record an answer and keep the connection for the next arrival."""
        self._finish(index, status, connection.answered_at_s)
        if reusable and connection.usable:
            self._idle.append(connection)
        elif connection.transport is not None:
            connection.transport.close()

    def lost(self, connection: Connection, index: int | None) -> None:
        """Forget a connection; its request, if any, failed."""
        self._open -= 1
        if index is not None:
            self._finish(index, LOST)
        elif connection in self._idle:
            self._idle.remove(connection)

    # -- dispatch

    def _finish(self, index: int, status: int, at_s: float | None = None) -> None:
        at_s = time.monotonic() if at_s is None else at_s
        self._done_s[index] = max(at_s - self._zero, self._sent_s[index])
        self._status[index] = status
        self._failures += not 200 <= status < 400
        self._outstanding.pop(index, None)

    def _request(self, index: int) -> bytes:
        """The bytes of a request: made once for each kind and user, where they do not vary."""
        user = index % len(self._tokens)
        known = self._made.get((self._which[index], user))
        if known is not None:
            return known
        kind = self._kinds[self._which[index]]
        made = kind.request_bytes(
            self.plan.host, user=user, sequence=index, token=self._tokens[user]
        )
        if not kind.varies:
            self._made[self._which[index], user] = made
        return made

    def _dispatch(self, index: int, now_s: float) -> None:
        self._sent_s[index] = now_s
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                self._outstanding[index] = connection
                connection.send(index, self._request(index))
                return
        if self._open >= self.plan.max_connections:
            self._finish(index, OVERFLOW)
            return
        self._outstanding[index] = None
        self._connect(index)

    def _connect(self, index: int | None) -> None:
        self._open += 1
        task = asyncio.get_running_loop().create_task(self._open_connection(index))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _open_connection(self, index: int | None) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.plan.timeout_s):
                connection = Connection(self)
                if self._ssl is None:
                    await connect(self._host, self._port, connection)
                else:
                    await loop.create_connection(
                        lambda: connection, self._host, self._port, ssl=self._ssl
                    )
        except (OSError, TimeoutError):
            self._open -= 1
            if index is not None and index in self._outstanding:
                self._finish(index, NOT_CONNECTED)
            return
        self.connections_opened += 1
        if index is None or index not in self._outstanding:
            self._idle.append(connection)
            return
        self._outstanding[index] = connection
        connection.send(index, self._request(index))

    def _fire(self) -> None:
        """Send everything that is due, then sleep until the next arrival."""
        if self._sent_all.is_set():
            return
        due, count = self._due, len(self._due)
        now_s = time.monotonic() - self._zero
        if self._next < count:
            # The median wake-up comes late by what this learns to ask ahead.
            late = now_s > due[self._next]
            self._ahead_s += AHEAD_STEP_S if late else -AHEAD_STEP_S
            self._ahead_s = min(max(self._ahead_s, 0.0), MOST_AHEAD_S)
        while self._next < count and due[self._next] <= now_s + EARLY_S:
            index = self._next
            self._next += 1
            self._dispatch(index, now_s)
            now_s = time.monotonic() - self._zero
        if self._next < count:
            loop = asyncio.get_running_loop()
            loop.call_at(self._zero + due[self._next] - self._ahead_s, self._fire)

    def _sweep(self) -> None:
        """Fail requests that have waited too long; the oldest come first."""
        limit_s = time.monotonic() - self._zero - self.plan.timeout_s
        for index in list(self._outstanding):
            if self._sent_s[index] > limit_s:
                break
            self._end_request(index, TIMED_OUT)

    def _end_request(self, index: int, status: int) -> None:
        connection = self._outstanding.get(index)
        self._finish(index, status)
        if connection is not None:
            connection.abort()

    # -- accounts and progress

    def _account(self) -> None:
        self._accounts.append(Account.taken(time.monotonic() - self._zero))

    def _step_ended(self, step: int) -> None:
        if self.interrupted:
            return
        self._account()
        emit("step", step=step, **self._statistics(step, self.raw()).to_dict())

    def _tick(self) -> None:
        elapsed_s = time.monotonic() - self._zero
        emit(
            "tick",
            elapsed_s=round(elapsed_s, 2),
            sent=self._next,
            outstanding=len(self._outstanding),
            failures=self._failures,
        )

    def raw(self) -> RawLoad:
        """Everything that left so far; an outstanding request counts as lasting until now."""
        sent = self._next
        done_s = np.array(self._done_s[:sent])
        status = np.array(self._status[:sent])
        waiting = status == 0
        done_s[waiting] = time.monotonic() - self._zero
        status[waiting] = UNFINISHED
        return RawLoad(
            self.intended_s[:sent],
            np.array(self._sent_s[:sent]),
            done_s,
            status,
            self._kind[:sent] if len(self._kinds) > 1 else None,
        )

    def _statistics(self, step: int, raw: RawLoad) -> StepStats:
        before, after = self._accounts[step], self._accounts[step + 1]
        seconds = max(after.at_s - before.at_s, 1e-9)
        return step_stats(
            raw,
            self._edges[step],
            min(self._edges[step + 1], after.at_s),
            label=self.plan.segments[step].label,
            rate_rps=self.plan.segments[step].mean_rps,
            driver_cpu_cores=(after.own_cpu_s - before.own_cpu_s) / seconds,
            host_busy_cores=(after.busy_cpu_s - before.busy_cpu_s) / seconds,
            classes=self._classes,
        )

    def steps(self) -> list[StepStats]:
        """The statistics of every step that began, the last one possibly cut short."""
        raw = self.raw()
        return [self._statistics(step, raw) for step in range(len(self._accounts) - 1)]

    @property
    def cpu_s(self) -> float:
        """CPU seconds spent on the steps, without starting up."""
        if not self._accounts:
            return 0.0
        return self._accounts[-1].own_cpu_s - self._accounts[0].own_cpu_s

    # -- the run

    def stop(self) -> None:
        """End the run early: no further arrivals, results are kept."""
        self.interrupted = True
        self._sent_all.set()

    async def run(self) -> None:
        """Drive the whole schedule and wait for outstanding answers.

        Raises LoadFailed when the service cannot be reached at all.
        """
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self.stop)
        await self._warm_up()
        wait_s = LEAD_S
        if self.plan.start_at_epoch_s is not None:
            wait_s = max(self.plan.start_at_epoch_s - time.time(), 0.0)
        self._zero = time.monotonic() + wait_s
        self.started_at_epoch_s = time.time() + wait_s
        emit("ready", starts_at_epoch_s=self.started_at_epoch_s, requests=len(self._due))
        gc.collect()
        gc.disable()
        loop.call_at(self._zero, self._account)
        for step, edge in enumerate(self._edges[1:]):
            loop.call_at(self._zero + edge, self._step_ended, step)
        loop.call_at(self._zero + self._edges[-1], self._sent_all.set)
        loop.call_at(self._zero, self._fire)
        sweeper = loop.create_task(self._every(SWEEP_INTERVAL_S, self._sweep))
        ticker = loop.create_task(self._every(TICK_INTERVAL_S, self._tick, self._zero))
        await self._sent_all.wait()
        if len(self._accounts) <= len(self.plan.segments) and time.monotonic() > self._zero:
            self._account()
        await self._drain()
        for task in (sweeper, ticker, *self._connecting):
            task.cancel()
        for index in list(self._outstanding):
            self._end_request(index, UNFINISHED)
        for connection in self._idle:
            connection.abort()
        gc.enable()

    async def _warm_up(self) -> None:
        for _ in range(min(self.plan.warm_connections, self.plan.max_connections)):
            self._connect(None)
        if self._connecting:
            await asyncio.wait(self._connecting)
        if self.plan.warm_connections and not self._idle:
            raise LoadFailed(
                f"{self.plan.url} cannot be reached",
                f"no connection to {self._host}:{self._port} within {self.plan.timeout_s:.0f} s",
                "check that the service has healthy tasks: runbook run 10_deploy",
            )

    async def _drain(self) -> None:
        until = time.monotonic() + (
            min(self.plan.drain_s, 1.0) if self.interrupted else self.plan.drain_s
        )
        while self._outstanding and time.monotonic() < until:
            await asyncio.sleep(0.02)

    async def _every(self, interval_s: float, act: Any, start: float | None = None) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() if start is None else start
        while True:
            due += interval_s
            await asyncio.sleep(max(due - loop.time(), 0.0))
            act()


def drive(plan: LoadPlan, out_dir: Path) -> dict[str, Any]:
    """Run the plan in this process and write its results to `out_dir`; the summary is returned."""
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
    ) as runner:
        return runner.run(_drive(plan, out_dir, log_in(plan.url, plan.accounts, plan.timeout_s)))


async def _drive(plan: LoadPlan, out_dir: Path, tokens: Sequence[str]) -> dict[str, Any]:
    plan = plan.caught_up(time.time() + LEAD_S)
    driver = Driver(plan, tokens)
    await driver.run()
    raw = driver.raw()
    return write_results(
        out_dir,
        plan,
        raw,
        driver.steps(),
        started_at_epoch_s=driver.started_at_epoch_s,
        interrupted=driver.interrupted,
        connections_opened=driver.connections_opened,
        cpu_s=driver.cpu_s,
    )


def main(arguments: list[str]) -> int:
    """Entry of the process. Exit code 0 with results written, 2 with an `error` event."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m runbook.load.driver PLAN.json OUT_DIR\n")
        return 2
    go_first()
    try:
        summary = drive(LoadPlan.load(Path(arguments[0])), Path(arguments[1]))
    except RunbookError as error:
        emit("error", what=error.what, why=error.why, next_step=error.next_step)
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    emit("finished", **summary)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
