"""AWS::Scheduler::Schedule through the API: no property of a template is lost."""

from __future__ import annotations

from typing import Any

from local_region.cloudformation.clients import stack_client
from local_region.cloudformation.failures import gone_is_fine, reported
from local_region.cloudformation.shapes import api_request
from local_region.context import RegionContext
from local_region.seams.cloudformation import Created, Properties, ResourceType, physical_name

SCHEDULE = "AWS::Scheduler::Schedule"
_MAX_NAME = 64


def schedule(context: RegionContext) -> ResourceType:
    """The type; Ref is the schedule's name."""

    def create(logical_id: str, properties: Properties, stack_name: str) -> Created:
        name = properties.get("Name") or physical_name(stack_name, logical_id, _MAX_NAME)
        return put("CreateSchedule", str(name), properties)

    def update(
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created:
        if _group(old) == _group(new):
            return put("UpdateSchedule", physical_id, new)
        # The API cannot move a schedule: it is made in its new group, then the old one goes.
        moved = put("CreateSchedule", physical_id, new)
        delete(physical_id, old)
        return moved

    def delete(physical_id: str, properties: Properties) -> None:
        with reported(SCHEDULE), gone_is_fine():
            stack_client(context, "scheduler").delete_schedule(
                Name=physical_id, GroupName=_group(properties)
            )

    def put(operation: str, name: str, properties: Properties) -> Created:
        client: Any = stack_client(context, "scheduler")
        with reported(SCHEDULE):
            request = api_request(client, operation, {**properties, "Name": name})
            call = (
                client.create_schedule if operation == "CreateSchedule" else client.update_schedule
            )
            return name, {"Arn": call(**request)["ScheduleArn"]}

    return ResourceType(create, delete, update, replacing=("Name",))


def _group(properties: Properties) -> str:
    return str(properties.get("GroupName") or "default")
