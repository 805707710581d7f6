"""Every datapoint of every metric, in memory, thread-safe.

A datapoint is a bag of values, each with a count, at one timestamp: what PutMetricData's Values
and Counts say, so that any percentile can be asked later. Statistic sets are kept as published.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from local_region.cloudwatch.statistics import Samples, StatisticSet, statistic_of

Dimensions = tuple[tuple[str, str], ...]
Scope = tuple[str, str]
"""Account id, region."""

FINE_RETENTION_S = 3 * 3600.0
"""How long AWS keeps datapoints of less than a minute apart; then they are merged to minutes."""
RETENTION_S = 15 * 24 * 3600.0
_COMPACT_EVERY_S = 600.0


@dataclass(frozen=True)
class MetricKey:
    """One metric: a namespace, a name and exactly these dimensions."""

    namespace: str
    name: str
    dimensions: Dimensions = ()

    @classmethod
    def of(cls, namespace: str, name: str, dimensions: Mapping[str, str]) -> MetricKey:
        return cls(namespace, name, tuple(sorted(dimensions.items())))


@dataclass
class _Series:
    timestamps: list[float] = field(default_factory=list)
    data: list[Samples] = field(default_factory=list)
    units: list[str] = field(default_factory=list)

    def add(self, timestamp_s: float, unit: str, samples: Samples) -> None:
        at = bisect.bisect_right(self.timestamps, timestamp_s)
        if at and self.timestamps[at - 1] == timestamp_s and self.units[at - 1] == unit:
            self.data[at - 1] = Samples.merged([self.data[at - 1], samples])
            return
        self.timestamps.insert(at, timestamp_s)
        self.data.insert(at, samples)
        self.units.insert(at, unit)

    def between(self, start_s: float, end_s: float) -> range:
        return range(
            bisect.bisect_left(self.timestamps, start_s), bisect.bisect_left(self.timestamps, end_s)
        )


class MetricStore:
    """The metrics of every account and region; `scope` is what unscoped calls mean.

    Times are epoch seconds. `clock` only serves retention.
    """

    def __init__(
        self, scope: Scope, clock: Callable[[], float] = time.time, max_age_s: float = RETENTION_S
    ) -> None:
        self._scope = scope
        self._clock = clock
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        self._scopes: dict[Scope, dict[MetricKey, _Series]] = {}
        self._compacted_s = clock()

    def put(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        timestamp_s: float,
        unit: str,
        values: Sequence[float],
        counts: Sequence[float] | None = None,
        *,
        statistic_set: StatisticSet | None = None,
        scope: Scope | None = None,
    ) -> None:
        """Add values (each seen `counts` times, default once) at a timestamp; a second put merges.

        Raises ValueError when values and counts differ in number.
        """
        weights = counts if counts is not None else [1.0] * len(values)
        if len(weights) != len(values):
            raise ValueError(f"{len(values)} values with {len(weights)} counts")
        sets = () if statistic_set is None else (statistic_set,)
        samples = Samples.of(values, weights, sets)
        if not samples.sample_count:
            return
        key = MetricKey.of(namespace, name, dimensions)
        with self._lock:
            metrics = self._scopes.setdefault(scope or self._scope, {})
            metrics.setdefault(key, _Series()).add(float(timestamp_s), unit, samples)
            if self._clock() - self._compacted_s > _COMPACT_EVERY_S:
                self._compact()

    def statistic(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        statistic: str,
        start_s: float,
        end_s: float,
        period_s: float,
        *,
        unit: str | None = None,
        scope: Scope | None = None,
    ) -> list[tuple[float, float]]:
        """(start of period, value) for every period of [start, end) that has one, oldest first.

        Raises UnsupportedStatistic.
        """
        key = MetricKey.of(namespace, name, dimensions)
        found = []
        for at, samples in self.periods(key, start_s, end_s, period_s, unit=unit, scope=scope):
            value = statistic_of(samples, statistic)
            if value is not None:
                found.append((at, value))
        return found

    def periods(
        self,
        key: MetricKey,
        start_s: float,
        end_s: float,
        period_s: float,
        *,
        unit: str | None = None,
        scope: Scope | None = None,
    ) -> list[tuple[float, Samples]]:
        """The samples of each period of [start, end), aligned to the period, oldest first."""
        buckets: dict[float, list[Samples]] = {}
        with self._lock:
            series = self._scopes.get(scope or self._scope, {}).get(key)
            if series is None:
                return []
            for i in series.between(start_s, end_s):
                if unit is None or series.units[i] == unit:
                    at = series.timestamps[i] // period_s * period_s
                    buckets.setdefault(at, []).append(series.data[i])
        return [(at, Samples.merged(parts)) for at, parts in sorted(buckets.items())]

    def unit(self, key: MetricKey, *, scope: Scope | None = None) -> str:
        """The unit of the newest datapoint; CloudWatch's `None` without one."""
        with self._lock:
            series = self._scopes.get(scope or self._scope, {}).get(key)
            return series.units[-1] if series and series.units else "None"

    def keys(self, *, since_s: float = 0.0, scope: Scope | None = None) -> list[MetricKey]:
        """Every metric with a datapoint since then, in the order of their first one."""
        with self._lock:
            metrics = self._scopes.get(scope or self._scope, {})
            return [k for k, s in metrics.items() if s.timestamps and s.timestamps[-1] >= since_s]

    def _compact(self) -> None:
        now_s = self._clock()
        self._compacted_s = now_s
        for metrics in self._scopes.values():
            for key, series in list(metrics.items()):
                metrics[key] = compacted = _Series()
                for at, unit, samples in _aged(series, now_s, self._max_age_s):
                    compacted.add(at, unit, samples)
                if not compacted.timestamps:
                    del metrics[key]


def _aged(series: _Series, now_s: float, max_age_s: float) -> Iterator[tuple[float, str, Samples]]:
    """What remains of a series: old data gone, data older than three hours moved to minutes."""
    for at, unit, samples in zip(series.timestamps, series.units, series.data, strict=True):
        age_s = now_s - at
        if age_s <= max_age_s:
            yield (at // 60 * 60 if age_s > FINE_RETENTION_S else at), unit, samples
