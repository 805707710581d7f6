"""From alarms to a desired count: every period the scaling rules are asked, and obeyed.

The rules are `runbook.scaling.decision`; here are their inputs (alarms, counts, cooldowns), the
call to ECS and the record of what was done and why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Set
from typing import Any

from local_region.alarms import AlarmEvaluator, Evaluated
from local_region.autoscaling.activities import (
    bounds_activity,
    not_scaled_activity,
    requested_activity,
    settled,
)
from local_region.autoscaling.records import Activity, Policy, Registry, Target, TargetKey
from local_region.autoscaling.services import Counts, Services, SetFailed
from local_region.autoscaling.tracking import side_of, tracking_policy
from local_region.seams import cloudwatch, core
from runbook.scaling.decision import Decision, ScalableTarget, apply_decision, decide
from runbook.scaling.signals import Signal, StepSignal, TargetTrackingSignal
from runbook.scaling.state import ScalingState, observe
from runbook.scaling.step_scaling import StepScalingPolicy, aggregate

_log = logging.getLogger("local_region.scaler")
_ACTIONS = {
    "ALARM": "AlarmActions",
    "OK": "OKActions",
    "INSUFFICIENT_DATA": "InsufficientDataActions",
}


class Scaler:
    """Scales every registered target. One thread calls it."""

    def __init__(
        self,
        registry: Registry,
        evaluator: AlarmEvaluator,
        services: Services,
        clock: Callable[[], float],
    ) -> None:
        self._registry, self._evaluator = registry, evaluator
        self._services, self._clock = services, clock
        self._states: dict[TargetKey, ScalingState] = {}
        self._running: dict[TargetKey, Activity] = {}
        self._left: dict[TargetKey, tuple[str | None, str]] = {}

    def tick(self, scope: tuple[str, str], due: Set[str]) -> None:
        """Decide for the scope's targets once; `due` are the alarms just evaluated."""
        for target in self._registry.targets(scope):
            with core.request_scope(*scope):
                signals, alarms = self._signals(target, due)
            if not alarms & due:
                continue
            counts = self._services.counts(target.key)
            if counts is not None:
                self._decide(target, signals, counts)

    def settle(self) -> None:
        """Finish activities whose change has arrived, and bring counts within new bounds."""
        for key in self._registry.take_changed_bounds():
            self._enforce_bounds(key)
        for key, activity in list(self._running.items()):
            counts = self._services.counts(key)
            now_s = self._clock()
            if counts is not None and key in self._states:
                self._states[key] = _observed(self._states[key], counts, now_s)
            if changes := settled(activity, counts, now_s):
                self._registry.update_activity(activity, **changes)
                del self._running[key]

    def _decide(self, target: Target, signals: list[Signal], counts: Counts) -> None:
        now_s = self._clock()
        state = self._states.get(target.key) or ScalingState(counts.desired, counts.running)
        state = _observed(state, counts, now_s)
        decision = decide(_bounds(target), signals, state, now_s)
        if decision.new_desired is None:
            self._states[target.key] = state
            self._note_left(target, decision, counts, now_s)
            return
        self._left.pop(target.key, None)
        activity = self._set(target.key, decision.new_desired, decision.cause)
        if activity.status == "InProgress":
            state = apply_decision(state, decision, now_s)
            self._record_action(target.key, decision, activity)
        self._states[target.key] = state

    def _set(self, key: TargetKey, count: int, cause: str) -> Activity:
        """Ask ECS; the activity, InProgress or Failed."""
        now_s = self._clock()
        if (before := self._running.pop(key, None)) is not None:
            self._registry.update_activity(before, status="Overridden", end_s=now_s)
        try:
            self._services.set_desired(key, count)
            activity = requested_activity(key, count, cause, now_s)
            self._running[key] = activity
        except SetFailed as error:
            activity = requested_activity(key, count, cause, now_s, str(error))
        self._registry.add_activity(activity)
        _log.info("%s: %s %s (%s)", key.resource_id, activity.description, activity.status, cause)
        return activity

    def _enforce_bounds(self, key: TargetKey) -> None:
        target, counts = self._registry.target(key), self._services.counts(key)
        if target is None or counts is None:
            return
        if wanted := bounds_activity(target, counts.desired):
            self._set(key, *wanted)

    def _note_left(self, target: Target, decision: Decision, counts: Counts, now_s: float) -> None:
        """Record a refusal that AWS has a code for, once for as long as it lasts."""
        reason = decision.not_scaled
        if reason is None or reason.aws_code is None:
            self._left.pop(target.key, None)
            return
        said = (decision.policy, reason.aws_code)
        if self._left.get(target.key) != said:
            self._left[target.key] = said
            self._registry.add_activity(
                not_scaled_activity(target, decision.cause, reason.aws_code, counts.desired, now_s)
            )

    def _record_action(self, key: TargetKey, decision: Decision, activity: Activity) -> None:
        policy = self._registry.policy(key, decision.policy or "")
        with core.request_scope(*key.scope):
            alarm = cloudwatch.alarms().get(decision.alarm or "")
            if policy is not None and alarm is not None:
                data = {
                    "actionState": "Succeeded",
                    "notificationResource": policy.arn,
                    "stateUpdateTimestamp": int(alarm["StateUpdatedTimestamp"] * 1000),
                    "scalingActivityId": activity.id,
                }
                cloudwatch.record_action(
                    alarm, f"Successfully executed action {policy.arn}", data, activity.start_s
                )

    def _signals(self, target: Target, due: Set[str]) -> tuple[list[Signal], set[str]]:
        """The target's policies with their alarms now, and all those alarms' names."""
        records = cloudwatch.alarms()
        signals: list[Signal] = []
        watched: set[str] = set()
        for policy in self._registry.policies(target.key):
            if policy.type == "TargetTrackingScaling":
                signals.append(self._tracking(policy, records))
                watched |= set(policy.alarms)
            else:
                steps, names = self._steps(policy, records, due)
                signals += steps
                watched |= names
        return signals, watched

    def _tracking(
        self, policy: Policy, records: Mapping[str, Mapping[str, Any]]
    ) -> TargetTrackingSignal:
        names = {side_of(name): name for name in policy.alarms}
        states: dict[str, Any] = {}
        for side, name in names.items():
            record = records.get(name, {})
            acts = record.get("ActionsEnabled") and policy.arn in record["AlarmActions"]
            state = record.get("StateValue", "INSUFFICIENT_DATA")
            # An alarm whose action was taken from it calls nobody.
            states[side] = state if acts or state != "ALARM" else "OK"
        latest = self._evaluator.latest(policy.key.scope, names["high"])
        return TargetTrackingSignal(
            tracking_policy(policy),
            states["high"],
            states.get("low"),
            latest.decision.newest if latest else None,
            high_alarm=names["high"],
            low_alarm=names.get("low", ""),
        )

    def _steps(
        self, policy: Policy, records: Mapping[str, Mapping[str, Any]], due: Set[str]
    ) -> tuple[list[StepSignal], set[str]]:
        """A signal for every alarm that names the policy in the list of its present state.

        CloudWatch repeats the action each period of the alarm's own, hence `due`.
        """
        rules = StepScalingPolicy.from_api(policy.name, policy.configuration)
        signals, names = [], set()
        for name, record in records.items():
            if not any(policy.arn in record[member] for member in _ACTIONS.values()):
                continue
            names.add(name)
            latest: Evaluated | None = self._evaluator.latest(policy.key.scope, name)
            acts = record["ActionsEnabled"] and policy.arn in record[_ACTIONS[record["StateValue"]]]
            if latest is None or name not in due or not acts:
                continue
            signals.append(
                StepSignal(
                    rules,
                    "ALARM",
                    aggregate(rules, latest.decision.evaluated),
                    float(record["Threshold"]),
                    record["ComparisonOperator"],
                    name,
                )
            )
        return signals, names


def _bounds(target: Target) -> ScalableTarget:
    return ScalableTarget(
        target.min_capacity,
        target.max_capacity,
        scale_out_suspended=bool(target.suspended.get("DynamicScalingOutSuspended")),
        scale_in_suspended=bool(target.suspended.get("DynamicScalingInSuspended")),
        scheduled_suspended=bool(target.suspended.get("ScheduledScalingSuspended")),
    )


def _observed(state: ScalingState, counts: Counts, now_s: float) -> ScalingState:
    return observe(
        state,
        running=counts.running,
        now_s=now_s,
        desired=counts.desired,
        deployment_in_progress=counts.deployment_in_progress,
    )
