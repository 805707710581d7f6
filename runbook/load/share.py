"""One load, driven by several processes: who takes which arrival, and how rows come together.

All draw the same arrivals from the plan's seed; process w of W takes every W-th, from w on.
So the whole is exactly the plan's schedule, and putting the rows back by their number gives
exactly what one process would have recorded: percentiles and histograms are not estimated
from parts.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runbook.load.kinds import choose
from runbook.load.measurement import RawLoad
from runbook.load.plan import LoadPlan
from runbook.load.schedule import arrivals

_PACKED = np.dtype([("number", "<i8"), ("sent_s", "<f8"), ("done_s", "<f8"), ("status", "<i2")])


@dataclass(frozen=True)
class Rows:
    """Some requests a process has sent: their numbers in the schedule, and what became of them."""

    number: NDArray[np.int64]
    sent_s: NDArray[np.float64]
    done_s: NDArray[np.float64]
    status: NDArray[np.int16]

    def pack(self) -> str:
        """The rows as text, for a message: 35 bytes a row, not compressed, which takes time."""
        packed = np.empty(len(self.number), dtype=_PACKED)
        for name in _PACKED.fields or ():
            packed[name] = getattr(self, name)
        return b64encode(packed.tobytes()).decode("ascii")

    @classmethod
    def unpack(cls, content: str) -> Rows:
        """The inverse of `pack`."""
        packed = np.frombuffer(b64decode(content), dtype=_PACKED)
        return cls(**{name: packed[name] for name in _PACKED.fields or ()})


def numbers_of(index: int, count: int, arrivals_in_all: int) -> range:
    """The numbers of the arrivals that process `index` of `count` takes."""
    return range(index, arrivals_in_all, count)


class Together:
    """All processes' rows in the order of the schedule; its size is the schedule's.

    Rows may come in any order, and once more when more is known of them: the last word counts.
    """

    def __init__(self, plan: LoadPlan) -> None:
        kinds = plan.request_kinds()
        self._intended_s = arrivals(plan.segments, seed=plan.seed, process=plan.process)
        count = len(self._intended_s)
        self._kind = choose(kinds, count, plan.seed) if len(kinds) > 1 else None
        self._sent_s, self._done_s = np.zeros(count), np.zeros(count)
        self._status = np.zeros(count, dtype=np.int16)

    def put(self, rows: Rows) -> None:
        """Take rows in."""
        self._sent_s[rows.number] = rows.sent_s
        self._done_s[rows.number] = rows.done_s
        self._status[rows.number] = rows.status

    def raw(self) -> RawLoad:
        """Every row heard of so far, as one recording."""
        return RawLoad(
            self._intended_s, self._sent_s, self._done_s, self._status, self._kind
        ).where(self._status != 0)
