"""Which AWS resources a service consists of, read from the outputs of its stacks."""

from __future__ import annotations

from dataclasses import dataclass

from runbook import aws
from runbook.endpoint import endpoint
from runbook.environment import Environment


@dataclass(frozen=True)
class ServiceIdentity:
    """The names by which CloudWatch, ECS, ELB and Application Auto Scaling know the service."""

    cluster: str
    service: str
    resource_id: str
    balancer: str
    target_group: str
    target_group_arn: str
    url: str


def service_identity(environment: Environment) -> ServiceIdentity:
    """The deployed service. Raises StackNotFound when a stack it needs is not there."""
    balancer = aws.outputs(environment, "balancer")
    cluster = aws.outputs(environment, "cluster")
    service = aws.outputs(environment, "service")
    return ServiceIdentity(
        cluster=cluster["ClusterName"],
        service=service["ServiceName"],
        resource_id=service["ScalableResourceId"],
        balancer=balancer["BalancerFullName"],
        target_group=balancer["TargetGroupFullName"],
        target_group_arn=balancer["TargetGroupArn"],
        url=endpoint(environment).url,
    )
