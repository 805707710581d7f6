"""Registers every type of ours with the emulator's CloudFormation and mends its gaps."""

from __future__ import annotations

from typing import Any

from local_region.cloudformation import (
    drift,
    edge,
    monitoring,
    network,
    scaling,
    schedules,
    service,
    task_definition,
)
from local_region.cloudformation.recorded import RECORDED_TYPES, recorded
from local_region.cloudformation.schemas import schema_of
from local_region.cloudformation.service import WaitInactive, WaitStable
from local_region.context import RegionContext
from local_region.seams import cloudformation
from local_region.seams.cloudformation import Properties, ResourceType

_NETWORK_AND_OTHERS = (
    "AWS::EC2::InternetGateway",
    "AWS::EC2::RouteTable",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::Subnet",
    "AWS::EC2::VPC",
    "AWS::EC2::VPCEndpoint",
    "AWS::CloudFront::Distribution",
    "AWS::CloudFront::KeyValueStore",
    "AWS::CloudFront::ResponseHeadersPolicy",
    "AWS::CloudWatch::Dashboard",
    "AWS::Cognito::UserPoolClient",
    "AWS::ECS::Cluster",
    "AWS::ElasticLoadBalancingV2::Listener",
    "AWS::ElasticLoadBalancingV2::ListenerRule",
    "AWS::Logs::LogGroup",
    "AWS::Route53::RecordSet",
    "AWS::SNS::Subscription",
    "AWS::SecretsManager::Secret",
)
"""Types of the emulator's own that leave open what replaces them; the public schema says it."""


def types(
    context: RegionContext, wait_stable: WaitStable, wait_inactive: WaitInactive
) -> dict[str, ResourceType]:
    """Every type this package makes."""
    made = {
        network.EIP: network.elastic_ip(context),
        network.NAT_GATEWAY: network.nat_gateway(context),
        network.FLOW_LOG: network.flow_log(context),
        task_definition.TYPE: task_definition.task_definition(context),
        service.TYPE: service.service(context, wait_stable, wait_inactive),
        scaling.TARGET: scaling.scalable_target(context),
        scaling.POLICY: scaling.scaling_policy(context),
        monitoring.ALARM: monitoring.alarm(context),
        monitoring.COMPOSITE: monitoring.composite_alarm(context),
        monitoring.HEALTH_CHECK: monitoring.health_check(context),
        schedules.SCHEDULE: schedules.schedule(context),
        edge.IP_SET: edge.ip_set(context),
        edge.ASSOCIATION: edge.web_acl_association(context),
        edge.VPC_ORIGIN: edge.vpc_origin(context),
    }
    made |= {rule: network.security_group_rule(context, rule) for rule in network.RULES}
    return made | {name: recorded(name) for name in RECORDED_TYPES}


def install(context: RegionContext, wait_stable: WaitStable, wait_inactive: WaitInactive) -> None:
    """Raises SeamMoved."""
    for name, resource in types(context, wait_stable, wait_inactive).items():
        cloudformation.register_type(name, resource)
    cloudformation.mend_attributes("AWS::EC2::VPC", _vpc_attributes)
    cloudformation.mend_attributes(
        "AWS::ElasticLoadBalancingV2::TargetGroup", _target_group_attributes
    )
    for name in _NETWORK_AND_OTHERS:
        schema = schema_of(name)
        if schema is not None and not cloudformation.has_replacing_properties(name):
            cloudformation.set_replacing_properties(name, schema.create_only)
    cloudformation.revert_failed_updates_of(service.TYPE)
    cloudformation.review_what_conditions_leave_out()
    cloudformation.list_notification_arns()
    drift.install(context)


def _vpc_attributes(vpc_id: str, properties: Properties) -> dict[str, Any]:
    """The CidrBlock, which the emulator leaves out."""
    return {"CidrBlock": properties.get("CidrBlock", "10.0.0.0/16")}


def _target_group_attributes(arn: str, properties: Properties) -> dict[str, Any]:
    """The full name, which the emulator cuts: it is the metrics' dimension."""
    return {"TargetGroupFullName": arn.rpartition(":")[2]}
