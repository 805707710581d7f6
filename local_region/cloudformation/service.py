"""AWS::ECS::Service: created, changed and deleted through ECS, and awaited until it is stable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local_region.cloudformation.clients import stack_client
from local_region.cloudformation.failures import gone_is_fine, reported
from local_region.cloudformation.shapes import api_request
from local_region.cloudformation.task_definition import set_tags
from local_region.context import RegionContext, Stabilisation
from local_region.seams.cloudformation import Created, Properties, ResourceType, physical_name

TYPE = "AWS::ECS::Service"
_MAX_NAME = 255
_RENAMED = {"PlacementStrategies": "placementStrategy"}
_CREATE_ONLY = ("ServiceName", "Role", "LaunchType", "SchedulingStrategy", "DeploymentController")
_NOT_ON_UPDATE = (*_CREATE_ONLY, "Cluster", "Tags")

WaitStable = Callable[[str, str, str, float], Stabilisation]
WaitInactive = Callable[[str, str, float], bool]


def service(
    context: RegionContext, wait_stable: WaitStable, wait_inactive: WaitInactive
) -> ResourceType:
    """The type. Without DesiredCount a new service gets one task, an old one keeps its own."""

    def create(logical_id: str, properties: Properties, stack_name: str) -> Created:
        name = properties.get("ServiceName") or physical_name(stack_name, logical_id, _MAX_NAME)
        ecs = stack_client(context, "ecs")
        with reported(TYPE):
            request = api_request(
                ecs,
                "CreateService",
                {"DesiredCount": 1, **properties, "ServiceName": name},
                renamed=_RENAMED,
            )
            created = ecs.create_service(**request)["service"]
        try:
            _await(created)
        except ValueError:
            # A resource whose creation failed does not stay behind.
            delete(created["serviceArn"], properties)
            raise
        return _created(created)

    def update(
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created:
        ecs = stack_client(context, "ecs")
        changed = {name: value for name, value in new.items() if old.get(name) != value}
        with reported(TYPE):
            set_tags(ecs, physical_id, old, new)
            request = api_request(
                ecs, "UpdateService", changed, renamed=_RENAMED, ignored=_NOT_ON_UPDATE
            )
            request |= {"cluster": _cluster(new), "service": physical_id}
            updated = ecs.update_service(**request)["service"]
        _await(updated)
        return _created(updated)

    def delete(physical_id: str, properties: Properties) -> None:
        cluster = _cluster(properties)
        with reported(TYPE), gone_is_fine():
            stack_client(context, "ecs").delete_service(
                cluster=cluster, service=physical_id, force=True
            )
        name = physical_id.rsplit("/", 1)[-1]
        wait_inactive(_name(cluster), name, context.settings.stabilise_timeout_s)

    def _await(described: dict[str, Any]) -> None:
        primary = next(d for d in described["deployments"] if d["status"] == "PRIMARY")
        ended = wait_stable(
            _name(described["clusterArn"]),
            described["serviceName"],
            primary["id"],
            context.settings.stabilise_timeout_s,
        )
        if ended.outcome != "COMPLETED":
            raise ValueError(_failure(ended, context.settings.stabilise_timeout_s))

    return ResourceType(
        create, delete, update, tags="Tags", replacing=(*_CREATE_ONLY[:4], "Cluster")
    )


def _created(described: dict[str, Any]) -> Created:
    arn = described["serviceArn"]
    return arn, {"ServiceArn": arn, "Name": described["serviceName"]}


def _cluster(properties: Properties) -> str:
    return str(properties.get("Cluster") or "default")


def _name(arn_or_name: str) -> str:
    return arn_or_name.rsplit("/", 1)[-1]


def _failure(ended: Stabilisation, timeout_s: float) -> str:
    """CloudFormation's words for a deployment that did not end well."""
    if ended.outcome == "FAILED":
        breaker = "circuit breaker" in ended.reason.lower()
        what = "ECS Deployment Circuit Breaker was triggered" if breaker else ended.reason
        why = f" Reason: {ended.reason}" if breaker else ""
        return (
            f"Resource handler returned message: \"Error occurred during operation '{what}'.{why}\""
            " (HandlerErrorCode: GeneralServiceException)"
        )
    what = {
        "TIMEOUT": f"Exceeded attempts to wait: not stable after {timeout_s:.0f} s",
        "GONE": "The service was deleted while it was awaited",
    }[ended.outcome]
    return f'Resource handler returned message: "{what}" (HandlerErrorCode: NotStabilized)'
