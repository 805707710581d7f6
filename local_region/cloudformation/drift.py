"""What drift detection can compare here, beyond the emulator's own fourteen types.

Each reader asks the service's own API what a resource is now, in the template's shape. Only
properties that a template sets and a reader names are compared, as CloudFormation does it; a
reader that names none tells whether the resource still exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from local_region.cloudformation.clients import stack_client
from local_region.context import RegionContext
from local_region.seams import cloudformation
from local_region.seams.cloudformation import Properties

#: Gives a resource's record in the API's words, or None when there is none.
Find = Callable[[Any, str, Properties], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Reader:
    """How one type is looked up. `compared` are properties named alike in template and API."""

    service: str
    find: Find
    compared: frozenset[str] = frozenset()


def _listed(operation: str, argument: str, key: str) -> Find:
    """For APIs that describe by a list of ids."""

    def find(client: Any, physical_id: str, properties: Properties) -> Mapping[str, Any] | None:
        return _first(getattr(client, operation)(**{argument: [physical_id]})[key])

    return find


def _first(items: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return next(iter(items), None)


def _service(client: Any, physical_id: str, properties: Properties) -> Mapping[str, Any] | None:
    found = _first(
        client.describe_services(cluster=properties["Cluster"], services=[physical_id])["services"]
    )
    if found is None or found["status"] == "INACTIVE":
        return None
    return {"TaskDefinition": found["taskDefinition"]}


def _task_definition(
    client: Any, physical_id: str, properties: Properties
) -> Mapping[str, Any] | None:
    found = client.describe_task_definition(taskDefinition=physical_id)["taskDefinition"]
    return found if found.get("status", "ACTIVE") == "ACTIVE" else None


def _cluster(client: Any, physical_id: str, properties: Properties) -> Mapping[str, Any] | None:
    found = _first(client.describe_clusters(clusters=[physical_id])["clusters"])
    return found if found and found["status"] == "ACTIVE" else None


def _scalable_target(
    client: Any, physical_id: str, properties: Properties
) -> Mapping[str, Any] | None:
    resource, dimension, namespace = physical_id.split("|")
    return _first(
        client.describe_scalable_targets(
            ServiceNamespace=namespace, ResourceIds=[resource], ScalableDimension=dimension
        )["ScalableTargets"]
    )


def _scaling_policy(
    client: Any, physical_id: str, properties: Properties
) -> Mapping[str, Any] | None:
    found = client.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
    return _first(item for item in found if item["PolicyARN"] == physical_id)


def _composite_alarm(
    client: Any, physical_id: str, properties: Properties
) -> Mapping[str, Any] | None:
    name = physical_id.rpartition(":alarm:")[2]
    return _first(
        client.describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    )


def _schedule(client: Any, physical_id: str, properties: Properties) -> Mapping[str, Any] | None:
    group = properties.get("GroupName", "default")
    found: Mapping[str, Any] = client.get_schedule(GroupName=group, Name=physical_id)
    return found


def _database(client: Any, physical_id: str, properties: Properties) -> Mapping[str, Any] | None:
    found = client.describe_db_instances(DBInstanceIdentifier=physical_id)
    return _first(found["DBInstances"])


READERS = {
    "AWS::ECS::Service": Reader("ecs", _service, frozenset({"TaskDefinition"})),
    "AWS::ECS::TaskDefinition": Reader("ecs", _task_definition),
    "AWS::ECS::Cluster": Reader("ecs", _cluster),
    "AWS::CloudWatch::Alarm": Reader(
        "cloudwatch",
        _listed("describe_alarms", "AlarmNames", "MetricAlarms"),
        frozenset(
            {
                "ActionsEnabled",
                "ComparisonOperator",
                "DatapointsToAlarm",
                "EvaluationPeriods",
                "MetricName",
                "Namespace",
                "Period",
                "Threshold",
                "TreatMissingData",
            }
        ),
    ),
    "AWS::CloudWatch::CompositeAlarm": Reader(
        "cloudwatch", _composite_alarm, frozenset({"ActionsEnabled", "AlarmRule"})
    ),
    "AWS::ApplicationAutoScaling::ScalableTarget": Reader(
        "application-autoscaling", _scalable_target, frozenset({"MinCapacity", "MaxCapacity"})
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": Reader(
        "application-autoscaling", _scaling_policy, frozenset({"PolicyType"})
    ),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": Reader(
        "elbv2",
        _listed("describe_load_balancers", "LoadBalancerArns", "LoadBalancers"),
        frozenset({"Scheme", "Type"}),
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": Reader(
        "elbv2",
        _listed("describe_target_groups", "TargetGroupArns", "TargetGroups"),
        frozenset(
            {
                "HealthCheckIntervalSeconds",
                "HealthCheckPath",
                "HealthCheckTimeoutSeconds",
                "HealthyThresholdCount",
                "Protocol",
                "UnhealthyThresholdCount",
            }
        ),
    ),
    "AWS::ElasticLoadBalancingV2::Listener": Reader(
        "elbv2",
        _listed("describe_listeners", "ListenerArns", "Listeners"),
        frozenset({"Port", "Protocol"}),
    ),
    "AWS::RDS::DBInstance": Reader(
        "rds",
        _database,
        frozenset({"BackupRetentionPeriod", "DBInstanceClass", "DeletionProtection", "MultiAZ"}),
    ),
    "AWS::EC2::VPC": Reader(
        "ec2", _listed("describe_vpcs", "VpcIds", "Vpcs"), frozenset({"CidrBlock"})
    ),
    "AWS::EC2::Subnet": Reader(
        "ec2", _listed("describe_subnets", "SubnetIds", "Subnets"), frozenset({"CidrBlock"})
    ),
    "AWS::EC2::SecurityGroup": Reader(
        "ec2", _listed("describe_security_groups", "GroupIds", "SecurityGroups")
    ),
    "AWS::EC2::RouteTable": Reader(
        "ec2", _listed("describe_route_tables", "RouteTableIds", "RouteTables")
    ),
    "AWS::EC2::VPCEndpoint": Reader(
        "ec2", _listed("describe_vpc_endpoints", "VpcEndpointIds", "VpcEndpoints")
    ),
    "AWS::Scheduler::Schedule": Reader(
        "scheduler", _schedule, frozenset({"ScheduleExpression", "State"})
    ),
    "AWS::EC2::InternetGateway": Reader(
        "ec2", _listed("describe_internet_gateways", "InternetGatewayIds", "InternetGateways")
    ),
}


def install(context: RegionContext) -> None:
    """Raises SeamMoved."""
    for name, reader in READERS.items():
        cloudformation.register_drift_reader(name, _reading(context, reader), reader.compared)
    cloudformation.detect_drift_on_a_worker_thread()


def _reading(
    context: RegionContext, reader: Reader
) -> Callable[[str, Properties], dict[str, Any] | None]:
    def read(physical_id: str, properties: Properties) -> dict[str, Any] | None:
        try:
            found = reader.find(stack_client(context, reader.service), physical_id, properties)
        except ClientError as error:
            if _is_gone(error):
                return None
            raise
        if found is None:
            return None
        return {
            name: _as_written(properties.get(name), found[name])
            for name in reader.compared
            if name in found
        }

    return read


def _as_written(wanted: Any, found: Any) -> Any:
    """A number in the template's spelling when it is the same one: APIs answer 5.0 for 5."""
    try:
        return wanted if float(wanted) == float(found) else found
    except (TypeError, ValueError):
        return found


def _is_gone(error: ClientError) -> bool:
    code = str(error.response["Error"]["Code"])
    return "NotFound" in code or "does not exist" in str(error)
