"""The service behind a scalable target, seen and set through the ECS API like anyone's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError

from local_region.autoscaling.records import TargetKey
from local_region.context import RegionContext


@dataclass(frozen=True)
class Counts:
    """A service now, in tasks."""

    desired: int
    running: int
    deployment_in_progress: bool


class SetFailed(Exception):
    """The service did not take the desired count; the message is the service's."""


class Services(Protocol):
    """What scaling needs of a service."""

    def counts(self, key: TargetKey) -> Counts | None:
        """The service's counts; None when it is not there."""

    def set_desired(self, key: TargetKey, count: int) -> None:
        """Raises SetFailed."""


class EcsServices:
    """Services through the endpoint's own ECS API."""

    def __init__(self, context: RegionContext) -> None:
        self._context = context

    def counts(self, key: TargetKey) -> Counts | None:
        """The service's counts; None when it is not there or not active."""
        ecs = self._context.client("ecs", key.scope[1])
        try:
            found = ecs.describe_services(cluster=key.cluster, services=[key.service])["services"]
        except (ClientError, BotoCoreError):
            return None
        if not found or found[0]["status"] != "ACTIVE":
            return None
        deployments = found[0].get("deployments", [])
        return Counts(
            int(found[0]["desiredCount"]),
            int(found[0]["runningCount"]),
            any(d.get("rolloutState") == "IN_PROGRESS" for d in deployments),
        )

    def set_desired(self, key: TargetKey, count: int) -> None:
        """Raises SetFailed."""
        ecs = self._context.client("ecs", key.scope[1])
        try:
            ecs.update_service(cluster=key.cluster, service=key.service, desiredCount=count)
        except (ClientError, BotoCoreError) as error:
            raise SetFailed(str(error)) from error
