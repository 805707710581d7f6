"""Puts our CloudWatch in place of the emulator's: metrics, queries, alarms' records."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from local_region.cloudwatch import alarm_api, metric_data, metrics_api
from local_region.cloudwatch.queries import dimensions_of, required
from local_region.cloudwatch.store import MetricStore
from local_region.seams import cloudwatch, core


def install(store: MetricStore) -> None:
    """Answer metric and alarm operations from our store. Raises SeamMoved."""
    for action, answer in {
        "PutMetricData": metrics_api.put_metric_data,
        "ListMetrics": metrics_api.list_metrics,
        "GetMetricStatistics": metrics_api.get_metric_statistics,
        "GetMetricData": metric_data.get_metric_data,
    }.items():
        cloudwatch.replace_operation(action, _with_store(answer, store))
    cloudwatch.replace_operation("PutMetricAlarm", put_metric_alarm)
    cloudwatch.replace_operation("DescribeAlarmsForMetric", describe_alarms_for_metric)
    cloudwatch.silence_own_evaluator()

    def publish(
        namespace: str,
        metric_name: str,
        value: float,
        unit: str = "None",
        dimensions: Mapping[str, str] | None = None,
    ) -> None:
        store.put(
            namespace,
            metric_name,
            dimensions or {},
            time.time(),
            unit,
            [value],
            scope=core.current_scope(),
        )

    cloudwatch.publish_service_metrics_to(publish)


def _with_store(answer: Any, store: MetricStore) -> cloudwatch.Operation:
    return lambda request: answer(store, core.current_scope(), request)


def put_metric_alarm(request: Mapping[str, Any]) -> dict[str, Any]:
    """Create or change a metric alarm of the current scope; tags apply to a new one only.

    Raises AwsError.
    """
    existing = cloudwatch.alarms().get(str(request.get("AlarmName")))
    record = alarm_api.alarm_record(request, core.current_scope(), time.time(), existing)
    cloudwatch.put_alarm(record)
    tags = alarm_api.tags_of(request)
    if existing is None and tags:
        cloudwatch.tag_alarm(record["AlarmName"], tags)
    return {}


def describe_alarms_for_metric(request: Mapping[str, Any]) -> dict[str, Any]:
    """The alarms on exactly this metric, optionally of one statistic and period."""
    wanted = {
        "Namespace": str(required(request, "Namespace")),
        "MetricName": str(required(request, "MetricName")),
    }
    for name in ("Statistic", "ExtendedStatistic", "Unit"):
        if request.get(name):
            wanted[name] = str(request[name])
    dimensions = dimensions_of(request.get("Dimensions"))
    period = request.get("Period")
    return {
        "MetricAlarms": [
            alarm
            for alarm in cloudwatch.alarms().values()
            if all(alarm.get(name) == value for name, value in wanted.items())
            and dimensions_of(alarm.get("Dimensions")) == dimensions
            and (not period or alarm.get("Period") == int(period))
        ]
    }
