"""What ECS's service scheduler would do next: pure decisions, no clock, no process, no store.

Rolling updates as documented for the ECS deployment controller: never fewer than
ceil(desired x minimumHealthyPercent) healthy tasks, never more than
floor(desired x maximumPercent) that are starting or running.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Rollout = Literal["IN_PROGRESS", "COMPLETED", "FAILED"]

BREAKER_REASON = "ECS deployment circuit breaker: tasks failed to start."
COMPLETED_REASON = "ECS deployment {id} completed."
ALARM_REASON = "ECS deployment failed: alarm detected."
START_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
FREE_FAILURES = 3


@dataclass(frozen=True)
class TaskView:
    """A task that has not been told to stop. `created_at` orders tasks, whatever its unit."""

    id: str
    deployment_id: str
    running: bool
    healthy: bool
    created_at: float


@dataclass(frozen=True)
class DeploymentView:
    """A deployment. `failed_tasks` in a row; `earlier` ones have status ACTIVE."""

    id: str
    primary: bool
    rollout: Rollout
    failed_tasks: int = 0


@dataclass(frozen=True)
class Breaker:
    """deploymentCircuitBreaker. `kind` and `value` are its thresholdConfiguration."""

    enabled: bool = False
    rollback: bool = False
    kind: str = "BOUNDED_PERCENT"
    value: float = 50.0
    reset_on_healthy_task: bool = True

    def threshold(self, desired: int) -> int:
        """Failed tasks in a row that fail a deployment: by default half of desired, in 3..200."""
        if self.kind == "COUNT":
            return max(1, int(self.value))
        part = math.ceil(desired * self.value / 100)
        if self.kind == "UNBOUNDED_PERCENT":
            return max(1, part)
        return min(max(part, 3), 200)


@dataclass(frozen=True)
class Policy:
    """The part of a service that deployments obey."""

    desired: int
    minimum_healthy_percent: float = 100.0
    maximum_percent: float = 200.0
    breaker: Breaker = Breaker()
    alarm_names: tuple[str, ...] = ()
    alarm_rollback: bool = False

    @property
    def minimum_healthy(self) -> int:
        return math.ceil(self.desired * self.minimum_healthy_percent / 100)

    @property
    def maximum(self) -> int:
        return math.floor(self.desired * self.maximum_percent / 100)


@dataclass(frozen=True)
class Actions:
    """Tasks to start for the primary deployment, tasks to stop and the reason of each."""

    start: int = 0
    stop: tuple[tuple[str, str], ...] = ()


def read_policy(service: Mapping[str, Any]) -> Policy:
    """The policy of a service record, with ECS's defaults."""
    configuration = service.get("deploymentConfiguration") or {}
    breaker = configuration.get("deploymentCircuitBreaker") or {}
    threshold = breaker.get("thresholdConfiguration") or {}
    alarms = configuration.get("alarms") or {}
    on = bool(alarms.get("enable"))
    return Policy(
        desired=int(service.get("desiredCount") or 0),
        minimum_healthy_percent=float(_or(configuration.get("minimumHealthyPercent"), 100)),
        maximum_percent=float(_or(configuration.get("maximumPercent"), 200)),
        breaker=Breaker(
            enabled=_true(breaker.get("enable")),
            rollback=_true(breaker.get("rollback")),
            kind=threshold.get("type") or "BOUNDED_PERCENT",
            value=float(_or(threshold.get("value"), 50)),
            reset_on_healthy_task=_true(_or(breaker.get("resetOnHealthyTask"), True)),
        ),
        alarm_names=tuple(alarms.get("alarmNames") or ()) if on else (),
        alarm_rollback=on and _true(alarms.get("rollback")),
    )


