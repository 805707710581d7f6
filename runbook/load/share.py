"""One load, driven by several processes: who takes which arrival, and how rows come together.

All draw the same arrivals from the plan's seed; process w of W takes every W-th, from w on.
So the whole is exactly the plan's schedule, and putting the rows back by their number gives
exactly what one process would have recorded: percentiles and histograms are not estimated
from parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from runbook.load.kinds import choose
from runbook.load.measurement import RawLoad
from runbook.load.plan import LoadPlan
from runbook.load.schedule import arrivals


@dataclass(frozen=True)
class Rows:
    """The requests a process has sent: their numbers in the schedule, and what became of them."""

    number: NDArray[np.int64]
    sent_s: NDArray[np.float64]
    done_s: NDArray[np.float64]
    status: NDArray[np.int16]

    def pack(self) -> bytes:
        """The rows as bytes, for a message."""
        file = BytesIO()
        np.savez_compressed(
            file, number=self.number, sent_s=self.sent_s, done_s=self.done_s, status=self.status
        )
        return file.getvalue()

    @classmethod
    def unpack(cls, content: bytes) -> Rows:
        """The inverse of `pack`."""
        with np.load(BytesIO(content)) as columns:
            return cls(**{name: columns[name] for name in columns.files})


def numbers_of(index: int, count: int, arrivals_in_all: int) -> range:
    """The numbers of the arrivals that process `index` of `count` takes."""
    return range(index, arrivals_in_all, count)


def together(plan: LoadPlan, parts: Iterable[Rows]) -> RawLoad:
    """All processes' rows as one recording, in the order of the schedule."""
    intended_s = arrivals(plan.segments, seed=plan.seed, process=plan.process)
    kinds = plan.request_kinds()
    which = choose(kinds, len(intended_s), plan.seed)
    some = list(parts)
    number = np.concatenate([rows.number for rows in some])
    order = np.argsort(number)
    number = number[order]
    return RawLoad(
        intended_s[number],
        np.concatenate([rows.sent_s for rows in some])[order],
        np.concatenate([rows.done_s for rows in some])[order],
        np.concatenate([rows.status for rows in some])[order],
        which[number] if len(kinds) > 1 else None,
    )
