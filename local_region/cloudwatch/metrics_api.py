"""PutMetricData, ListMetrics and GetMetricStatistics."""

from __future__ import annotations

import time
from typing import Any

from local_region.cloudwatch.metric_data import time_span
from local_region.cloudwatch.queries import (
    Request,
    dimensions_of,
    period_of,
    required,
    supported,
    validation_error,
)
from local_region.cloudwatch.statistics import (
    BASIC,
    Samples,
    StatisticSet,
    percentile_rank,
    statistic_of,
)
from local_region.cloudwatch.store import MetricKey, MetricStore, Scope
from local_region.cloudwatch.wire import epoch_s
from local_region.errors import AwsError

_MAX_VALUES = 150
_MAX_STATISTICS_POINTS = 1440
_LIST_PAGE = 500
_RECENT_S = 3 * 3600


def put_metric_data(store: MetricStore, scope: Scope, request: Request) -> dict[str, Any]:
    """Store every datum. Raises AwsError; then nothing of the request is stored."""
    namespace = str(required(request, "Namespace"))
    if namespace.startswith("AWS/"):
        raise AwsError(
            "InvalidParameterValue",
            f"The value {namespace} for parameter Namespace is invalid: AWS/ is reserved.",
        )
    data = request.get("MetricData") or []
    if not data:
        raise validation_error("The parameter MetricData is required.")
    for arguments in [_read_datum(datum) for datum in data]:
        store.put(namespace, scope=scope, **arguments)
    return {}


def _read_datum(datum: Request) -> dict[str, Any]:
    read: dict[str, Any] = {
        "name": str(required(datum, "MetricName")),
        "dimensions": dimensions_of(datum.get("Dimensions")),
        "timestamp_s": epoch_s(datum["Timestamp"]) if datum.get("Timestamp") else time.time(),
        "unit": str(datum.get("Unit") or "None"),
        "values": [],
    }
    values, counts, sets = datum.get("Values"), datum.get("Counts"), datum.get("StatisticValues")
    if values:
        if len(values) > _MAX_VALUES:
            raise validation_error(f"The collection MetricData.Values must have at most "
                                   f"{_MAX_VALUES} entries.")  # fmt: skip
        if counts and len(counts) != len(values):
            raise AwsError(
                "InvalidParameterCombination",
                "The parameters Values and Counts must have the same number of entries.",
            )
        read["values"] = [float(v) for v in values]
        read["counts"] = [float(c) for c in counts] if counts else None
    elif sets:
        numbers = (float(required(sets, n)) for n in ("SampleCount", "Sum", "Minimum", "Maximum"))
        read["statistic_set"] = StatisticSet(*numbers)
    else:
        read["values"] = [float(required(datum, "Value"))]
    return read


def list_metrics(store: MetricStore, scope: Scope, request: Request) -> dict[str, Any]:
    """Metrics by namespace, name and dimensions (a dimension without a value means any value)."""
    since_s = time.time() - _RECENT_S if request.get("RecentlyActive") == "PT3H" else 0.0
    found = [key for key in store.keys(since_s=since_s, scope=scope) if _matches(key, request)]
    start = int(request.get("NextToken") or 0)
    answer: dict[str, Any] = {
        "Metrics": [
            {
                "Namespace": key.namespace,
                "MetricName": key.name,
                "Dimensions": [{"Name": n, "Value": v} for n, v in key.dimensions],
            }
            for key in found[start : start + _LIST_PAGE]
        ]
    }
    if len(found) > start + _LIST_PAGE:
        answer["NextToken"] = str(start + _LIST_PAGE)
    return answer


def _matches(key: MetricKey, request: Request) -> bool:
    if request.get("Namespace") not in (None, "", key.namespace):
        return False
    if request.get("MetricName") not in (None, "", key.name):
        return False
    dimensions = dict(key.dimensions)
    return all(
        wanted["Name"] in dimensions
        and wanted.get("Value") in (None, "", dimensions[wanted["Name"]])
        for wanted in request.get("Dimensions") or ()
    )


def get_metric_statistics(store: MetricStore, scope: Scope, request: Request) -> dict[str, Any]:
    """Basic and extended statistics of one metric, oldest first. Raises AwsError."""
    name = str(required(request, "MetricName"))
    key = MetricKey.of(
        str(required(request, "Namespace")), name, dimensions_of(request.get("Dimensions"))
    )
    basic = [str(s) for s in request.get("Statistics") or ()]
    extended = [supported(str(s)) for s in request.get("ExtendedStatistics") or ()]
    if not basic and not extended:
        raise AwsError(
            "InvalidParameterCombination", "Must specify either Statistics or ExtendedStatistics"
        )
    if unknown := [s for s in basic if s not in BASIC]:
        raise validation_error(f"Statistics must be of {', '.join(BASIC)}: {', '.join(unknown)}")
    if wrong := [s for s in extended if percentile_rank(s) is None]:
        raise validation_error(f"ExtendedStatistics must be percentiles: {', '.join(wrong)}")
    period_s = period_of(required(request, "Period"))
    start_s, end_s = time_span(request)
    if (end_s - start_s) / period_s > _MAX_STATISTICS_POINTS:
        raise AwsError(
            "InvalidParameterCombination",
            f"You have requested up to {(end_s - start_s) / period_s:.0f} datapoints, which "
            f"exceeds the limit of {_MAX_STATISTICS_POINTS}. You may reduce the datapoints "
            "requested by increasing Period, or decreasing the time range.",
        )
    unit = request.get("Unit") or None
    start_s = start_s // period_s * period_s
    periods = store.periods(key, start_s, end_s, period_s, unit=unit, scope=scope)
    named = unit or store.unit(key, scope=scope)
    return {
        "Label": name,
        "Datapoints": [_datapoint(at, samples, named, basic, extended) for at, samples in periods],
    }


def _datapoint(
    at: float, samples: Samples, unit: str, basic: list[str], extended: list[str]
) -> dict[str, Any]:
    point: dict[str, Any] = {"Timestamp": at, "Unit": unit}
    point |= {s: statistic_of(samples, s) for s in basic}
    percentiles = {s: statistic_of(samples, s) for s in extended}
    known = {s: value for s, value in percentiles.items() if value is not None}
    if known:
        point["ExtendedStatistics"] = known
    return point
