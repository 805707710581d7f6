"""What alarms and scaling did, as frames."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import pandas as pd

from runbook import aws
from runbook.aws import pages
from runbook.environment import Environment
from runbook.metrics.service import service_identity

NAMESPACE, DIMENSION = "ecs", "ecs:service:DesiredCount"
_DESIRED = re.compile(r"desired count to (\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class ScalingAlarm:
    """An alarm that drives a scaling policy; `direction` is what it makes the policy do."""

    name: str
    policy: str
    policy_type: str
    direction: Literal["out", "in"]
    threshold: float
    period_s: int
    evaluation_periods: int

    @property
    def reaction_s(self) -> int:
        """The shortest time for which the metric must be beyond the threshold."""
        return self.period_s * self.evaluation_periods


def scaling_alarms(autoscaling: Any, cloudwatch: Any, resource_id: str) -> tuple[ScalingAlarm, ...]:
    """The alarms of all scaling policies of a resource, with their periods and thresholds."""
    policy_of = {}
    for policy in pages(
        autoscaling.describe_scaling_policies,
        "ScalingPolicies",
        ServiceNamespace=NAMESPACE,
        ResourceId=resource_id,
    ):
        for alarm in policy.get("Alarms", []):
            policy_of[alarm["AlarmName"]] = (policy["PolicyName"], policy["PolicyType"])
    if not policy_of:
        return ()
    found = pages(cloudwatch.describe_alarms, "MetricAlarms", AlarmNames=sorted(policy_of))
    return tuple(_alarm(item, *policy_of[item["AlarmName"]]) for item in found)


def _alarm(item: dict[str, Any], policy: str, policy_type: str) -> ScalingAlarm:
    inner = [query.get("MetricStat", {}).get("Period") for query in item.get("Metrics", [])]
    period_s = item.get("Period") or max((value for value in inner if value), default=60)
    above = item["ComparisonOperator"].startswith("Greater")
    return ScalingAlarm(
        name=item["AlarmName"],
        policy=policy,
        policy_type=policy_type,
        direction="out" if above else "in",
        threshold=float(item["Threshold"]),
        period_s=int(period_s),
        evaluation_periods=int(item["EvaluationPeriods"]),
    )


def read_alarm_history(
    cloudwatch: Any, names: Iterable[str], start: datetime, end: datetime
) -> pd.DataFrame:
    """State changes in [start, end], ascending.

    Index `time` (UTC); columns `alarm`, `from_state`, `to_state`, `reason`.
    """
    rows = []
    for name in names:
        for item in pages(
            cloudwatch.describe_alarm_history,
            "AlarmHistoryItems",
            AlarmName=name,
            HistoryItemType="StateUpdate",
            StartDate=start,
            EndDate=end,
        ):
            data = json.loads(item["HistoryData"])
            new = data["newState"]
            rows.append(
                {
                    "time": item["Timestamp"],
                    "alarm": name,
                    "from_state": data.get("oldState", {}).get("stateValue", ""),
                    "to_state": new["stateValue"],
                    "reason": new.get("stateReason", ""),
                }
            )
    return _frame(rows, "time", ["alarm", "from_state", "to_state", "reason"])


def read_scaling_activities(
    autoscaling: Any, resource_id: str, start: datetime, end: datetime
) -> pd.DataFrame:
    """Scaling activities that began in [start, end], ascending.

    Index `started_at` (UTC); columns `ended_at`, `status`, `description`, `cause` and
    `desired`, the count an activity asked for (NaN when it does not say).
    """
    rows = []
    for item in pages(
        autoscaling.describe_scaling_activities,
        "ScalingActivities",
        ServiceNamespace=NAMESPACE,
        ResourceId=resource_id,
    ):
        if not start <= item["StartTime"] <= end:
            continue
        asked = _DESIRED.search(item.get("Description", ""))
        rows.append(
            {
                "started_at": item["StartTime"],
                "ended_at": item.get("EndTime"),
                "status": item["StatusCode"],
                "description": item.get("Description", ""),
                "cause": item.get("Cause", ""),
                "desired": float(asked[1]) if asked else float("nan"),
            }
        )
    columns = ["ended_at", "status", "description", "cause", "desired"]
    frame = _frame(rows, "started_at", columns)
    # boto3's own time zone is one that a saved table cannot name.
    frame["ended_at"] = pd.to_datetime(frame["ended_at"], utc=True)
    return frame


def _frame(rows: list[dict[str, Any]], index: str, columns: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=[index, *columns])
    frame[index] = pd.to_datetime(frame[index], utc=True)
    return frame.set_index(index).sort_index(kind="stable")


def alarm_history(environment: Environment, start: datetime, end: datetime) -> pd.DataFrame:
    """State changes of the alarms that scale the service; see `read_alarm_history`."""
    autoscaling = aws.client(environment, "application-autoscaling")
    cloudwatch = aws.client(environment, "cloudwatch")
    resource_id = service_identity(environment).resource_id
    names = [alarm.name for alarm in scaling_alarms(autoscaling, cloudwatch, resource_id)]
    return read_alarm_history(cloudwatch, names, start, end)


def scaling_activities(environment: Environment, start: datetime, end: datetime) -> pd.DataFrame:
    """What Application Auto Scaling did to the service; see `read_scaling_activities`."""
    autoscaling = aws.client(environment, "application-autoscaling")
    resource_id = service_identity(environment).resource_id
    return read_scaling_activities(autoscaling, resource_id, start, end)
