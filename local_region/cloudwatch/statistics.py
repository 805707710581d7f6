"""Statistics of weighted samples, as CloudWatch defines them."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from operator import mul

BASIC = ("SampleCount", "Sum", "Average", "Minimum", "Maximum")
_PERCENTILE = re.compile(r"[pP](\d{1,3}(?:\.\d{1,10})?)")


class UnsupportedStatistic(ValueError):
    """CloudWatch knows more statistics (tm99, wm, pr, ...); this region does not compute them."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The statistic {name} is not emulated by the local region: "
            f"use {', '.join(BASIC)} or p0..p100"
        )


@dataclass(frozen=True, slots=True)
class StatisticSet:
    """Pre-aggregated samples: percentiles of them are unknown unless they are all alike."""

    sample_count: float
    total: float
    minimum: float
    maximum: float

    @property
    def is_one_value(self) -> bool:
        return self.minimum == self.maximum and self.total == self.minimum * self.sample_count


@dataclass(frozen=True, slots=True)
class Samples:
    """Values in ascending order with their counts, and statistic sets. Made by `of`."""

    values: array[float]
    counts: array[float]
    sets: tuple[StatisticSet, ...] = ()

    @classmethod
    def of(
        cls,
        values: Sequence[float],
        counts: Sequence[float],
        sets: tuple[StatisticSet, ...] = (),
    ) -> Samples:
        """Sorted once here, so that every percentile asked for later is cheap."""
        seen = sorted((v, c) for v, c in zip(values, counts, strict=True) if c > 0)
        return cls(array("d", [v for v, _ in seen]), array("d", [c for _, c in seen]), sets)

    @classmethod
    def merged(cls, parts: Sequence[Samples]) -> Samples:
        """All samples together."""
        if len(parts) == 1:
            return parts[0]
        values = list(chain.from_iterable(part.values for part in parts))
        counts = list(chain.from_iterable(part.counts for part in parts))
        return cls.of(values, counts, tuple(chain.from_iterable(part.sets for part in parts)))

    @property
    def sample_count(self) -> float:
        return sum(self.counts) + sum(s.sample_count for s in self.sets)

    @property
    def total(self) -> float:
        own: float = sum(map(mul, self.values, self.counts))
        return own + sum(s.total for s in self.sets)


def percentile_rank(statistic: str) -> float | None:
    """95.0 for `p95`, 99.9 for `p99.9`; None for what is no percentile."""
    match = _PERCENTILE.fullmatch(statistic)
    if match is None or not 0 <= (rank := float(match[1])) <= 100:
        return None
    return rank


def require_supported(statistic: str) -> None:
    """Raises UnsupportedStatistic."""
    if statistic not in BASIC and percentile_rank(statistic) is None:
        raise UnsupportedStatistic(statistic)


def statistic_of(samples: Samples, statistic: str) -> float | None:
    """One statistic of one period's samples; None when it cannot be known from them.

    Percentiles are not available from statistic sets, nor with negative values (as AWS documents).
    Raises UnsupportedStatistic.
    """
    rank = percentile_rank(statistic)
    if rank is not None:
        return _percentile(samples, rank)
    count = samples.sample_count
    if count <= 0:
        return None
    basic: dict[str, Callable[[], float]] = {
        "SampleCount": lambda: count,
        "Sum": lambda: samples.total,
        "Average": lambda: samples.total / count,
        "Minimum": lambda: min([*samples.values[:1], *(s.minimum for s in samples.sets)]),
        "Maximum": lambda: max([*samples.values[-1:], *(s.maximum for s in samples.sets)]),
    }
    if statistic not in basic:
        raise UnsupportedStatistic(statistic)
    return basic[statistic]()


def _percentile(samples: Samples, rank: float) -> float | None:
    """Linear interpolation between the two nearest ranks of the expanded samples."""
    if any(not s.is_one_value for s in samples.sets):
        return None
    if samples.sets:
        alike = Samples.of(
            [s.minimum for s in samples.sets], [s.sample_count for s in samples.sets]
        )
        samples = Samples.merged([Samples(samples.values, samples.counts), alike])
    if not samples.values or samples.values[0] < 0:
        return None
    seen = list(accumulate(samples.counts))
    position = rank / 100 * max(seen[-1] - 1, 0)
    lower = int(position)

    def at(index: int) -> float:
        return samples.values[min(bisect_right(seen, index), len(seen) - 1)]

    low, fraction = at(lower), position - lower
    return low + fraction * (at(lower + 1) - low) if fraction else low
