"""AWS::CloudWatch::Alarm (also on metric math), CompositeAlarm and AWS::Route53::HealthCheck."""

from __future__ import annotations

import uuid
from typing import Any

from local_region.cloudformation.clients import stack_client
from local_region.cloudformation.failures import gone_is_fine, reported
from local_region.cloudformation.shapes import api_request
from local_region.cloudwatch.alarm_api import alarm_arn
from local_region.context import RegionContext
from local_region.seams import core
from local_region.seams.cloudformation import Created, Properties, ResourceType, physical_name

ALARM = "AWS::CloudWatch::Alarm"
COMPOSITE = "AWS::CloudWatch::CompositeAlarm"
HEALTH_CHECK = "AWS::Route53::HealthCheck"
_MAX_NAME = 255
_SUPPRESSOR = ("ActionsSuppressor", "ActionsSuppressorWaitPeriod",
               "ActionsSuppressorExtensionPeriod")  # fmt: skip


def alarm(context: RegionContext) -> ResourceType:
    """A metric alarm; Ref is its name, its state outlives a change."""
    return _alarm_type(context, ALARM, "PutMetricAlarm", "put_metric_alarm")


def composite_alarm(context: RegionContext) -> ResourceType:
    """An alarm over alarms; Ref is its name. Action suppression is not emulated."""
    return _alarm_type(context, COMPOSITE, "PutCompositeAlarm", "put_composite_alarm")


def _alarm_type(
    context: RegionContext, resource_type: str, operation: str, method: str
) -> ResourceType:
    def put(name: str, properties: Properties) -> Created:
        if unknown := [p for p in _SUPPRESSOR if properties.get(p)]:
            raise ValueError(f"{', '.join(unknown)} is not emulated by the local region")
        cloudwatch = stack_client(context, "cloudwatch")
        with reported(resource_type):
            named = properties | {"AlarmName": name, "Tags": _own_tags(properties)}
            request = api_request(cloudwatch, operation, named)
            getattr(cloudwatch, method)(**request)
        return name, {"Arn": alarm_arn(core.current_scope(), name)}

    def create(logical_id: str, properties: Properties, stack_name: str) -> Created:
        name = properties.get("AlarmName") or physical_name(stack_name, logical_id, _MAX_NAME)
        return put(str(name), properties)

    def update(
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created:
        created = put(physical_id, new)
        _set_tags(stack_client(context, "cloudwatch"), created[1]["Arn"], old, new)
        return created

    def delete(physical_id: str, properties: Properties) -> None:
        with reported(resource_type), gone_is_fine():
            stack_client(context, "cloudwatch").delete_alarms(AlarmNames=[physical_id])

    return ResourceType(create, delete, update, tags="Tags", replacing=("AlarmName",))


def _own_tags(properties: Properties) -> list[dict[str, str]]:
    """The stack's and the template's tags; CloudWatch refuses CloudFormation's own `aws:` ones."""
    return [
        {"Key": t["Key"], "Value": str(t.get("Value", ""))}
        for t in properties.get("Tags") or ()
        if not t["Key"].startswith("aws:")
    ]


def _set_tags(cloudwatch: Any, arn: str, old: Properties, new: Properties) -> None:
    """PutMetricAlarm leaves the tags of an existing alarm alone: they are set by themselves."""
    before = {tag["Key"] for tag in _own_tags(old)}
    after = _own_tags(new)
    if gone := before - {tag["Key"] for tag in after}:
        cloudwatch.untag_resource(ResourceARN=arn, TagKeys=sorted(gone))
    if after:
        cloudwatch.tag_resource(ResourceARN=arn, Tags=after)


def health_check(context: RegionContext) -> ResourceType:
    """A Route 53 health check as a record: nothing is probed. Ref is its id."""

    def create(logical_id: str, properties: Properties, stack_name: str) -> Created:
        route53 = stack_client(context, "route53")
        with reported(HEALTH_CHECK):
            request = api_request(
                route53,
                "CreateHealthCheck",
                {
                    "CallerReference": uuid.uuid4().hex,
                    "HealthCheckConfig": properties["HealthCheckConfig"],
                },
            )
            check_id = route53.create_health_check(**request)["HealthCheck"]["Id"]
            _tag_health_check(route53, check_id, {}, properties)
        return check_id, {"HealthCheckId": check_id}

    def update(
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created:
        before, after = old["HealthCheckConfig"], new["HealthCheckConfig"]
        if any(
            before.get(n) != after.get(n) for n in ("Type", "MeasureLatency", "RequestInterval")
        ):
            return create(logical_id or physical_id, new, stack_name)
        route53 = stack_client(context, "route53")
        fixed = ("Type", "MeasureLatency", "RequestInterval")
        with reported(HEALTH_CHECK):
            if before != after:
                changed = {n: v for n, v in after.items() if n not in fixed}
                request = api_request(
                    route53, "UpdateHealthCheck", changed | {"HealthCheckId": physical_id}
                )
                route53.update_health_check(**request)
            _tag_health_check(route53, physical_id, old, new)
        return physical_id, {"HealthCheckId": physical_id}

    def delete(physical_id: str, properties: Properties) -> None:
        with reported(HEALTH_CHECK), gone_is_fine():
            stack_client(context, "route53").delete_health_check(HealthCheckId=physical_id)

    return ResourceType(create, delete, update, tags="HealthCheckTags", replacing=())


def _tag_health_check(route53: Any, check_id: str, old: Properties, new: Properties) -> None:
    before = {tag["Key"] for tag in old.get("HealthCheckTags") or ()}
    after = [
        {"Key": t["Key"], "Value": str(t.get("Value", ""))}
        for t in new.get("HealthCheckTags") or ()
    ]
    changes: dict[str, Any] = {}
    if after:
        changes["AddTags"] = after
    if gone := before - {tag["Key"] for tag in after}:
        changes["RemoveTagKeys"] = sorted(gone)
    if changes:
        route53.change_tags_for_resource(ResourceType="healthcheck", ResourceId=check_id, **changes)
