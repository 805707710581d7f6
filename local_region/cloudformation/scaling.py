"""AWS::ApplicationAutoScaling::ScalableTarget and ScalingPolicy."""

from __future__ import annotations

from typing import Any

from local_region.cloudformation.clients import stack_client
from local_region.cloudformation.failures import gone_is_fine, reported
from local_region.cloudformation.shapes import api_request
from local_region.context import RegionContext
from local_region.seams.cloudformation import Created, Properties, ResourceType

TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
POLICY = "AWS::ApplicationAutoScaling::ScalingPolicy"
_SERVICE = "application-autoscaling"
_KEY = ("ResourceId", "ScalableDimension", "ServiceNamespace")


def scalable_target(context: RegionContext) -> ResourceType:
    """Ref is `resource|dimension|namespace`."""

    def create(logical_id: str, properties: Properties, stack_name: str) -> Created:
        if properties.get("ScheduledActions"):
            raise ValueError("ScheduledActions are not emulated by the local region")
        client = stack_client(context, _SERVICE)
        with reported(TARGET):
            client.register_scalable_target(
                **api_request(
                    client, "RegisterScalableTarget", properties, ignored=["ScheduledActions"]
                )
            )
        target_id = "|".join(str(properties[name]) for name in _KEY)
        return target_id, {"Id": target_id}

    def update(
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created:
        return create(logical_id or physical_id, new, stack_name)

    def delete(physical_id: str, properties: Properties) -> None:
        with reported(TARGET), gone_is_fine():
            stack_client(context, _SERVICE).deregister_scalable_target(**_key(physical_id))

    return ResourceType(create, delete, update, replacing=_KEY)


def scaling_policy(context: RegionContext) -> ResourceType:
    """Ref is the policy's ARN."""

    def create(logical_id: str, properties: Properties, stack_name: str) -> Created:
        client = stack_client(context, _SERVICE)
        request: dict[str, Any] = dict(properties)
        if target := request.pop("ScalingTargetId", None):
            request |= _key(str(target))
        with reported(POLICY):
            arn = client.put_scaling_policy(**api_request(client, "PutScalingPolicy", request))[
                "PolicyARN"
            ]
        return arn, {"Arn": arn, "PolicyName": str(properties["PolicyName"])}

    def update(
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created:
        return create(logical_id or physical_id, new, stack_name)

    def delete(physical_id: str, properties: Properties) -> None:
        # arn:…:scalingPolicy:<uuid>:resource/<namespace>/<resource>:policyName/<name>
        resource, _, name = physical_id.partition(":resource/")[2].partition(":policyName/")
        namespace, _, resource_id = resource.partition("/")
        with reported(POLICY), gone_is_fine():
            stack_client(context, _SERVICE).delete_scaling_policy(
                PolicyName=name,
                ServiceNamespace=namespace,
                ResourceId=resource_id,
                ScalableDimension=_dimension(properties),
            )

    return ResourceType(create, delete, update, replacing=("PolicyName", "ScalingTargetId", *_KEY))


def _key(target_id: str) -> dict[str, str]:
    parts = target_id.split("|")
    if len(parts) != len(_KEY):
        raise ValueError(f"ScalingTargetId {target_id!r} is not resource|dimension|namespace")
    return dict(zip(_KEY, parts, strict=True))


def _dimension(properties: Properties) -> str:
    target = properties.get("ScalingTargetId")
    if target:
        return _key(str(target))["ScalableDimension"]
    return str(properties["ScalableDimension"])
