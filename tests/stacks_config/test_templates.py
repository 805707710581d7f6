"""House rules of the templates, and what other parts of the project rely on in them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runbook.environment import LAYERS

Template = dict[str, Any]
Templates = dict[str, Template]
Resources = Callable[[str], dict[str, dict[str, Any]]]

OUTPUTS = {
    "network": "VpcId VpcCidr BalancerSubnetIds AppSubnetIds StoreSubnetIds",
    "registry": "RepositoryUri RepositoryName RepositoryArn RunbookRepositoryUri"
    " RunbookRepositoryArn",
    "data": "StoreEngine StoreShared StoreUrl JwtSecretArn StoreSecretArn ImageBucketName"
    " ImageBucketArn",
    "balancer": "BalancerArn BalancerFullName BalancerDnsName ServiceUrl ListenerArn TargetGroupArn"
    " TargetGroupFullName TaskSecurityGroupId ResourceLabel DeploymentAlarmNames",
    "cluster": "ClusterName ClusterArn ExecutionRoleArn TaskRoleArn LogGroupName CapacityProvider",
    "service": "ServiceName ServiceArn TaskDefinitionArn ScalableResourceId",
    "scaling": "ScalableTargetId StepAlarmName RequestsPolicyArn CpuPolicyArn MemoryPolicyArn"
    " StepPolicyArn",
    "monitoring": "TopicArn TicketTopicArn DashboardName PageAlarmName",
    "edge": "EdgeMode EdgeUrl DistributionId KeyStoreArn AllowedAddressesId BlockedAddressesId",
    "runbooks": "ReportBucketName RunbookTaskDefinitionArn ScheduleNames DeadLetterQueueUrl",
}
# Numbers that are facts, not choices.
LITERALS = {
    "Port": "the ports of HTTP and HTTPS",
    "FromPort": "the ports of HTTP and HTTPS",
    "ToPort": "the ports of HTTP and HTTPS",
    "anything-but": "the exit code of a run that is well",
    "PasswordLength": "bits of a generated key, nothing to tune",
    "Weight": "one capacity provider alone, any weight is all of it",
    "MetricIntervalLowerBound": "zero: from the alarm's threshold on",
    "Threshold": "zero: none may lack, none may be left over",
    "EvaluationPeriods": "one: a single event is the finding",
    "DatapointsToAlarm": "one: a single event is the finding",
    "Order": "a position",
    "Priority": "a position",
    "HTTPPort": "the ports of HTTP and HTTPS",
    "HTTPSPort": "the ports of HTTP and HTTPS",
    "TaskCount": "one runbook task does the work",
}


def walk(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every leaf of a template with the keys that lead to it."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from walk(value, (*path, str(key)))
    elif isinstance(node, list):
        for value in node:
            yield from walk(value, path)
    else:
        yield path, node


def statements(resources: Resources) -> list[dict[str, Any]]:
    """All statements of all policies that grant rights to roles."""
    return [
        statement
        for role in resources("AWS::IAM::Role").values()
        for policy in policies(role)
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def policies(role: dict[str, Any]) -> list[dict[str, Any]]:
    """A role's policies, those under a condition too."""
    given = [policy.get("Fn::If", [None, policy])[1] for policy in role.get("Policies", [])]
    assert all("PolicyDocument" in policy for policy in given)
    return given


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_there_is_a_template_a_layer(templates: Templates) -> None:
    assert set(templates) == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_everything_is_described(layer: str, templates: Templates) -> None:
    template = templates[layer]
    assert template["Description"]
    for section in ("Parameters", "Outputs"):
        for name, item in template[section].items():
            assert item.get("Description"), f"{section}.{name}"


@pytest.mark.parametrize("layer", LAYERS)
def test_every_number_is_bounded(layer: str, templates: Templates) -> None:
    for name, declared in templates[layer]["Parameters"].items():
        if declared["Type"] == "Number":
            assert "Default" in declared, name
            assert "AllowedValues" in declared or "MinValue" in declared, name


@pytest.mark.parametrize("layer", LAYERS)
def test_it_exports_what_others_rely_on(layer: str, templates: Templates) -> None:
    assert set(OUTPUTS[layer].split()) <= templates[layer]["Outputs"].keys()


@pytest.mark.parametrize("layer", LAYERS)
def test_every_parameter_is_used(layer: str, templates: Templates) -> None:
    template = {key: part for key, part in templates[layer].items() if key != "Parameters"}
    text = json.dumps(template)
    for name in templates[layer]["Parameters"]:
        assert f'"Ref": "{name}"' in text or f"${{{name}}}" in text, name


