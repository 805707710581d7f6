"""PutMetricAlarm: what a metric alarm's record holds, for one metric or for metric math."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_region.cloudwatch.queries import (
    Request,
    dimensions_of,
    period_of,
    read_queries,
    required,
    supported,
    validation_error,
)
from local_region.cloudwatch.statistics import BASIC
from local_region.cloudwatch.store import Scope
from local_region.errors import AwsError

COMPARISONS = (
    "GreaterThanThreshold",
    "GreaterThanOrEqualToThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
)
_MISSING_DATA = ("missing", "ignore", "breaching", "notBreaching")
_KEPT_STATE = (
    "StateValue",
    "StateReason",
    "StateReasonData",
    "StateUpdatedTimestamp",
    "StateTransitionedTimestamp",
)
_FIRST_REASON = "Unchecked: Initial alarm creation"


def alarm_arn(scope: Scope, name: str) -> str:
    """The alarm's ARN."""
    return f"arn:aws:cloudwatch:{scope[1]}:{scope[0]}:alarm:{name}"


def alarm_record(
    request: Request, scope: Scope, now_s: float, existing: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The record of a PutMetricAlarm request; an existing alarm keeps its state.

    Raises AwsError for what CloudWatch refuses, and for anomaly detection, which is not emulated.
    """
    name = str(required(request, "AlarmName"))
    comparison = str(required(request, "ComparisonOperator"))
    if comparison not in COMPARISONS or request.get("ThresholdMetricId"):
        raise validation_error(
            f"ComparisonOperator {comparison} is not emulated by the local region: "
            f"use one of {', '.join(COMPARISONS)} with a Threshold"
        )
    evaluation_periods = int(required(request, "EvaluationPeriods"))
    if evaluation_periods < 1:
        raise validation_error(f"Value '{evaluation_periods}' at 'evaluationPeriods' failed to "
                               "satisfy constraint: Member must have value greater than or equal "
                               "to 1")  # fmt: skip
    missing = str(request.get("TreatMissingData") or "missing")
    if missing not in _MISSING_DATA:
        raise validation_error(f"TreatMissingData must be one of {', '.join(_MISSING_DATA)}")
    record: dict[str, Any] = {
        "AlarmName": name,
        "AlarmArn": alarm_arn(scope, name),
        "AlarmDescription": str(request.get("AlarmDescription") or ""),
        "AlarmConfigurationUpdatedTimestamp": now_s,
        "ActionsEnabled": str(request.get("ActionsEnabled", True)).lower() != "false",
        "OKActions": _names(request.get("OKActions")),
        "AlarmActions": _names(request.get("AlarmActions")),
        "InsufficientDataActions": _names(request.get("InsufficientDataActions")),
        "Dimensions": [],
        "EvaluationPeriods": evaluation_periods,
        "Threshold": float(required(request, "Threshold")),
        "ComparisonOperator": comparison,
        "TreatMissingData": missing,
        "StateValue": "INSUFFICIENT_DATA",
        "StateReason": _FIRST_REASON,
        "StateUpdatedTimestamp": now_s,
        "StateTransitionedTimestamp": now_s,
    }
    record |= _datapoints_to_alarm(request, evaluation_periods)
    record |= _metrics(request) if request.get("Metrics") else _metric(request)
    if low_samples := request.get("EvaluateLowSampleCountPercentile"):
        record["EvaluateLowSampleCountPercentile"] = str(low_samples)
    if existing:
        record |= {key: existing[key] for key in _KEPT_STATE if key in existing}
    return record


def tags_of(request: Request) -> dict[str, str]:
    """The request's tags."""
    return {str(tag["Key"]): str(tag.get("Value", "")) for tag in request.get("Tags") or ()}


def _names(listed: Any) -> list[str]:
    return [str(name) for name in ([listed] if isinstance(listed, str) else listed or ())]


def _datapoints_to_alarm(request: Request, evaluation_periods: int) -> dict[str, int]:
    # AWS describes DatapointsToAlarm only when the request set it.
    if request.get("DatapointsToAlarm") in (None, ""):
        return {}
    datapoints = int(request["DatapointsToAlarm"])
    if not 1 <= datapoints <= evaluation_periods:
        raise validation_error("DatapointsToAlarm must be between 1 and EvaluationPeriods")
    return {"DatapointsToAlarm": datapoints}


def _metric(request: Request) -> dict[str, Any]:
    statistic, extended = request.get("Statistic"), request.get("ExtendedStatistic")
    if bool(statistic) == bool(extended):
        raise AwsError(
            "InvalidParameterCombination",
            "Exactly one of Statistic and ExtendedStatistic must be specified",
        )
    if statistic and statistic not in BASIC:
        raise validation_error(f"Statistic must be one of {', '.join(BASIC)}")
    record: dict[str, Any] = {
        "MetricName": str(required(request, "MetricName")),
        "Namespace": str(required(request, "Namespace")),
        "Dimensions": [
            {"Name": n, "Value": v} for n, v in dimensions_of(request.get("Dimensions")).items()
        ],
        "Period": period_of(required(request, "Period")),
    }
    if statistic:
        record["Statistic"] = str(statistic)
    else:
        record["ExtendedStatistic"] = supported(str(extended))
    if request.get("Unit"):
        record["Unit"] = str(request["Unit"])
    return record


def _metrics(request: Request) -> dict[str, Any]:
    mixed = [n for n in ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period")
             if request.get(n)]  # fmt: skip
    if mixed:
        raise AwsError(
            "InvalidParameterCombination",
            f"Metrics cannot be combined with {', '.join(mixed)}",
        )
    queries = read_queries(request["Metrics"])
    if sum(query.return_data for query in queries) != 1:
        raise validation_error("Exactly one element of the metrics list should return data.")
    # As the request wrote it, with numbers as numbers: templates hand over text.
    listed = []
    for given, query in zip(request["Metrics"], queries, strict=True):
        entry: dict[str, Any] = {"Id": query.id, "ReturnData": query.return_data}
        if given.get("Label"):
            entry["Label"] = query.label
        if query.period_s is not None:
            entry["Period"] = query.period_s
        if query.stat is None:
            entry["Expression"] = query.expression
        else:
            entry["MetricStat"] = {
                "Metric": {
                    "Namespace": query.stat.key.namespace,
                    "MetricName": query.stat.key.name,
                    "Dimensions": [{"Name": n, "Value": v} for n, v in query.stat.key.dimensions],
                },
                "Period": query.stat.period_s,
                "Stat": query.stat.statistic,
            } | ({"Unit": query.stat.unit} if query.stat.unit else {})
        listed.append(entry)
    return {"Metrics": listed}
