"""What happens to a service's record when a deployment fails, is rolled back, or completes."""

from __future__ import annotations

import time
from collections.abc import Container
from dataclasses import dataclass, field

from local_region.tasks import deployments, records
from local_region.tasks.deployments import DeploymentView
from local_region.tasks.records import Record


@dataclass(frozen=True)
class Failure:
    """Why a deployment fails: rolloutStateReason, the event's words, who noticed, and whether
    the service asks to be rolled back then."""

    reason: str
    event: str
    by: str
    rollback: bool


@dataclass(frozen=True)
class Outcome:
    """How a deployment ended: COMPLETED or FAILED, and rolloutStateReason."""

    rollout: str
    reason: str


@dataclass
class ServiceState:
    """What is remembered about a service beside its record. Times are monotonic seconds."""

    record: Record
    completed_id: str | None = None
    completed_definition: str | None = None
    next_start_at: float = 0.0
    ready_since: float | None = None
    steady: bool = False
    alarms_for: str | None = None
    ignored_alarms: frozenset[str] = frozenset()
    failures: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)


def primary_of(service: Record) -> Record | None:
    return next((d for d in service["deployments"] if d["status"] == "PRIMARY"), None)


def view(deployment: Record) -> DeploymentView:
    """A deployment's record as the decisions see it."""
    return DeploymentView(
        id=deployment["id"],
        primary=deployment["status"] == "PRIMARY",
        rollout=deployment["rolloutState"],
        failed_tasks=deployment["failedTasks"],
    )


def groups_of(service: Record) -> tuple[str, ...]:
    """ARNs of the target groups a service registers its tasks in."""
    groups = (b.get("targetGroupArn") for b in service.get("loadBalancers") or [])
    return tuple(dict.fromkeys(group for group in groups if group))


def add_event(service: Record, message: str) -> None:
    """A service event, in ECS's form."""
    records.add_event(service, f"(service {service['serviceName']}) {message}", time.time())


def fail(service: Record, state: ServiceState, primary: Record, failure: Failure) -> None:
    """Fail the primary deployment and go back to the last completed one, if that is asked for
    and there is one: a rollback that fails in its turn has nothing to go back to."""
    now = time.time()
    primary["rolloutState"], primary["rolloutStateReason"] = "FAILED", failure.reason
    primary["desiredCount"], primary["updatedAt"] = 0, now
    state.outcomes[primary["id"]] = Outcome("FAILED", failure.reason)
    state.ready_since = None
    add_event(service, f"(deployment {primary['id']}) {failure.event}")
    back_to = state.completed_id
    if not failure.rollback or back_to is None or back_to == primary["id"]:
        return
    target = next((d for d in service["deployments"] if d["id"] == back_to), None)
    if target is None:
        # Its last task is gone, and with it its record.
        target = records.new_deployment(
            state.completed_definition or "",
            service["desiredCount"],
            now=now,
            launch_type=primary["launchType"],
        )
        state.completed_id = target["id"]
    primary["status"], target["status"] = "ACTIVE", "PRIMARY"
    target["rolloutState"], target["updatedAt"] = "IN_PROGRESS", now
    target["rolloutStateReason"] = (
        f"ECS deployment {failure.by}: rolling back to deploymentId {target['id']}."
    )
    target["desiredCount"] = service["desiredCount"]
    service["taskDefinition"] = target["taskDefinition"]
    others = [d for d in service["deployments"] if d is not target]
    service["deployments"] = [target, *others]
    state.next_start_at = 0.0
    add_event(service, f"rolling back to deployment {target['id']}.")


def complete(service: Record, state: ServiceState, primary: Record) -> None:
    """The primary deployment has reached its steady state."""
    primary["rolloutState"] = "COMPLETED"
    primary["rolloutStateReason"] = deployments.COMPLETED_REASON.format(id=primary["id"])
    primary["updatedAt"] = time.time()
    state.completed_id = primary["id"]
    state.completed_definition = primary["taskDefinition"]
    state.ready_since = None
    state.outcomes[primary["id"]] = Outcome("COMPLETED", primary["rolloutStateReason"])
    add_event(service, f"(deployment {primary['id']}) deployment completed.")


def tidy(service: Record, in_use: Container[str | None]) -> None:
    """Drop the deployments that have no task left (`in_use`: ids of those that have); a failed
    one stays until what replaces it has completed, so that whoever asks meanwhile learns why."""
    primary = primary_of(service)
    rolling = primary is not None and primary["rolloutState"] == "IN_PROGRESS"
    kept = [
        deployment
        for deployment in service["deployments"]
        if deployment["status"] == "PRIMARY"
        or deployment["id"] in in_use
        or (rolling and deployment["rolloutState"] == "FAILED")
    ]
    if len(kept) != len(service["deployments"]):
        service["deployments"] = kept
