"""Statistics of weighted samples, as CloudWatch defines them."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass

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
    """Values with counts, and statistic sets."""

    values: array[float]
    counts: array[float]
    sets: tuple[StatisticSet, ...] = ()

    @classmethod
    def merged(cls, parts: Iterable[Samples]) -> Samples:
        """All samples together."""
        parts = list(parts)
        if len(parts) == 1:
            return parts[0]
        values, counts = array("d"), array("d")
        sets: tuple[StatisticSet, ...] = ()
        for part in parts:
            values.extend(part.values)
            counts.extend(part.counts)
            sets += part.sets
        return cls(values, counts, sets)

    @property
    def sample_count(self) -> float:
        return sum(self.counts) + sum(s.sample_count for s in self.sets)

    @property
    def total(self) -> float:
        own = sum(v * c for v, c in zip(self.values, self.counts, strict=True))
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
        "Minimum": lambda: min([*samples.values, *(s.minimum for s in samples.sets)]),
        "Maximum": lambda: max([*samples.values, *(s.maximum for s in samples.sets)]),
    }
    if statistic not in basic:
        raise UnsupportedStatistic(statistic)
    return basic[statistic]()


def _percentile(samples: Samples, rank: float) -> float | None:
    """Linear interpolation between the two nearest ranks of the expanded, sorted samples."""
    if any(not s.is_one_value for s in samples.sets):
        return None
    weighted = [
        *((v, c) for v, c in zip(samples.values, samples.counts, strict=True) if c > 0),
        *((s.minimum, s.sample_count) for s in samples.sets),
    ]
    if not weighted:
        return None
    weighted.sort()
    if weighted[0][0] < 0:
        return None
    position = rank / 100 * max(sum(c for _, c in weighted) - 1, 0)
    lower = int(position)
    low = _at(weighted, lower)
    fraction = position - lower
    return low + fraction * (_at(weighted, lower + 1) - low) if fraction else low


def _at(weighted: list[tuple[float, float]], index: int) -> float:
    seen = 0.0
    for value, count in weighted:
        seen += count
        if index < seen:
            return value
    return weighted[-1][0]
