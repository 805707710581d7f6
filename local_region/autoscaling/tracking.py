"""The two alarms a target tracking policy brings with it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from local_region.autoscaling.records import Policy
from local_region.errors import AwsError
from local_region.settings import AWS_METRIC_PERIOD_S, Settings
from runbook.scaling.errors import PolicyError
from runbook.scaling.target_tracking import (
    AlarmSettings,
    AlarmSpec,
    TargetTrackingPolicy,
    alarms_for,
)

MEMBER = "TargetTrackingScalingPolicyConfiguration"
# The region's metrics have one period, finer than AWS's 20 s: both resolutions are read alike.
_ECS_METRICS = {
    "ECSServiceAverageCPUUtilization": "CPUUtilization",
    "ECSServiceAverageMemoryUtilization": "MemoryUtilization",
    "ECSServiceAverageCPUUtilizationHighResolution": "CPUUtilization",
    "ECSServiceAverageMemoryUtilizationHighResolution": "MemoryUtilization",
}
_REQUESTS = "ALBRequestCountPerTarget"
_SIDES = {"high": "AlarmHigh", "low": "AlarmLow"}


def tracking_policy(policy: Policy) -> TargetTrackingPolicy:
    """The policy as the scaling rules take it. Raises AwsError for a configuration they refuse."""
    try:
        return TargetTrackingPolicy.from_api(policy.name, policy.configuration)
    except (PolicyError, KeyError, TypeError, ValueError) as error:
        raise AwsError("ValidationException", f"{MEMBER} is invalid: {error}") from error


def alarm_requests(policy: Policy, settings: Settings) -> list[dict[str, Any]]:
    """PutMetricAlarm requests for AlarmHigh and AlarmLow, in this order; an updated policy keeps
    its alarms' names. Raises AwsError."""
    specs = alarms_for(
        tracking_policy(policy),
        AlarmSettings(settings.period_s, settings.alarm_high_periods, settings.alarm_low_periods),
    )
    return [
        {
            "AlarmName": _alarm_name(policy, spec),
            "AlarmDescription": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy "
            f"{policy.arn}.{_explanation(policy, settings)}",
            "ActionsEnabled": True,
            "AlarmActions": [policy.arn],
            "EvaluationPeriods": spec.rule.evaluation_periods,
            "Threshold": spec.rule.threshold,
            "ComparisonOperator": spec.rule.comparison,
            "TreatMissingData": spec.rule.treat_missing_data,
            **_metric(policy, settings),
        }
        for spec in specs
    ]


def side_of(alarm_name: str) -> str:
    """`high` or `low`, from a name `alarm_requests` made."""
    return "high" if "-AlarmHigh-" in alarm_name else "low"


def _alarm_name(policy: Policy, spec: AlarmSpec) -> str:
    prefix = f"TargetTracking-{policy.key.resource_id}-{_SIDES[spec.side]}-"
    kept = [name for name in policy.alarms if name.startswith(prefix)]
    return kept[0] if kept else f"{prefix}{uuid.uuid4()}"


def _explanation(policy: Policy, settings: Settings) -> str:
    predefined = policy.configuration.get("PredefinedMetricSpecification") or {}
    if settings.period_s == AWS_METRIC_PERIOD_S or predefined.get("PredefinedMetricType") != (
        _REQUESTS
    ):
        return ""
    return (
        f" The threshold counts requests per target and minute: each {settings.period_s} s sum "
        f"is scaled to a minute."
    )


def _metric(policy: Policy, settings: Settings) -> dict[str, Any]:
    predefined = policy.configuration.get("PredefinedMetricSpecification")
    customized = policy.configuration.get("CustomizedMetricSpecification")
    if bool(predefined) == bool(customized):
        raise AwsError(
            "ValidationException",
            "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification "
            "must be specified",
        )
    if customized:
        return _customized(customized, settings)
    kind = str(predefined["PredefinedMetricType"])  # type: ignore[index]
    if kind in _ECS_METRICS:
        return {
            "Namespace": "AWS/ECS",
            "MetricName": _ECS_METRICS[kind],
            "Statistic": "Average",
            "Period": settings.period_s,
            "Dimensions": [
                {"Name": "ClusterName", "Value": policy.key.cluster},
                {"Name": "ServiceName", "Value": policy.key.service},
            ],
        }
    if kind == _REQUESTS:
        return _requests_per_target(str(predefined.get("ResourceLabel") or ""), settings)  # type: ignore[union-attr]
    raise AwsError(
        "ValidationException",
        f"The predefined metric {kind} is not emulated by the local region: use one of "
        f"{', '.join([*_ECS_METRICS, _REQUESTS])}",
    )


def _requests_per_target(label: str, settings: Settings) -> dict[str, Any]:
    """Requests per target and minute, whatever the period: AWS has no period but the minute."""
    balancer, _, target_group = label.partition("/targetgroup/")
    if not balancer.startswith("app/") or not target_group:
        raise AwsError(
            "ValidationException",
            "ResourceLabel must be app/<load balancer name>/<id>/targetgroup/<name>/<id>, "
            f"not {label!r}",
        )
    metric = {
        "Namespace": "AWS/ApplicationELB",
        "MetricName": "RequestCountPerTarget",
        "Dimensions": [
            {"Name": "LoadBalancer", "Value": balancer},
            {"Name": "TargetGroup", "Value": f"targetgroup/{target_group}"},
        ],
    }
    period_s = settings.period_s
    if period_s == AWS_METRIC_PERIOD_S:
        return {**metric, "Statistic": "Sum", "Period": period_s}
    return {
        "Metrics": [
            {
                "Id": "sum",
                "MetricStat": {"Metric": metric, "Period": period_s, "Stat": "Sum"},
                "ReturnData": False,
            },
            {
                "Id": "per_minute",
                "Expression": f"sum * {AWS_METRIC_PERIOD_S} / {period_s}",
                "Label": "RequestCountPerTarget per minute",
                "ReturnData": True,
            },
        ]
    }


def _customized(specification: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    if metrics := specification.get("Metrics"):
        queries = []
        for query in metrics:
            read = {name: value for name, value in query.items() if name != "MetricStat"}
            if stat := query.get("MetricStat"):
                read["MetricStat"] = {**stat, "Period": settings.period_s}
            queries.append(read)
        return {"Metrics": queries}
    metric: dict[str, Any] = {
        "Namespace": specification.get("Namespace"),
        "MetricName": specification.get("MetricName"),
        "Dimensions": list(specification.get("Dimensions") or ()),
        "Statistic": specification.get("Statistic"),
        "Period": settings.period_s,
    }
    if specification.get("Unit"):
        metric["Unit"] = specification["Unit"]
    return metric
