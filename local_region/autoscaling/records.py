"""What Application Auto Scaling remembers: targets, policies, activities. Thread-safe."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Scope = tuple[str, str]
"""Account id, region."""

NAMESPACE = "ecs"
DIMENSION = "ecs:service:DesiredCount"
MAX_ACTIVITIES = 2000


@dataclass(frozen=True)
class TargetKey:
    """One scalable target of one account and region."""

    scope: Scope
    resource_id: str
    namespace: str = NAMESPACE
    dimension: str = DIMENSION

    @property
    def cluster(self) -> str:
        """The cluster's name in `service/<cluster>/<service>`."""
        return self.resource_id.split("/")[1]

    @property
    def service(self) -> str:
        """The service's name."""
        return self.resource_id.split("/")[2]

    def as_api(self) -> dict[str, str]:
        """The three members by which every operation names a target."""
        return {
            "ServiceNamespace": self.namespace,
            "ResourceId": self.resource_id,
            "ScalableDimension": self.dimension,
        }


@dataclass(frozen=True)
class Target:
    """A scalable target; capacities in tasks, times in epoch seconds."""

    key: TargetKey
    min_capacity: int
    max_capacity: int
    role_arn: str
    created_s: float
    arn: str
    suspended: Mapping[str, bool] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def as_api(self) -> dict[str, Any]:
        """As DescribeScalableTargets lists it."""
        flags = (
            "DynamicScalingInSuspended",
            "DynamicScalingOutSuspended",
            "ScheduledScalingSuspended",
        )
        return {
            **self.key.as_api(),
            "MinCapacity": self.min_capacity,
            "MaxCapacity": self.max_capacity,
            "RoleARN": self.role_arn,
            "CreationTime": self.created_s,
            "SuspendedState": {flag: bool(self.suspended.get(flag)) for flag in flags},
            "ScalableTargetARN": self.arn,
        }


@dataclass(frozen=True)
class Policy:
    """A scaling policy; `configuration` as the request wrote it, `alarms` name -> ARN."""

    key: TargetKey
    name: str
    arn: str
    type: str
    configuration: Mapping[str, Any]
    created_s: float
    alarms: Mapping[str, str] = field(default_factory=dict)

    def as_api(self) -> dict[str, Any]:
        """As DescribeScalingPolicies lists it; a step policy's alarms are looked up there."""
        member = f"{self.type}PolicyConfiguration"
        return {
            **self.key.as_api(),
            "PolicyARN": self.arn,
            "PolicyName": self.name,
            "PolicyType": self.type,
            member: dict(self.configuration),
            "Alarms": [{"AlarmName": n, "AlarmARN": a} for n, a in self.alarms.items()],
            "CreationTime": self.created_s,
        }


@dataclass(frozen=True)
class Activity:
    """One scaling activity, or (`not_scaled`) one that was considered and left.

    `wanted` is the desired count asked for, in tasks.
    """

    key: TargetKey
    description: str
    cause: str
    start_s: float
    status: str
    message: str = ""
    end_s: float | None = None
    not_scaled: tuple[Mapping[str, Any], ...] = ()
    wanted: int | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def as_api(self) -> dict[str, Any]:
        """As DescribeScalingActivities lists it."""
        shown: dict[str, Any] = {
            "ActivityId": self.id,
            **self.key.as_api(),
            "Description": self.description,
            "Cause": self.cause,
            "StartTime": self.start_s,
            "StatusCode": self.status,
        }
        if self.end_s is not None:
            shown["EndTime"] = self.end_s
        if self.message:
            shown["StatusMessage"] = self.message
        if self.not_scaled:
            shown["NotScaledReasons"] = [dict(reason) for reason in self.not_scaled]
        return shown


class Registry:
    """All targets, policies and activities; records are replaced, never changed."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._targets: dict[TargetKey, Target] = {}
        self._policies: dict[tuple[TargetKey, str], Policy] = {}
        self._activities: deque[Activity] = deque(maxlen=MAX_ACTIVITIES)
        self._out_of_bounds: set[TargetKey] = set()

    def target(self, key: TargetKey) -> Target | None:
        with self._lock:
            return self._targets.get(key)

    def targets(self, scope: Scope | None = None) -> list[Target]:
        """Oldest first, of one scope or all."""
        with self._lock:
            return [t for t in self._targets.values() if scope in (None, t.key.scope)]

    def put_target(self, target: Target) -> None:
        """Store it; its bounds are to be enforced on the current capacity."""
        with self._lock:
            self._targets[target.key] = target
            self._out_of_bounds.add(target.key)

    def replace_target(self, target: Target) -> None:
        """Store a change that leaves the bounds alone."""
        with self._lock:
            if target.key in self._targets:
                self._targets[target.key] = target

    def take_changed_bounds(self) -> set[TargetKey]:
        """The targets registered since the last call."""
        with self._lock:
            changed, self._out_of_bounds = self._out_of_bounds, set()
            return changed

    def remove_target(self, key: TargetKey) -> list[Policy]:
        """Remove it with its policies, which are returned."""
        with self._lock:
            self._targets.pop(key, None)
            policies = self.policies(key)
            for policy in policies:
                del self._policies[key, policy.name]
            return policies

    def policy(self, key: TargetKey, name: str) -> Policy | None:
        with self._lock:
            return self._policies.get((key, name))

    def policies(self, key: TargetKey | None = None, scope: Scope | None = None) -> list[Policy]:
        """Oldest first, of one target, of one scope or all."""
        with self._lock:
            return [
                p
                for p in self._policies.values()
                if key in (None, p.key) and scope in (None, p.key.scope)
            ]

    def put_policy(self, policy: Policy) -> None:
        with self._lock:
            self._policies[policy.key, policy.name] = policy

    def remove_policy(self, key: TargetKey, name: str) -> Policy | None:
        with self._lock:
            return self._policies.pop((key, name), None)

    def add_activity(self, activity: Activity) -> None:
        with self._lock:
            self._activities.append(activity)

    def update_activity(self, activity: Activity, **changes: Any) -> Activity:
        """Replace an activity by a changed one."""
        changed = replace(activity, **changes)
        with self._lock:
            for i, found in enumerate(self._activities):
                if found.id == activity.id:
                    self._activities[i] = changed
        return changed

    def activities(self, scope: Scope) -> list[Activity]:
        """Newest first."""
        with self._lock:
            return [a for a in reversed(self._activities) if a.key.scope == scope]
