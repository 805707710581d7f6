"""The driver as one of several: `python -m runbook.load.part`, started by a Locust worker.

The order (plan, part, tokens) is a line of JSON on stdin; the end of stdin ends the run. What
became of the requests goes to stdout in `rows` events, a few at a time while the load goes on:
nothing that grows with the run is done where it would delay a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import sys
import time
from typing import Any

from runbook.errors import RunbookError
from runbook.load.driver import Driver, on_a_loop
from runbook.load.plan import LoadPlan
from runbook.load.process import emit, go_first

FEED_INTERVAL_S = 0.25
_ROWS_AT_ONCE = 1000
#: Some 30,000 rows. Linux gives a pipe 64 KiB unless asked.
_PIPE_BYTES = 1 << 20


class PartDriver(Driver):
    """Sends its part of the arrivals and hands each row on once it has ended."""

    def __init__(self, order: dict[str, Any]) -> None:
        plan = LoadPlan.from_dict(order["plan"])
        super().__init__(plan, order["tokens"], (order["index"], order["count"]))
        self._ended: list[int] = []

    async def run(self) -> None:
        """Drive this part and hand over all of its rows. Raises LoadFailed."""
        asyncio.get_running_loop().add_reader(sys.stdin, self._orphaned)
        feeder = asyncio.create_task(self._every(FEED_INTERVAL_S, self._feed))
        await super().run()
        feeder.cancel()
        self._feed()
        emit("done", connections_opened=self.connections_opened)

    def _orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin)
        self.stop()

    def _wait_s(self) -> float:
        # The start is everybody's: a process that comes late is late, and its rows say so.
        return (self.plan.start_at_epoch_s or 0.0) - time.time()

    def _finish(self, index: int, status: int, at_s: float | None = None) -> None:
        super()._finish(index, status, at_s)
        self._ended.append(index)

    def _feed(self) -> None:
        ended, self._ended = self._ended, []
        self._tell_rows(ended)

    def _tell_rows(self, which: list[int]) -> None:
        for first in range(0, len(which), _ROWS_AT_ONCE):
            part = which[first : first + _ROWS_AT_ONCE]
            emit("rows", rows=self.ledger.rows(part).pack())

    def _account(self) -> None:
        super()._account()
        if self.interrupted:
            return
        # With what is still outstanding the step is complete for now; its end is told later.
        self._feed()
        self._tell_rows(list(self._outstanding))
        number, account = len(self.ledger.accounts) - 1, self.ledger.accounts[-1]
        emit("edge", edge=number, cpu_s=account.own_cpu_s)

    def _tell_step(self, step: int) -> None:
        """The master tells, who knows everybody's rows."""


def _widen_stdout() -> None:
    """Room for a worker that does not read for a while: a full pipe would hold the load up."""
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(sys.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def main() -> int:
    """Entry of the process. Exit code 0, or 2 with an `error` event."""
    go_first()
    _widen_stdout()
    emit("up")
    line = sys.stdin.readline()
    if not line:
        return 0
    try:
        on_a_loop(PartDriver(json.loads(line)).run())
    except RunbookError as error:
        emit("error", what=error.what, why=error.why, next_step=error.next_step)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
