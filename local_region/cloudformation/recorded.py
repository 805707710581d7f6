"""Types that are only recorded: nothing behind them is emulated, and the status says so.

Only the types listed here; any other type without a handler fails its stack. None of them belongs
to the network, balancer, cluster, service, scaling or monitoring layer.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from local_region.cloudformation.schemas import TypeSchema, schema_of
from local_region.seams import core
from local_region.seams.cloudformation import Created, Properties, ResourceType, physical_name

RECORDED_TYPES = frozenset(
    {
        "AWS::Budgets::Budget",
        "AWS::CE::AnomalyMonitor",
        "AWS::CE::AnomalySubscription",
        "AWS::CloudFront::MonitoringSubscription",
        "AWS::CloudTrail::Trail",
        "AWS::ECR::PullThroughCacheRule",
        "AWS::ECR::RegistryPolicy",
        "AWS::ECR::ReplicationConfiguration",
        "AWS::IAM::OIDCProvider",
        "AWS::IAM::ServiceLinkedRole",
        "AWS::RDS::DBProxy",
        "AWS::RDS::DBProxyTargetGroup",
        "AWS::ResourceGroups::Group",
        "AWS::S3::StorageLens",
        "AWS::SecretsManager::ResourcePolicy",
        "AWS::SecretsManager::RotationSchedule",
        "AWS::WAFv2::LoggingConfiguration",
    }
)
_MAX_NAME = 128


def recorded(resource_type: str) -> ResourceType:
    """A resource whose Ref and GetAtt answer as the public schema says, and that does nothing."""

    def create(logical_id: str, properties: Properties, stack_name: str) -> Created:
        name = physical_name(stack_name, logical_id, _MAX_NAME)
        schema = schema_of(resource_type) or TypeSchema((), (), ())
        attributes = {a: _value(resource_type, a, name) for a in schema.attributes}
        identifiers = [str(properties.get(i, attributes.get(i, name))) for i in schema.identifiers]
        return "|".join(identifiers) or name, attributes

    def update(
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created:
        _, attributes = create(logical_id or physical_id, new, stack_name)
        return physical_id, attributes

    def delete(physical_id: str, properties: Properties) -> None:
        return

    schema = schema_of(resource_type)
    return ResourceType(create, delete, update, replacing=schema.create_only if schema else ())


def _value(resource_type: str, attribute: str, name: str) -> Any:
    """A plausible attribute, the same at every update."""
    account_id, region = core.current_scope()
    if re.search(r"Arn$", attribute, re.IGNORECASE):
        service = resource_type.split("::")[1].lower()
        return f"arn:aws:{service}:{region}:{account_id}:{name}"
    if attribute.endswith("Id"):
        return uuid.uuid5(uuid.NAMESPACE_URL, f"{name}/{attribute}").hex
    return f"{name}-{attribute}"
