"""The operations of Application Auto Scaling, as its SDKs call them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from local_region.autoscaling import tracking
from local_region.autoscaling.records import Policy, Registry, Scope, Target, TargetKey
from local_region.autoscaling.requests import (
    Request,
    invalid,
    is_listed,
    not_found,
    page,
    required,
    target_key,
)
from local_region.cloudwatch.install import put_metric_alarm
from local_region.errors import AwsError
from local_region.seams import cloudwatch, core
from local_region.settings import Settings
from runbook.scaling.errors import PolicyError
from runbook.scaling.step_scaling import StepScalingPolicy

_TYPES = ("TargetTrackingScaling", "StepScaling")
_UNSUPPORTED = (
    "PutScheduledAction",
    "DeleteScheduledAction",
    "GetPredictiveScalingForecast",
)


class AutoScalingApi:
    """Answers requests from the registry. `service_exists(key)` asks ECS."""

    def __init__(
        self,
        registry: Registry,
        settings: Settings,
        service_exists: Callable[[TargetKey], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry, self._settings = registry, settings
        self._service_exists, self._clock = service_exists, clock
        self._operations: dict[str, Callable[[Scope, Request], dict[str, Any]]] = {
            "RegisterScalableTarget": self.register_scalable_target,
            "DeregisterScalableTarget": self.deregister_scalable_target,
            "DescribeScalableTargets": self.describe_scalable_targets,
            "PutScalingPolicy": self.put_scaling_policy,
            "DeleteScalingPolicy": self.delete_scaling_policy,
            "DescribeScalingPolicies": self.describe_scaling_policies,
            "DescribeScalingActivities": self.describe_scaling_activities,
            "DescribeScheduledActions": lambda scope, request: {"ScheduledActions": []},
            "TagResource": self.tag_resource,
            "UntagResource": self.untag_resource,
            "ListTagsForResource": self.list_tags_for_resource,
        }

    def answer(self, operation: str, body: bytes) -> core.Answer:
        """The HTTP answer to one request; the caller's account and region are pinned."""
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        try:
            result = self.call(operation, json.loads(body or b"{}"), core.current_scope())
        except AwsError as error:
            failed = {"__type": error.code, "message": error.message}
            headers["x-amzn-errortype"] = error.code
            return error.status, headers, json.dumps(failed).encode()
        return 200, headers, json.dumps(result).encode()

    def call(self, operation: str, request: Request, scope: Scope) -> dict[str, Any]:
        """One operation. Raises AwsError."""
        found = self._operations.get(operation)
        if found is None:
            known = "is not emulated by the local region" if operation in _UNSUPPORTED else (
                "is no operation of Application Auto Scaling"
            )  # fmt: skip
            raise AwsError("UnknownOperationException", f"{operation} {known}")
        return found(scope, request)

    def register_scalable_target(self, scope: Scope, request: Request) -> dict[str, Any]:
        """Create or change a target; its current capacity is brought within its bounds."""
        key = target_key(scope, request)
        known = self._registry.target(key)
        low, high = request.get("MinCapacity"), request.get("MaxCapacity")
        if known is None and (low is None or high is None):
            raise invalid("MinCapacity and MaxCapacity are required to register a new target")
        target = known or Target(
            key,
            0,
            0,
            str(request.get("RoleARN") or _service_role(scope)),
            self._clock(),
            f"arn:aws:application-autoscaling:{scope[1]}:{scope[0]}:scalable-target/"
            f"{uuid.uuid4().hex[:20]}",
        )
        suspended = {**target.suspended, **(request.get("SuspendedState") or {})}
        target = replace(
            target,
            min_capacity=target.min_capacity if low is None else int(low),
            max_capacity=target.max_capacity if high is None else int(high),
            suspended=suspended,
            tags={**target.tags, **(request.get("Tags") or {})},
        )
        if not 0 <= target.min_capacity <= target.max_capacity:
            raise invalid(
                f"Minimum capacity ({target.min_capacity}) must be at least 0 and not greater "
                f"than maximum capacity ({target.max_capacity})"
            )
        if known is None and not self._service_exists(key):
            raise invalid(f"ECS service doesn't exist: {key.resource_id}")
        self._registry.put_target(target)
        return {"ScalableTargetARN": target.arn}

    def deregister_scalable_target(self, scope: Scope, request: Request) -> dict[str, Any]:
        """Remove a target with its policies and their alarms."""
        key = target_key(scope, request)
        if self._registry.target(key) is None:
            raise not_found("scalable target found", key)
        for policy in self._registry.remove_target(key):
            _delete_alarms(policy)
        return {}

    def describe_scalable_targets(self, scope: Scope, request: Request) -> dict[str, Any]:
        """Targets of a namespace, by resource ids and dimension."""
        required(request, "ServiceNamespace")
        ids = request.get("ResourceIds") or ()
        found = [
            target.as_api()
            for target in self._registry.targets(scope)
            if is_listed(target.key, request) and (not ids or target.key.resource_id in ids)
        ]
        return page("ScalableTargets", found, request)

    def put_scaling_policy(self, scope: Scope, request: Request) -> dict[str, Any]:
        """Create or change a policy; target tracking brings its two alarms with it."""
        key = target_key(scope, request)
        name = str(required(request, "PolicyName"))
        if self._registry.target(key) is None:
            raise not_found("scalable target registered", key)
        known = self._registry.policy(key, name)
        kind = str(request.get("PolicyType") or (known.type if known else "StepScaling"))
        if kind not in _TYPES:
            raise invalid(f"PolicyType {kind} is not emulated by the local region: "
                           f"use {' or '.join(_TYPES)}")  # fmt: skip
        if known is not None and known.type != kind:
            raise invalid(f"The type of policy {name} cannot be changed from {known.type}")
        configuration = request.get(f"{kind}PolicyConfiguration")
        if not configuration:
            raise invalid(f"{kind}PolicyConfiguration is required for policy type {kind}")
        policy = Policy(
            key,
            name,
            known.arn if known else _policy_arn(key, name),
            kind,
            configuration,
            known.created_s if known else self._clock(),
            known.alarms if known else {},
        )
        policy = self._with_alarms(policy) if kind == _TYPES[0] else _checked_step(policy)
        self._registry.put_policy(policy)
        return {"PolicyARN": policy.arn, "Alarms": policy.as_api()["Alarms"]}

    def _with_alarms(self, policy: Policy) -> Policy:
        requests = tracking.alarm_requests(policy, self._settings)
        for request in requests:
            put_metric_alarm(request)
        alarms = cloudwatch.alarms()
        kept = {r["AlarmName"]: str(alarms[r["AlarmName"]]["AlarmArn"]) for r in requests}
        # A policy that no longer scales in has no AlarmLow any more.
        for name in policy.alarms.keys() - kept.keys():
            cloudwatch.delete_alarm(name)
        return replace(policy, alarms=kept)

    def delete_scaling_policy(self, scope: Scope, request: Request) -> dict[str, Any]:
        """Remove a policy and the alarms it brought."""
        key = target_key(scope, request)
        name = str(required(request, "PolicyName"))
        policy = self._registry.remove_policy(key, name)
        if policy is None:
            raise not_found("scaling policy found", key, f", policy name: {name}")
        _delete_alarms(policy)
        return {}

    def describe_scaling_policies(self, scope: Scope, request: Request) -> dict[str, Any]:
        """Policies of a namespace; a step policy lists the alarms that name it."""
        required(request, "ServiceNamespace")
        names = request.get("PolicyNames") or ()
        found = [
            _with_step_alarms(policy).as_api()
            for policy in self._registry.policies(scope=scope)
            if is_listed(policy.key, request) and (not names or policy.name in names)
        ]
        return page("ScalingPolicies", found, request)

    def describe_scaling_activities(self, scope: Scope, request: Request) -> dict[str, Any]:
        """Activities, newest first; those that did not scale only when asked for."""
        required(request, "ServiceNamespace")
        every = bool(request.get("IncludeNotScaledActivities"))
        found = [
            activity.as_api()
            for activity in self._registry.activities(scope)
            if is_listed(activity.key, request) and (every or not activity.not_scaled)
        ]
        return page("ScalingActivities", found, request)

    def tag_resource(self, scope: Scope, request: Request) -> dict[str, Any]:
        """Add tags to a target."""
        target = self._tagged(scope, request)
        self._registry.replace_target(
            replace(target, tags={**target.tags, **(request.get("Tags") or {})})
        )
        return {}

    def untag_resource(self, scope: Scope, request: Request) -> dict[str, Any]:
        """Remove tags from a target."""
        target = self._tagged(scope, request)
        gone = request.get("TagKeys") or ()
        tags = {k: v for k, v in target.tags.items() if k not in gone}
        self._registry.replace_target(replace(target, tags=tags))
        return {}

    def list_tags_for_resource(self, scope: Scope, request: Request) -> dict[str, Any]:
        """A target's tags."""
        return {"Tags": dict(self._tagged(scope, request).tags)}

    def _tagged(self, scope: Scope, request: Request) -> Target:
        arn = required(request, "ResourceARN")
        for target in self._registry.targets(scope):
            if target.arn == arn:
                return target
        raise AwsError("ResourceNotFoundException", f"No scalable target has the ARN {arn}")


