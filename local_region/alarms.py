"""Alarms evaluated as CloudWatch does it: every period, on complete periods only.

The rules are `runbook.scaling.alarms`; here are the datapoints they are given, the records they
change and the moment they are asked: a little after a period's end, when its data is in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from local_region.cloudwatch.queries import Evaluation, Query, read_queries
from local_region.cloudwatch.statistics import percentile_rank
from local_region.cloudwatch.store import MetricStore, Scope
from local_region.errors import AwsError
from local_region.seams import cloudwatch, core
from runbook.scaling.alarms import AlarmDecision, AlarmRule, evaluate_alarm, evaluation_range

_log = logging.getLogger("local_region.alarms")


@dataclass(frozen=True)
class Evaluated:
    """An alarm's latest evaluation; `newest_at_s` is when the newest datapoint's period began."""

    decision: AlarmDecision
    period_s: int
    newest_at_s: float | None


class AlarmEvaluator:
    """Evaluates the alarms of every account and region. `clock` stamps transitions."""

    def __init__(self, store: MetricStore, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self._latest: dict[tuple[Scope, str], Evaluated] = {}

    def latest(self, scope: Scope, name: str) -> Evaluated | None:
        """The alarm's last evaluation, None before its first."""
        return self._latest.get((scope, name))

    def evaluate_due(self, scope: Scope, end_s: int) -> set[str]:
        """Evaluate the scope's alarms whose period ends at `end_s`; their names.

        An alarm that cannot be evaluated is left as it is and logged: one bad expression must
        not stop the others.
        """
        due: set[str] = set()
        with core.request_scope(*scope):
            records = cloudwatch.alarms()
            for key in [key for key in self._latest if key[0] == scope and key[1] not in records]:
                del self._latest[key]
            for name, record in records.items():
                try:
                    if self._evaluate(scope, name, record, end_s):
                        due.add(name)
                except (AwsError, ValueError, KeyError) as error:
                    _log.warning("alarm %s was not evaluated: %s", name, error)
        return due

    def _evaluate(self, scope: Scope, name: str, record: dict[str, Any], end_s: int) -> bool:
        query, queries = _alarm_query(record)
        rule = AlarmRule.from_api(record)
        count = evaluation_range(rule)
        probe = Evaluation(self._store, scope, queries, end_s, end_s)
        period_s = probe.period_s(query)
        if end_s % period_s:
            return False
        span = Evaluation(self._store, scope, queries, end_s - count * period_s, end_s)
        values, starts = span.series(query), span.grid(period_s)
        samples = None
        if rule.evaluate_low_sample == "ignore" and query.stat is not None:
            samples = span.series(_sample_count(query))
        decision = evaluate_alarm(rule, values, record["StateValue"], sample_counts=samples)
        known = [at for at, value in zip(starts, values, strict=True) if value is not None]
        self._latest[scope, name] = Evaluated(decision, period_s, known[-1] if known else None)
        if decision.state != record["StateValue"]:
            points = [(at, v) for at, v in zip(starts, values, strict=True) if v is not None]
            data = _reason_data(record, rule, query, period_s, points, self._clock())
            _log.info("alarm %s: %s -> %s: %s", name, record["StateValue"], decision.state,
                      decision.reason)  # fmt: skip
            cloudwatch.record_transition(
                record, decision.state, decision.reason, data, self._clock()
            )
        return True


def _alarm_query(record: Mapping[str, Any]) -> tuple[Query, tuple[Query, ...]]:
    """What the alarm watches, and all queries that takes."""
    if listed := record.get("Metrics"):
        queries = read_queries(listed)
        return next(query for query in queries if query.return_data), queries
    metric = {key: record[key] for key in ("Namespace", "MetricName", "Dimensions")}
    stat = {
        "Metric": metric,
        "Period": record["Period"],
        "Stat": record.get("ExtendedStatistic") or record["Statistic"],
        "Unit": record.get("Unit"),
    }
    queries = read_queries([{"Id": "m", "MetricStat": stat}])
    return queries[0], queries


def _sample_count(query: Query) -> Query:
    assert query.stat is not None
    return replace(query, id=f"{query.id}_count", stat=replace(query.stat, statistic="SampleCount"))


def _reason_data(
    record: Mapping[str, Any],
    rule: AlarmRule,
    query: Query,
    period_s: int,
    points: Sequence[tuple[float, float]],
    now_s: float,
) -> dict[str, Any]:
    """StateReasonData as CloudWatch writes it: what was looked at."""
    recent = points[-rule.evaluation_periods :]
    statistic = query.stat.statistic if query.stat is not None else None
    data: dict[str, Any] = {"version": "1.0", "queryDate": _stamp(now_s), "period": period_s}
    if recent:
        data["startDate"] = _stamp(recent[0][0])
    if statistic and percentile_rank(statistic) is None:
        data["statistic"] = statistic
    elif statistic:
        data["extendedStatistic"] = statistic
    return data | {
        "recentDatapoints": [value for _, value in recent],
        "threshold": record["Threshold"],
        "evaluatedDatapoints": [
            {"timestamp": _stamp(at), "value": value} for at, value in reversed(recent)
        ],
    }


def _stamp(at_s: float) -> str:
    moment = datetime.fromtimestamp(at_s, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}+0000"
