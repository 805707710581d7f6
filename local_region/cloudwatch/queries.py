"""Metric queries as GetMetricData and metric-math alarms share them: read, then evaluated."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_region.cloudwatch.statistics import UnsupportedStatistic, require_supported
from local_region.cloudwatch.store import MetricKey, MetricStore, Scope
from local_region.errors import AwsError
from runbook.scaling import metric_math
from runbook.scaling.errors import MetricMathError

Request = Mapping[str, Any]


def validation_error(message: str) -> AwsError:
    """CloudWatch's answer to a request it cannot accept."""
    return AwsError("ValidationError", message)


def dimensions_of(listed: Sequence[Request] | None) -> dict[str, str]:
    """`[{Name, Value}]` as a mapping."""
    return {str(d["Name"]): str(d["Value"]) for d in listed or ()}


def required(request: Request, name: str) -> Any:
    """A member that must be there. Raises AwsError."""
    value = request.get(name)
    if value is None or value == "":
        raise validation_error(f"The parameter {name} is required.")
    return value


def period_of(value: Any) -> int:
    """A period in seconds: 1, 5, 10, 20, 30 or a multiple of 60. Raises AwsError."""
    period_s = int(value)
    if period_s not in (1, 5, 10, 20, 30) and (period_s < 60 or period_s % 60):
        raise validation_error(
            f"Invalid Period {period_s}: it must be 1, 5, 10, 20, 30 or a multiple of 60"
        )
    return period_s


def supported(statistic: str) -> str:
    """The statistic's name. Raises AwsError when this region does not compute it."""
    try:
        require_supported(statistic)
    except UnsupportedStatistic as error:
        raise validation_error(str(error)) from error
    return statistic


@dataclass(frozen=True)
class MetricStat:
    """One statistic of one metric."""

    key: MetricKey
    statistic: str
    period_s: int
    unit: str | None = None


@dataclass(frozen=True)
class Query:
    """One MetricDataQuery: a statistic or an expression over others' ids."""

    id: str
    stat: MetricStat | None
    expression: str | None
    label: str
    return_data: bool = True
    period_s: int | None = None


def read_queries(listed: Sequence[Request] | None) -> tuple[Query, ...]:
    """The MetricDataQueries of a request or of an alarm. Raises AwsError."""
    if not listed:
        raise validation_error("The parameter MetricDataQueries is required.")
    queries = tuple(_read_query(query) for query in listed)
    ids = [query.id for query in queries]
    for repeated in {i for i in ids if ids.count(i) > 1}:
        raise validation_error(f"The values for parameter id in MetricDataQueries are not unique: "
                               f"{repeated}")  # fmt: skip
    return queries


def _read_query(query: Request) -> Query:
    query_id = str(required(query, "Id"))
    return_data = str(query.get("ReturnData", True)).lower() != "false"
    period_s = period_of(query["Period"]) if query.get("Period") else None
    expression = query.get("Expression")
    if expression:
        label = str(query.get("Label") or query_id)
        return Query(query_id, None, str(expression), label, return_data, period_s)
    stat = required(query, "MetricStat")
    metric = required(stat, "Metric")
    key = MetricKey.of(
        str(required(metric, "Namespace")),
        str(required(metric, "MetricName")),
        dimensions_of(metric.get("Dimensions")),
    )
    read = MetricStat(
        key,
        supported(str(required(stat, "Stat"))),
        period_of(required(stat, "Period")),
        stat.get("Unit") or None,
    )
    label = str(query.get("Label") or key.name)
    return Query(query_id, read, None, label, return_data, period_s)


class Evaluation:
    """The queries of one request over one span of time. Each series is computed once."""

    def __init__(
        self,
        store: MetricStore,
        scope: Scope,
        queries: Sequence[Query],
        start_s: float,
        end_s: float,
    ) -> None:
        self._store, self._scope = store, scope
        self._queries = {query.id: query for query in queries}
        self._start_s, self._end_s = start_s, end_s
        self._series: dict[tuple[str, int], list[float | None]] = {}
        self._open: list[str] = []

    def grid(self, period_s: int) -> list[float]:
        """The starts of the periods the span touches, oldest first."""
        first = math.floor(self._start_s / period_s)
        last = math.ceil(self._end_s / period_s)
        return [float(i * period_s) for i in range(first, last)]

    def period_s(self, query: Query) -> int:
        """The query's own period, or the coarsest of what its expression refers to."""
        if query.stat is not None:
            return query.stat.period_s
        if query.period_s is not None:
            return query.period_s
        with self._entered(query):
            inner = [self.period_s(other) for other in self._referred(query)]
        return max(inner, default=60)

    def series(self, query: Query, period_s: int | None = None) -> list[float | None]:
        """The query's values on the grid of its period; None where there is no datapoint.

        Raises AwsError when the expression cannot be evaluated.
        """
        period_s = period_s or self.period_s(query)
        key = (query.id, period_s)
        if key not in self._series:
            self._series[key] = (
                self._metric(query.stat, period_s)
                if query.stat is not None
                else self._math(query, period_s)
            )
        return self._series[key]

    def _metric(self, stat: MetricStat, period_s: int) -> list[float | None]:
        grid = self.grid(period_s)
        if not grid:
            return []
        found = dict(
            self._store.statistic(
                stat.key.namespace,
                stat.key.name,
                dict(stat.key.dimensions),
                stat.statistic,
                grid[0],
                self._end_s,
                period_s,
                unit=stat.unit,
                scope=self._scope,
            )
        )
        return [found.get(at) for at in grid]

    def _math(self, query: Query, period_s: int) -> list[float | None]:
        with self._entered(query):
            series = {other.id: self.series(other, period_s) for other in self._referred(query)}
        try:
            return metric_math.evaluate(query.expression or "", series, period_s=period_s)
        except MetricMathError as error:
            raise validation_error(f"Error in expression '{query.id}': {error}") from error

    @contextlib.contextmanager
    def _entered(self, query: Query) -> Iterator[None]:
        if query.id in self._open:
            circle = " -> ".join([*self._open, query.id])
            raise validation_error(f"Error in expression '{query.id}': circular: {circle}")
        self._open.append(query.id)
        try:
            yield
        finally:
            self._open.pop()

    def _referred(self, query: Query) -> list[Query]:
        try:
            ids = metric_math.parse(query.expression or "").ids
        except MetricMathError as error:
            raise validation_error(f"Error in expression '{query.id}': {error}") from error
        missing = sorted(ids - self._queries.keys())
        if missing:
            raise validation_error(
                f"Error in expression '{query.id}': it refers to unknown ids {', '.join(missing)}"
            )
        if not ids:
            # METRICS() names nobody: every statistic of the request is meant.
            return [other for other in self._queries.values() if other.stat is not None]
        return [self._queries[i] for i in sorted(ids)]
