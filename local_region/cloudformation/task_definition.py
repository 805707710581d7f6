"""AWS::ECS::TaskDefinition through RegisterTaskDefinition: no field of a template is lost."""

from __future__ import annotations

from typing import Any

from local_region.cloudformation.clients import stack_client
from local_region.cloudformation.failures import gone_is_fine, reported
from local_region.cloudformation.shapes import api_request
from local_region.context import RegionContext
from local_region.seams.cloudformation import Created, Properties, ResourceType, physical_name

TYPE = "AWS::ECS::TaskDefinition"
_MAX_FAMILY = 255
_REPLACING = (
    "Family", "ContainerDefinitions", "Cpu", "EnableFaultInjection", "EphemeralStorage",
    "ExecutionRoleArn", "InferenceAccelerators", "IpcMode", "Memory", "NetworkMode", "PidMode",
    "PlacementConstraints", "ProxyConfiguration", "RequiresCompatibilities", "RuntimePlatform",
    "TaskRoleArn", "Volumes",
)  # fmt: skip


def task_definition(context: RegionContext) -> ResourceType:
    """A new revision for every change but of tags; the family's name is stable."""

    def create(logical_id: str, properties: Properties, stack_name: str) -> Created:
        family = properties.get("Family") or physical_name(
            stack_name, logical_id, _MAX_FAMILY, seeded=False
        )
        ecs = stack_client(context, "ecs")
        with reported(TYPE):
            request = api_request(ecs, "RegisterTaskDefinition", properties | {"Family": family})
            registered = ecs.register_task_definition(**request)["taskDefinition"]
        arn = registered["taskDefinitionArn"]
        return arn, {"TaskDefinitionArn": arn}

    def update(
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created:
        if _without_tags(old) != _without_tags(new):
            return create(logical_id or physical_id, new, stack_name)
        set_tags(stack_client(context, "ecs"), physical_id, old, new)
        return physical_id, {"TaskDefinitionArn": physical_id}

    def delete(physical_id: str, properties: Properties) -> None:
        with reported(TYPE), gone_is_fine():
            stack_client(context, "ecs").deregister_task_definition(taskDefinition=physical_id)

    return ResourceType(create, delete, update, tags="Tags", replacing=_REPLACING)


def set_tags(ecs: Any, arn: str, old: Properties, new: Properties) -> None:
    """Make an ECS resource's tags follow the template's; tags set elsewhere stay."""
    before = {t["Key"]: t.get("Value", "") for t in old.get("Tags") or ()}
    after = {t["Key"]: t.get("Value", "") for t in new.get("Tags") or ()}
    if gone := [key for key in before if key not in after]:
        ecs.untag_resource(resourceArn=arn, tagKeys=gone)
    if changed := {key: value for key, value in after.items() if before.get(key) != value}:
        tags = [{"key": key, "value": value} for key, value in changed.items()]
        ecs.tag_resource(resourceArn=arn, tags=tags)


def _without_tags(properties: Properties) -> Properties:
    return {name: value for name, value in properties.items() if name != "Tags"}
