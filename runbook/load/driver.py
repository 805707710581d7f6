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
import os
import selectors
import signal
import ssl
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runbook.errors import LoadFailed, RunbookError
from runbook.load.connection import (
    LOST,
    NOT_CONNECTED,
    OVERFLOW,
    TIMED_OUT,
    UNFINISHED,
    Connection,
)
from runbook.load.ledger import Ledger
from runbook.load.measurement import RawLoad
from runbook.load.plan import LoadPlan
from runbook.load.process import emit, go_first
from runbook.load.recording import write_results
from runbook.load.stamped import connect
from runbook.load.tokens import Tokens, log_in, log_in_again

#: Sending this much early spares a timer round trip; far below anything measured.
EARLY_S = 50e-6
#: Timers are set ahead by what they are usually late, learnt in these steps up to this much.
AHEAD_STEP_S, MOST_AHEAD_S = 2e-6, 300e-6
SWEEP_INTERVAL_S = 0.1
TICK_INTERVAL_S = 1.0
TOKENS_INTERVAL_S = 0.5
#: How soon a thread that logs in gives way to the one that sends; Python's own is 5 ms.
SWITCH_INTERVAL_S = 1e-4
LEAD_S = 0.2
_UNAUTHORIZED = 401


class Driver:
    """One run: dispatches arrivals, collects answers. Times are seconds after the start."""

    def __init__(
        self, plan: LoadPlan, tokens: Sequence[str] = (), part: tuple[int, int] = (0, 1)
    ) -> None:
        self.plan = plan
        self.ledger = Ledger(plan, part)
        self._kinds = self.ledger.kinds
        self._tokens = Tokens(tokens)
        self._due: list[float] = self.ledger.intended_s.tolist()
        self._which: list[int] = self.ledger.kind.tolist()
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
        self._parent = os.getppid()
        self._zero = 0.0
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
        sent_s = self.ledger.sent_s[index]
        self.ledger.done_s[index] = max(at_s - self._zero, sent_s)
        self.ledger.status[index] = status
        self._failures += not 200 <= status < 400
        self._outstanding.pop(index, None)
        if status == _UNAUTHORIZED and self._kinds[self._which[index]].authenticated:
            self._tokens.refused(self._user_of(index), self.started_at_epoch_s + sent_s)

    def _user_of(self, index: int) -> int:
        return self.ledger.numbers[index] % len(self._tokens)

    def _request(self, index: int) -> bytes:
        """The bytes of a request: made once for each kind and user, where they do not vary."""
        user = self._user_of(index)
        known = self._made.get((self._which[index], user))
        if known is not None:
            return known
        kind = self._kinds[self._which[index]]
        number = self.ledger.numbers[index]
        made = kind.request_bytes(
            self.plan.host, user=user, sequence=number, token=self._tokens[user]
        )
        if not kind.varies:
            self._made[self._which[index], user] = made
        return made

    def _dispatch(self, index: int, now_s: float) -> None:
        self.ledger.sent_s[index] = now_s
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
            if self.ledger.sent_s[index] > limit_s:
                break
            self._end_request(index, TIMED_OUT)

    def _end_request(self, index: int, status: int) -> None:
        connection = self._outstanding.get(index)
        self._finish(index, status)
        if connection is not None:
            connection.abort()

    # -- telling

    def _step_ended(self, step: int) -> None:
        if not self.interrupted:
            self._account()
            self._tell_step(step)

    def _account(self) -> None:
        self.ledger.account()

    def _tell_step(self, step: int) -> None:
        emit("step", step=step, **self.ledger.statistics(step, self.raw()).to_dict())

    def _tick(self) -> None:
        # Killed: nobody waits for the results, and the service shall not be loaded for nothing.
        if os.getppid() != self._parent:
            self.stop()
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
        return self.ledger.raw(self._next)

    # -- tokens

    async def _keep_tokens(self) -> None:
        """Fetch tokens anew in time, one at a time, in a thread: the schedule goes on."""
        while True:
            user = self._tokens.due()
            if user is None:
                await asyncio.sleep(TOKENS_INTERVAL_S)
                continue
            try:
                token = await asyncio.to_thread(self._log_in_again, user)
            except LoadFailed:
                # Its requests get a 401 and are counted as failures.
                self._tokens.not_renewed(user)
                continue
            self._tokens.renewed(user, token)
            # Requests made with the old one.
            for made in [made for made in self._made if made[1] == user]:
                del self._made[made]

    def _log_in_again(self, user: int) -> str:
        # This thread holds the interpreter at times: it must not be kept waiting then.
        go_first()
        return log_in_again(self.plan.url, self.plan.accounts, self.plan.timeout_s, user)

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
        wait_s = self._wait_s()
        self._zero = self.ledger.zero = time.monotonic() + wait_s
        self.started_at_epoch_s = time.time() + wait_s
        emit("ready", starts_at_epoch_s=self.started_at_epoch_s, requests=len(self._due))
        gc.collect()
        gc.disable()
        loop.call_at(self._zero, self._account)
        for step, edge in enumerate(self.ledger.edges_s[1:]):
            loop.call_at(self._zero + edge, self._step_ended, step)
        loop.call_at(self._zero + self.ledger.edges_s[-1], self._sent_all.set)
        loop.call_at(self._zero, self._fire)
        sweeper = loop.create_task(self._every(SWEEP_INTERVAL_S, self._sweep))
        ticker = loop.create_task(self._every(TICK_INTERVAL_S, self._tick, self._zero))
        keeper = loop.create_task(self._keep_tokens())
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        await self._sent_all.wait()
        if len(self.ledger.accounts) <= len(self.plan.segments) and self.ledger.now_s() > 0:
            self._account()
        await self._drain()
        for task in (sweeper, ticker, keeper, *self._connecting):
            task.cancel()
        for index in list(self._outstanding):
            self._end_request(index, UNFINISHED)
        for connection in self._idle:
            connection.abort()
        gc.enable()

    def _wait_s(self) -> float:
        """How long until the schedule begins."""
        if self.plan.start_at_epoch_s is None:
            return LEAD_S
        return max(self.plan.start_at_epoch_s - time.time(), 0.0)

    async def _warm_up(self) -> None:
        for _ in range(min(self.plan.warm_connections, self.plan.max_connections)):
            self._connect(None)
        if self._connecting:
            await asyncio.wait(self._connecting)
        if self.plan.warm_connections and not self._idle:
            raise LoadFailed(
                f"{self.plan.url} cannot be reached",
                f"no connection to {self._host}:{self._port} within {self.plan.timeout_s:.0f} s",
                "check the address, and that healthy tasks are behind it",
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


def on_a_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to its end what needs the driver's event loop."""
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
    ) as runner:
        return runner.run(work)


def drive(plan: LoadPlan, out_dir: Path) -> dict[str, Any]:
    """Run the plan in this process and write its results to `out_dir`; the summary is returned."""
    tokens = log_in(plan.url, plan.accounts, plan.timeout_s)
    summary: dict[str, Any] = on_a_loop(_drive(plan, out_dir, tokens))
    return summary


async def _drive(plan: LoadPlan, out_dir: Path, tokens: Sequence[str]) -> dict[str, Any]:
    plan = plan.caught_up(time.time() + LEAD_S)
    driver = Driver(plan, tokens)
    await driver.run()
    raw = driver.raw()
    return write_results(
        out_dir,
        plan,
        raw,
        driver.ledger.steps(raw),
        started_at_epoch_s=driver.started_at_epoch_s,
        interrupted=driver.interrupted,
        connections_opened=driver.connections_opened,
        cpu_s=driver.ledger.cpu_s,
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
