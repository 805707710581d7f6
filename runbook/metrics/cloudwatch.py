"""CloudWatch metrics as frames: UTC index, one column a query, the unit in its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd

from runbook import aws
from runbook.environment import Environment
from runbook.metrics.service import ServiceIdentity, service_identity

#: GetMetricData takes at most this many queries a call (CloudWatch API reference).
MAX_QUERIES = 500


@dataclass(frozen=True)
class MetricQuery:
    """One column: a statistic of a metric every `period_s`, times `scale`."""

    column: str
    namespace: str
    metric: str
    statistic: str
    dimensions: dict[str, str] = field(default_factory=dict)
    period_s: int = 60
    scale: float = 1.0

    def to_request(self, query_id: str) -> dict[str, Any]:
        """The query as GetMetricData takes it."""
        dimensions = [{"Name": name, "Value": value} for name, value in self.dimensions.items()]
        return {
            "Id": query_id,
            "MetricStat": {
                "Metric": {
                    "Namespace": self.namespace,
                    "MetricName": self.metric,
                    "Dimensions": dimensions,
                },
                "Period": self.period_s,
                "Stat": self.statistic,
            },
            "ReturnData": True,
        }


def get_metrics(
    cloudwatch: Any, queries: Sequence[MetricQuery], start: datetime, end: datetime
) -> pd.DataFrame:
    """Read queries over [start, end); a column without data is all NaN.

    The index (`time`, UTC, ascending) holds the starts of the periods. CloudWatch rounds
    `start` down, so rows before it are cut off here.
    """
    series = {}
    for first in range(0, len(queries), MAX_QUERIES):
        chunk = queries[first : first + MAX_QUERIES]
        by_id = {f"q{first + index}": query for index, query in enumerate(chunk)}
        points: dict[str, dict[datetime, float]] = {query_id: {} for query_id in by_id}
        for result in _results(cloudwatch, by_id, start, end):
            pairs = zip(result["Timestamps"], result["Values"], strict=True)
            points[result["Id"]].update(pairs)
        for query_id, query in by_id.items():
            series[query.column] = _series(points[query_id]) * query.scale
    frame = pd.DataFrame(series, columns=[query.column for query in queries], dtype=float)
    frame.index = pd.DatetimeIndex(frame.index, tz="UTC", name="time")
    frame = frame.sort_index()
    return frame.loc[(frame.index >= start) & (frame.index < end)]


def _results(
    cloudwatch: Any, by_id: dict[str, MetricQuery], start: datetime, end: datetime
) -> Iterator[dict[str, Any]]:
    request: dict[str, Any] = {
        "MetricDataQueries": [query.to_request(query_id) for query_id, query in by_id.items()],
        "StartTime": start,
        "EndTime": end,
        "ScanBy": "TimestampAscending",
    }
    while True:
        answer = cloudwatch.get_metric_data(**request)
        yield from answer["MetricDataResults"]
        if not answer.get("NextToken"):
            return
        request["NextToken"] = answer["NextToken"]


def _series(points: dict[datetime, float]) -> pd.Series[float]:
    index = pd.DatetimeIndex(pd.to_datetime(list(points), utc=True))
    return pd.Series(list(points.values()), index=index, dtype=float)


def service_queries(
    identity: ServiceIdentity, period_s: int, *, local: bool
) -> tuple[MetricQuery, ...]:
    """The queries behind `service_metrics`. `local` adds what only the local region knows."""
    both = {"LoadBalancer": identity.balancer, "TargetGroup": identity.target_group}
    service = {"ClusterName": identity.cluster, "ServiceName": identity.service}
    balancer = {"LoadBalancer": identity.balancer}
    elb, ecs, insights = "AWS/ApplicationELB", "AWS/ECS", "ECS/ContainerInsights"
    per_minute = 60.0 / period_s
    rows: list[tuple[str, str, str, str, dict[str, str], float]] = [
        ("trt_p50_ms", elb, "TargetResponseTime", "p50", both, 1000.0),
        ("trt_p95_ms", elb, "TargetResponseTime", "p95", both, 1000.0),
        ("trt_p99_ms", elb, "TargetResponseTime", "p99", both, 1000.0),
        ("requests", elb, "RequestCount", "Sum", both, 1.0),
        ("rate_rps", elb, "RequestCount", "Sum", both, 1.0 / period_s),
        ("requests_per_target_per_min", elb, "RequestCountPerTarget", "Sum", both, per_minute),
        ("target_5xx", elb, "HTTPCode_Target_5XX_Count", "Sum", both, 1.0),
        ("elb_5xx", elb, "HTTPCode_ELB_5XX_Count", "Sum", balancer, 1.0),
        ("healthy", elb, "HealthyHostCount", "Minimum", both, 1.0),
        ("cpu_pct", ecs, "CPUUtilization", "Average", service, 1.0),
        ("cpu_max_pct", ecs, "CPUUtilization", "Maximum", service, 1.0),
        ("memory_pct", ecs, "MemoryUtilization", "Average", service, 1.0),
        ("running", insights, "RunningTaskCount", "Average", service, 1.0),
        ("desired", insights, "DesiredTaskCount", "Average", service, 1.0),
        ("pending", insights, "PendingTaskCount", "Average", service, 1.0),
    ]
    if local:
        rows += [
            ("throttled_pct", "LocalRegion", "ThrottledPeriodsPercent", "Maximum", service, 1.0),
            ("host_busy_cores", "LocalRegion", "HostBusyCores", "Average", {}, 1.0),
        ]
    return tuple(
        MetricQuery(column, namespace, metric, statistic, dimensions, period_s, scale)
        for column, namespace, metric, statistic, dimensions, scale in rows
    )


def service_metrics(
    environment: Environment,
    start: datetime,
    end: datetime,
    *,
    identity: ServiceIdentity | None = None,
    cloudwatch: Any = None,
) -> pd.DataFrame:
    """What CloudWatch knows of the service in [start, end), a row a metric period.

    Columns: `trt_p50_ms trt_p95_ms trt_p99_ms` (target response time), `requests` (in the
    period), `rate_rps`, `requests_per_target_per_min`, `target_5xx`, `elb_5xx`, `healthy`,
    `cpu_pct`, `cpu_max_pct`, `memory_pct` (of the reservation), `running`, `desired`,
    `pending`, and `throttled_pct`, `host_busy_cores`, which are NaN outside `local`.
    """
    identity = identity or service_identity(environment)
    cloudwatch = cloudwatch or aws.client(environment, "cloudwatch")
    queries = service_queries(identity, environment.metric_period_s, local=environment.is_local)
    frame = get_metrics(cloudwatch, queries, start, end)
    for column in ("throttled_pct", "host_busy_cores"):
        if column not in frame:
            frame[column] = float("nan")
    return frame
