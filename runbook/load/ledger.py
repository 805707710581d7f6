"""What became of each request of a process that drives load, and what that cost."""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence

import numpy as np

from runbook.load.accounts import Account
from runbook.load.connection import UNFINISHED
from runbook.load.kinds import choose
from runbook.load.measurement import RawLoad, StepStats, step_stats
from runbook.load.plan import LoadPlan
from runbook.load.schedule import arrivals
from runbook.load.share import Rows, numbers_of

_WAITING = 0


class Ledger:
    """One row a request, in the order of the schedule; times are seconds after the start.

    `part` (index, count) names the process's share of the arrivals, `numbers` has the number in
    the whole schedule of each row. A row's `status` is 0 until its request has ended.
    """

    def __init__(self, plan: LoadPlan, part: tuple[int, int] = (0, 1)) -> None:
        self.plan = plan
        self.kinds = plan.request_kinds()
        intended_s = arrivals(plan.segments, seed=plan.seed, process=plan.process)
        self.numbers = numbers_of(*part, len(intended_s))
        own = slice(part[0], None, part[1])
        self.intended_s = intended_s[own].copy()
        self.kind = choose(self.kinds, len(intended_s), plan.seed)[own].copy()
        count = len(self.intended_s)
        # Arrays of Python's: setting one element of numpy's takes several times as long.
        self.sent_s = array("d", bytes(8 * count))
        self.done_s = array("d", bytes(8 * count))
        self.status = array("h", bytes(2 * count))
        self.edges_s: list[float] = np.cumsum(
            [0.0, *(segment.duration_s for segment in plan.segments)]
        ).tolist()
        self.accounts: list[Account] = []
        self.zero = 0.0

    def now_s(self) -> float:
        """Seconds after the start."""
        return time.monotonic() - self.zero

    def rows(self, which: Sequence[int]) -> Rows:
        """Some rows, to be handed to whom puts the parts together; see `raw`."""
        own = np.array(which, dtype=np.int64)
        done_s, status = np.asarray(self.done_s)[own], np.asarray(self.status)[own]
        waiting = status == _WAITING
        done_s[waiting], status[waiting] = self.now_s(), UNFINISHED
        number = self.numbers.start + own * self.numbers.step
        return Rows(number, np.asarray(self.sent_s)[own], done_s, status)

    def raw(self, sent: int) -> RawLoad:
        """The first `sent` rows; an outstanding request counts as lasting until now."""
        done_s, status = np.array(self.done_s[:sent]), np.array(self.status[:sent])
        waiting = status == _WAITING
        done_s[waiting], status[waiting] = self.now_s(), UNFINISHED
        return RawLoad(
            self.intended_s[:sent],
            np.asarray(self.sent_s)[:sent],
            done_s,
            status,
            self.kind[:sent] if len(self.kinds) > 1 else None,
        )

    def account(self) -> None:
        """Note at a step's edge what was spent until now."""
        self.accounts.append(Account.taken(self.now_s()))

    def statistics(self, step: int, raw: RawLoad) -> StepStats:
        """The statistics of a step that has both its accounts."""
        before, after = self.accounts[step], self.accounts[step + 1]
        seconds = max(after.at_s - before.at_s, 1e-9)
        return step_stats(
            raw,
            self.edges_s[step],
            min(self.edges_s[step + 1], after.at_s),
            label=self.plan.segments[step].label,
            rate_rps=self.plan.segments[step].mean_rps,
            driver_cpu_cores=(after.own_cpu_s - before.own_cpu_s) / seconds,
            host_busy_cores=(after.busy_cpu_s - before.busy_cpu_s) / seconds,
            classes=[kind.grouped_as for kind in self.kinds],
        )

    def steps(self, raw: RawLoad) -> list[StepStats]:
        """The statistics of every step that began, the last one possibly cut short."""
        return [self.statistics(step, raw) for step in range(len(self.accounts) - 1)]

    @property
    def cpu_s(self) -> float:
        """CPU seconds spent on the steps, without starting up."""
        return self.accounts[-1].own_cpu_s - self.accounts[0].own_cpu_s if self.accounts else 0.0
