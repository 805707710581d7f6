"""Scaling activities in the words of DescribeScalingActivities."""

from __future__ import annotations

from typing import Any

from local_region.autoscaling.records import Activity, Target, TargetKey
from local_region.autoscaling.services import Counts
from runbook.scaling.semantics import DEFAULT


def requested_activity(
    key: TargetKey, count: int, cause: str, now_s: float, failure: str | None = None
) -> Activity:
    """A desired count was asked for; `failure` is ECS's refusal."""
    description = f"Setting desired count to {count}."
    if failure is not None:
        message = f"Failed to set desired count to {count}. Reason: {failure}"
        return Activity(
            key, description, cause, now_s, "Failed", message, end_s=now_s, wanted=count
        )
    message = (
        f"Successfully set desired count to {count}. "
        f"Waiting for change to be fulfilled by {key.namespace}."
    )
    return Activity(key, description, cause, now_s, "InProgress", message, wanted=count)


def not_scaled_activity(
    target: Target, cause: str, code: str, current: int, now_s: float
) -> Activity:
    """An alarm called, but nothing was to be done."""
    reason: dict[str, Any] = {"Code": code, "CurrentCapacity": current}
    if code == "AlreadyAtMaxCapacity":
        reason["MaxCapacity"] = target.max_capacity
    elif code == "AlreadyAtMinCapacity":
        reason["MinCapacity"] = target.min_capacity
    return Activity(
        target.key,
        "Attempting to scale due to alarm triggered",
        cause,
        now_s,
        "Failed",
        end_s=now_s,
        not_scaled=(reason,),
    )


def bounds_activity(target: Target, desired: int) -> tuple[int, str] | None:
    """The count and the cause when a desired count lies outside newly set bounds, else None."""
    if desired < target.min_capacity:
        return target.min_capacity, f"minimum capacity was set to {target.min_capacity}"
    if desired > target.max_capacity:
        return target.max_capacity, f"maximum capacity was set to {target.max_capacity}"
    return None


def settled(activity: Activity, counts: Counts | None, now_s: float) -> dict[str, Any] | None:
    """The changes that end an activity, None while its tasks are on their way."""
    wanted = activity.wanted
    done = f"Successfully set desired count to {wanted}."
    if counts is None:
        return {"status": "Failed", "end_s": now_s, "message": f"{done} The service is gone."}
    if counts.desired != wanted:
        message = f"{done} The desired count was then set to {counts.desired}."
        return {"status": "Overridden", "end_s": now_s, "message": message}
    if counts.running == wanted:
        message = f"{done} Change successfully fulfilled by {activity.key.namespace}."
        return {"status": "Successful", "end_s": now_s, "message": message}
    if now_s - activity.start_s > DEFAULT.activity_timeout_s:
        message = f"{done} The change was not fulfilled in time."
        return {"status": "Unfulfilled", "end_s": now_s, "message": message}
    return None