def _checked_step(policy: Policy) -> Policy:
    try:
        StepScalingPolicy.from_api(policy.name, policy.configuration)
    except (PolicyError, KeyError, TypeError, ValueError) as error:
        raise invalid(f"StepScalingPolicyConfiguration is invalid: {error}") from error
    return policy


def _with_step_alarms(policy: Policy) -> Policy:
    if policy.type != "StepScaling":
        return policy
    named = {
        name: str(alarm["AlarmArn"])
        for name, alarm in cloudwatch.alarms().items()
        if policy.arn in [*alarm["AlarmActions"], *alarm["OKActions"],
                          *alarm["InsufficientDataActions"]]
    }  # fmt: skip
    return replace(policy, alarms=named)


def _delete_alarms(policy: Policy) -> None:
    for name in policy.alarms:
        cloudwatch.delete_alarm(name)


def _policy_arn(key: TargetKey, name: str) -> str:
    account, region = key.scope
    return (
        f"arn:aws:autoscaling:{region}:{account}:scalingPolicy:{uuid.uuid4()}:resource/"
        f"{key.namespace}/{key.resource_id}:policyName/{name}"
    )


def _service_role(scope: Scope) -> str:
    return (
        f"arn:aws:iam::{scope[0]}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/"
        "AWSServiceRoleForApplicationAutoScaling_ECSService"
    )
