"""Holding a task count while it is measured, and giving the service back as it was.

Scaling is suspended through Application Auto Scaling, the count is set through ECS. What
was found is written to a record first and put back at the end; if a run is killed between,
`runbook unlock` or the next load test finds the record and restores from that, not from what the
dead run left. Meanwhile the environment is locked: nobody deploys into a measurement.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from runbook import aws, region
from runbook.ecs.service import Service, describe, wait_stable
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, InputInvalid
from runbook.guard import require_writable
from runbook.metrics.history import DIMENSION, NAMESPACE
from runbook.metrics.service import ServiceIdentity
from runbook.stacks import lock

_SUSPENDED = {
    "DynamicScalingInSuspended": True,
    "DynamicScalingOutSuspended": True,
    "ScheduledScalingSuspended": True,
}


@dataclass(frozen=True)
class Found:
    """How the service was before it was held."""

    resource_id: str
    desired: int
    suspended: dict[str, bool]

    def save(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(self.__dict__) + "\n", encoding="utf-8")
        draft.replace(path)

    @classmethod
    def load(cls, path: Path, resource_id: str) -> Found | None:
        """The record of a killed run for this very service, or None."""
        try:
            found = cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise InputInvalid(
                f"{path} cannot be read",
                f"{type(error).__name__}: {error}",
                "a load test was killed: remove it, then look: runbook unlock ENV",
            ) from error
        return found if found.resource_id == resource_id else None


@dataclass(frozen=True)
class Held:
    """The service while its scaling is suspended."""

    environment: Environment
    identity: ServiceIdentity
    found: Found

    def set_tasks(
        self, tasks: int, timeout_s: float, on_wait: Callable[[Service], None] | None = None
    ) -> Service:
        """Run exactly `tasks` tasks and wait until all are healthy.

        Raises StackFailed when they do not become so in time, AwsCallFailed otherwise.
        """
        _set_desired(self.environment, self.identity, tasks)
        return wait_stable(self.environment, timeout_s=timeout_s, poll_s=0.5, on_wait=on_wait)


def record_path(environment: Environment) -> Path:
    """Where the record of a held service lies: in the local region with that region's state."""
    folder = (
        region.state_dir()
        if environment.is_local
        else environment.project / "runs" / environment.name
    )
    return folder / "scaling-held.json"


@contextmanager
def scaling_suspended(environment: Environment, identity: ServiceIdentity) -> Iterator[Held]:
    """Suspend the service's scaling for a `with` block and restore count and scaling after it.

    Raises GuardRefused where the environment does not belong, EnvironmentLocked when another run
    writes, InputInvalid when the service has no scalable target, AwsCallFailed when AWS refuses.
    """
    require_writable(environment)
    path = record_path(environment)
    with lock.held(environment, what="load test"):
        found = Found.load(path, identity.resource_id) or _look(environment, identity)
        found.save(path)
        _suspend(environment, identity, _SUSPENDED)
        try:
            yield Held(environment, identity, found)
        finally:
            _restore(environment, identity, found, path)


def suspended(environment: Environment, identity: ServiceIdentity) -> tuple[str, ...]:
    """What of the service's scaling is suspended now, by AWS's names; nothing without scaling."""
    return tuple(
        name
        for target in _targets(environment, identity)
        for name, is_so in (target.get("SuspendedState") or {}).items()
        if is_so
    )


def left_by_killed_run(environment: Environment, identity: ServiceIdentity) -> Found | None:
    """How the service was before a load test of this machine that could not give it back."""
    return Found.load(record_path(environment), identity.resource_id)


def give_back(environment: Environment, identity: ServiceIdentity) -> None:
    """Restore what a killed load test found; without its record, resume all scaling.

    Raises as `scaling_suspended` does.
    """
    require_writable(environment)
    with lock.held(environment):
        found = left_by_killed_run(environment, identity)
        if found is None:
            _suspend(environment, identity, dict.fromkeys(_SUSPENDED, False))
        else:
            _restore(environment, identity, found, record_path(environment))


def _restore(environment: Environment, identity: ServiceIdentity, found: Found, path: Path) -> None:
    # Scaling is resumed even when the count cannot be set; the record stays then.
    try:
        _set_desired(environment, identity, found.desired)
    finally:
        _suspend(environment, identity, found.suspended)
    path.unlink(missing_ok=True)


def max_tasks(environment: Environment, identity: ServiceIdentity) -> int:
    """The most tasks that scaling may ask for. Raises InputInvalid without a scalable target."""
    return int(_target(environment, identity)["MaxCapacity"])


def _look(environment: Environment, identity: ServiceIdentity) -> Found:
    state = _target(environment, identity).get("SuspendedState") or {}
    return Found(
        identity.resource_id,
        describe(environment).desired,
        {name: bool(state.get(name, False)) for name in _SUSPENDED},
    )


def _targets(environment: Environment, identity: ServiceIdentity) -> list[dict[str, Any]]:
    return list(
        _call(
            environment,
            "describe_scalable_targets",
            ServiceNamespace=NAMESPACE,
            ResourceIds=[identity.resource_id],
            ScalableDimension=DIMENSION,
        )["ScalableTargets"]
    )


def _target(environment: Environment, identity: ServiceIdentity) -> dict[str, Any]:
    targets = _targets(environment, identity)
    if not targets:
        raise InputInvalid(
            "The task count cannot be held",
            f"{identity.resource_id} is no scalable target",
            "deploy the scaling stack: runbook run 10_deploy",
        )
    return targets[0]


def _suspend(
    environment: Environment, identity: ServiceIdentity, suspended: dict[str, bool]
) -> None:
    """Minimum and maximum are left out: then they stay as they are."""
    _call(
        environment,
        "register_scalable_target",
        ServiceNamespace=NAMESPACE,
        ResourceId=identity.resource_id,
        ScalableDimension=DIMENSION,
        SuspendedState=suspended,
    )


def _call(environment: Environment, operation: str, **request: Any) -> Any:
    try:
        return getattr(aws.client(environment, "application-autoscaling"), operation)(**request)
    except (ClientError, BotoCoreError) as error:
        raise _refused("Scaling cannot be suspended or resumed", error) from error


def _set_desired(environment: Environment, identity: ServiceIdentity, tasks: int) -> None:
    try:
        aws.client(environment, "ecs").update_service(
            cluster=identity.cluster, service=identity.service, desiredCount=tasks
        )
    except (ClientError, BotoCoreError) as error:
        raise _refused(f"The service cannot be set to {tasks} tasks", error) from error


def _refused(what: str, error: Exception) -> AwsCallFailed:
    return AwsCallFailed(what, str(error), "check credentials and rights, then run again")