def decide(
    policy: Policy, deployments: Sequence[DeploymentView], tasks: Sequence[TaskView]
) -> Actions:
    """The next step towards the primary deployment at the desired count."""
    primary = next((d for d in deployments if d.primary), None)
    if primary is None:
        return Actions()
    new = [t for t in tasks if t.deployment_id == primary.id]
    old = [t for t in tasks if t.deployment_id != primary.id]
    if policy.desired == 0:
        return Actions(stop=tuple((t.id, _scaling_reason(primary)) for t in (*new, *old)))
    if primary.rollout == "FAILED":
        return Actions()
    if not old:
        excess = scale_in_order(new)[: max(0, len(new) - policy.desired)]
        return Actions(
            start=max(0, policy.desired - len(new)),
            stop=tuple((t.id, _scaling_reason(primary)) for t in excess),
        )
    return _roll(policy, primary, new, old)


def _roll(
    policy: Policy, primary: DeploymentView, new: Sequence[TaskView], old: Sequence[TaskView]
) -> Actions:
    excess = scale_in_order(new)[: max(0, len(new) - policy.desired)]
    missing = max(0, policy.desired - len(new))
    room = max(0, policy.maximum - len(new) - len(old))
    healthy_new = sum(t.healthy for t in new) - sum(t.healthy for t in excess)
    # An old task is let go when a new one has taken its place, or to make room for one.
    keep = max(0, policy.desired - healthy_new)
    surplus = max(0, len(old) - keep)
    for_room = max(0, missing - room)
    stop: list[TaskView] = []
    healthy = healthy_new + sum(t.healthy for t in old)
    for task in sorted(old, key=lambda t: (t.healthy, t.created_at)):
        if len(stop) >= max(surplus, for_room):
            break
        if task.healthy:
            if healthy - 1 < policy.minimum_healthy:
                break
            healthy -= 1
        stop.append(task)
    reason = _scaling_reason(primary)
    return Actions(start=min(missing, room), stop=tuple((t.id, reason) for t in (*excess, *stop)))


def scale_in_order(tasks: Sequence[TaskView]) -> list[TaskView]:
    """Whom a scale-in takes first: those that serve least, then the youngest."""
    return sorted(tasks, key=lambda t: (t.healthy, t.running, -t.created_at))


def is_complete(
    policy: Policy, primary: DeploymentView, tasks: Sequence[TaskView], stopping_old: int
) -> bool:
    """Whether the primary is in progress and has reached its steady state.

    `stopping_old`: tasks of earlier deployments that are still on their way out.
    """
    new = [t for t in tasks if t.deployment_id == primary.id]
    return (
        primary.rollout == "IN_PROGRESS"
        and len(new) == len(tasks) == policy.desired
        and all(t.healthy for t in new)
        and stopping_old == 0
    )


def breaker_tripped(policy: Policy, primary: DeploymentView) -> bool:
    """Whether the primary has failed too often to go on."""
    return (
        policy.breaker.enabled
        and primary.rollout == "IN_PROGRESS"
        and primary.failed_tasks >= policy.breaker.threshold(policy.desired)
    )


def start_delay_s(failures_in_a_row: int) -> float:
    """How long to wait before the next attempt: a crashing task shall not become a fork bomb."""
    if failures_in_a_row < FREE_FAILURES:
        return 0.0
    exponent = min(failures_in_a_row - FREE_FAILURES, 16)
    return min(LONGEST_BACKOFF_S, START_BACKOFF_S * 2.0**exponent)


def alarms_that_fail(
    states: Mapping[str, str], ignored: frozenset[str]
) -> tuple[tuple[str, ...], frozenset[str]]:
    """The alarms that fail a deployment now, and those still ignored.

    An alarm that was in ALARM when the deployment began says nothing about it, until it has been
    out of ALARM once: otherwise nobody could deploy the repair.
    """
    ringing = {name for name, state in states.items() if state == "ALARM"}
    still_ignored = ignored & ringing
    return tuple(sorted(ringing - still_ignored)), frozenset(still_ignored)


def _scaling_reason(primary: DeploymentView) -> str:
    return f"Scaling activity initiated by (deployment {primary.id})"


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _true(value: Any) -> bool:
    return value is True or str(value).lower() == "true"