@pytest.mark.parametrize("layer", LAYERS)
def test_numbers_are_parameters(layer: str, templates: Templates) -> None:
    for full_path, value in walk(templates[layer]["Resources"]):
        path = [key for key in full_path if key != "Fn::If"]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # Positions and counts inside functions are structure.
        if is_number and not any(key.startswith("Fn::") for key in path):
            assert path[-1] in LITERALS, f"{'.'.join(path)} = {value}"


# Actions that IAM lets nobody bind to a resource, but for what a condition can still say.
UNBOUND = {
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:DescribeScalingActivities",
    "application-autoscaling:DescribeScalingPolicies",
    "cloudwatch:GetMetricData",
    "ecr:GetAuthorizationToken",
    "elasticloadbalancing:DescribeTargetHealth",
}


def test_policies_are_named_after_the_stack(resources: Resources) -> None:
    for where, role in resources("AWS::IAM::Role").items():
        for policy in policies(role):
            assert policy["PolicyName"]["Fn::Sub"].startswith("${AWS::StackName}-"), where


def test_roles_have_no_path(resources: Resources) -> None:
    # A path once broke the assumption of a role by its name.
    for where, role in resources("AWS::IAM::Role").items():
        assert "Path" not in role, where


def test_rights_are_for_named_resources_where_iam_can_name_them(resources: Resources) -> None:
    assert statements(resources)
    for statement in statements(resources):
        assert not any("*" in action for action in listed(statement["Action"]))
        if "*" in listed(statement["Resource"]) and "Condition" not in statement:
            assert set(listed(statement["Action"])) <= UNBOUND


def test_roles_are_assumed_for_this_account_only(resources: Resources) -> None:
    for where, role in resources("AWS::IAM::Role").items():
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            account = statement["Condition"]["StringEquals"]["aws:SourceAccount"]
            assert account == {"Ref": "AWS::AccountId"}, where


def test_tasks_are_reached_through_the_balancer_only(resources: Resources) -> None:
    groups = resources("AWS::EC2::SecurityGroup")
    (rule,) = groups["balancer.TaskSecurityGroup"]["SecurityGroupIngress"]
    assert rule["SourceSecurityGroupId"] == {"Fn::GetAtt": ["BalancerSecurityGroup", "GroupId"]}
    assert "CidrIp" not in rule


def test_no_subnet_hands_out_public_addresses(resources: Resources) -> None:
    subnets = resources("AWS::EC2::Subnet")
    assert len(subnets) == 4
    assert all(subnet["MapPublicIpOnLaunch"] is False for subnet in subnets.values())


def test_a_database_has_two_zones_however_many_the_tasks_have(
    templates: Templates, resources: Resources
) -> None:
    given = templates["network"]["Outputs"]["StoreSubnetIds"]["Value"]["Fn::Join"][1]
    subnets = [templates["network"]["Resources"][item["Ref"]] for item in given]
    assert not any("Condition" in subnet for subnet in subnets)
    assert len({json.dumps(s["Properties"]["AvailabilityZone"]) for s in subnets}) == 2
    group = resources("AWS::RDS::DBSubnetGroup")["data.StoreSubnetGroup"]
    assert group["SubnetIds"] == {"Ref": "StoreSubnetIds"}


def test_what_the_page_counts_cannot_be_off(templates: Templates) -> None:
    insights = templates["cluster"]["Parameters"]["ContainerInsights"]
    assert "disabled" not in insights["AllowedValues"]


def test_flow_logs_may_do_what_aws_asks_for(resources: Resources) -> None:
    role = resources("AWS::IAM::Role")["network.FlowLogRole"]
    granted = {
        action: statement["Resource"]
        for policy in policies(role)
        for statement in policy["PolicyDocument"]["Statement"]
        for action in listed(statement["Action"])
    }
    # The list of the VPC user guide, "IAM role for publishing flow logs to CloudWatch Logs".
    assert set(granted) == {
        f"logs:{name}"
        for name in (
            "CreateLogGroup", "CreateLogStream", "DescribeLogGroups", "DescribeLogStreams",
            "PutLogEvents",
        )
    }  # fmt: skip
    del granted["logs:DescribeLogGroups"]
    assert all(item == {"Fn::GetAtt": ["FlowLogGroup", "Arn"]} for item in granted.values())


def test_app_subnets_have_no_route_from_the_internet(resources: Resources) -> None:
    routes = resources("AWS::EC2::Route")
    through_gateway = [r["RouteTableId"] for r in routes.values() if "GatewayId" in r]
    assert through_gateway == [{"Ref": "BalancerRoutes"}]


def test_scaling_alone_decides_how_many_tasks_run(resources: Resources) -> None:
    (service,) = resources("AWS::ECS::Service").values()
    assert "DesiredCount" not in service


def test_a_bad_deployment_rolls_back(resources: Resources) -> None:
    (service,) = resources("AWS::ECS::Service").values()
    deployment = service["DeploymentConfiguration"]
    assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert deployment["Alarms"]["Enable"] is True
    assert deployment["Alarms"]["Rollback"] is True
    assert deployment["Alarms"]["AlarmNames"] == {"Ref": "DeploymentAlarmNames"}


def test_the_container_is_what_the_service_expects(
    templates: Templates, resources: Resources
) -> None:
    task = resources("AWS::ECS::TaskDefinition")["service.TaskDefinition"]
    (container,) = task["ContainerDefinitions"]
    named = {item["Name"] for item in container["Environment"] if "Name" in item}
    assert {"PORT", "STORE_URL", "CATALOGUE_SEED", "LOG_LEVEL", "SERVICE_VERSION"} <= named
    secrets = [item["Name"] for item in container["Secrets"] if "Name" in item]
    assert secrets == ["JWT_KEY"]
    assert container["Image"] == {"Fn::Sub": "${RepositoryUri}${ImageReference}"}
    (volume,) = task["Volumes"]
    (mount,) = container["MountPoints"]
    assert mount == {"SourceVolume": volume["Name"], "ContainerPath": "/srv/data"}
    parameters = templates["service"]["Parameters"]
    assert parameters["ContainerCommand"]["Default"] == "python,-m,app"
    assert parameters["ContainerPort"]["Default"] == 8000


def test_the_container_health_check_is_valid_python(resources: Resources) -> None:
    task = resources("AWS::ECS::TaskDefinition")["service.TaskDefinition"]
    command = task["ContainerDefinitions"][0]["HealthCheck"]["Command"]
    assert command[:2] == ["CMD", "python"]
    compile(command[-1], "health check", "exec")


def test_the_lifecycle_policy_is_valid_json(resources: Resources) -> None:
    for repository in resources("AWS::ECR::Repository").values():
        text = repository["LifecyclePolicy"]["LifecyclePolicyText"]["Fn::Sub"]
        rules = json.loads(re.sub(r"\$\{[^}]+\}", "1", text))["rules"]
        assert [rule["rulePriority"] for rule in rules] == [1, 2]


def test_images_cannot_be_overwritten(resources: Resources) -> None:
    repositories = resources("AWS::ECR::Repository").values()
    assert len(repositories) == 2
    for repository in repositories:
        assert repository["ImageTagMutability"] == "IMMUTABLE"
        assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}


def test_buckets_are_private_versioned_and_take_tls_only(resources: Resources) -> None:
    buckets = resources("AWS::S3::Bucket")
    assert set(buckets) == {"data.ImageBucket", "runbooks.ReportBucket"}
    for where, bucket in buckets.items():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}, where
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}, where
        assert bucket["LifecycleConfiguration"]["Rules"][0]["Status"] == "Enabled", where
        policy = resources("AWS::S3::BucketPolicy")[f"{where}Policy"]["PolicyDocument"]
        (statement,) = policy["Statement"]
        assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*"), where
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}, where


def test_a_schedule_may_start_one_task_with_its_own_roles(resources: Resources) -> None:
    role = resources("AWS::IAM::Role")["runbooks.ScheduleRole"]
    by_sid = {s["Sid"]: s for p in policies(role) for s in p["PolicyDocument"]["Statement"]}
    assert by_sid["StartRunbook"]["Resource"] == {"Ref": "TaskDefinition"}
    assert by_sid["GiveItsRoles"]["Condition"] == {
        "StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
    }
    assert {a for s in by_sid.values() for a in listed(s["Action"])} == {
        "ecs:RunTask",
        "iam:PassRole",
        "sqs:SendMessage",
    }


def test_a_schedule_runs_notebooks_as_json(resources: Resources) -> None:
    for schedule in resources("AWS::Scheduler::Schedule").values():
        text, values = schedule["Target"]["Input"]["Fn::Sub"]
        joiner, _ = values["Notebooks"]["Fn::Join"]
        body = text.replace("${Notebooks}", joiner.join(["a", "b"]))
        (container,) = json.loads(body)["containerOverrides"]
        assert {"run", "a", "b", "--env"} <= set(container["command"])
        assert "DeadLetterConfig" in schedule["Target"]


def test_what_holds_state_says_what_happens_to_it(templates: Templates) -> None:
    stateful = {
        "AWS::ECR::Repository",
        "AWS::Logs::LogGroup",
        "AWS::RDS::DBInstance",
        "AWS::S3::Bucket",
        "AWS::SQS::Queue",
        "AWS::SecretsManager::Secret",
    }
    for layer, template in templates.items():
        for name, resource in template["Resources"].items():
            if resource["Type"] in stateful:
                assert "DeletionPolicy" in resource, f"{layer}.{name}"
                assert "UpdateReplacePolicy" in resource, f"{layer}.{name}"
