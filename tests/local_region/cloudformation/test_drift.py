"""Readers of drift: what each asks, what it compares, and what counts as gone."""

import pytest

from local_region.cloudformation import drift
from local_region.seams import cloudformation

ALARM = {"AlarmName": "a", "Threshold": 5.0, "Period": 10, "StateValue": "OK"}
TARGET = "service/c/s|ecs:service:DesiredCount|ecs"
CASES = {
    "AWS::ECS::Service": (
        "ecs", "describe_services", {"services": [{"status": "ACTIVE", "taskDefinition": "td:1"}]},
        {"cluster": "c", "services": ["id"]}, {"TaskDefinition": "td:1"},
    ),
    "AWS::ECS::TaskDefinition": (
        "ecs", "describe_task_definition", {"taskDefinition": {"status": "ACTIVE"}},
        {"taskDefinition": "id"}, {},
    ),
    "AWS::ECS::Cluster": (
        "ecs", "describe_clusters", {"clusters": [{"status": "ACTIVE"}]}, {"clusters": ["id"]}, {},
    ),
    "AWS::CloudWatch::Alarm": (
        "cloudwatch", "describe_alarms", {"MetricAlarms": [ALARM]}, {"AlarmNames": ["id"]},
        {"Threshold": 5.0, "Period": 10},
    ),
    "AWS::ApplicationAutoScaling::ScalableTarget": (
        "application-autoscaling", "describe_scalable_targets",
        {"ScalableTargets": [{"MinCapacity": 1, "MaxCapacity": 4, "RoleARN": "r"}]},
        {"ServiceNamespace": "ecs", "ResourceIds": ["service/c/s"],
         "ScalableDimension": "ecs:service:DesiredCount"},
        {"MinCapacity": 1, "MaxCapacity": 4},
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": (
        "application-autoscaling", "describe_scaling_policies",
        {"ScalingPolicies": [{"PolicyARN": "other", "PolicyType": "StepScaling"},
                             {"PolicyARN": "id", "PolicyType": "TargetTrackingScaling"}]},
        {"ServiceNamespace": "ecs"}, {"PolicyType": "TargetTrackingScaling"},
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": (
        "elbv2", "describe_target_groups", {"TargetGroups": [{"HealthCheckPath": "/ready"}]},
        {"TargetGroupArns": ["id"]}, {"HealthCheckPath": "/ready"},
    ),
    "AWS::RDS::DBInstance": (
        "rds", "describe_db_instances",
        {"DBInstances": [{"DBInstanceClass": "db.t4g.micro", "MultiAZ": False}]},
        {"DBInstanceIdentifier": "id"}, {"DBInstanceClass": "db.t4g.micro", "MultiAZ": False},
    ),
    "AWS::EC2::Subnet": (
        "ec2", "describe_subnets", {"Subnets": [{"CidrBlock": "10.0.0.0/24"}]},
        {"SubnetIds": ["id"]}, {"CidrBlock": "10.0.0.0/24"},
    ),
    "AWS::CloudWatch::CompositeAlarm": (
        "cloudwatch", "describe_alarms", {"CompositeAlarms": [{"AlarmRule": "TRUE"}]},
        {"AlarmNames": ["id"], "AlarmTypes": ["CompositeAlarm"]}, {"AlarmRule": "TRUE"},
    ),
}  # fmt: skip


@pytest.fixture
def read(context, monkeypatch):
    """`read(type, physical id, properties)` as drift detection does it."""
    readers = {}
    monkeypatch.setattr(
        cloudformation,
        "register_drift_reader",
        lambda name, reader, compared: readers.update({name: reader}),
    )
    monkeypatch.setattr(cloudformation, "detect_drift_on_a_worker_thread", lambda: None)
    drift.install(context)
    return lambda name, physical_id, properties: readers[name](physical_id, properties)


def physical_id(name):
    if name == "AWS::ApplicationAutoScaling::ScalableTarget":
        return TARGET
    return "arn:aws:cloudwatch:r:a:alarm:id" if name.endswith("CompositeAlarm") else "id"


@pytest.mark.parametrize("name", CASES)
def test_what_is_there_is_read_in_the_templates_words(context, read, name):
    service, method, answer, asked, found = CASES[name]
    client = context.client(service, "eu-west-1", "000000000000")
    client.answers[method] = answer
    assert read(name, physical_id(name), {"Cluster": "c"}) == found
    assert client.asked_for(method) == [asked]


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_there_is_gone(context, read, name):
    service, method, answer, _, _ = CASES[name]
    client = context.client(service, "eu-west-1", "000000000000")
    key = next(iter(answer))
    client.answers[method] = {key: [] if isinstance(answer[key], list) else {"status": "INACTIVE"}}
    assert read(name, physical_id(name), {"Cluster": "c"}) is None


def test_an_inactive_service_is_gone(context, read):
    ecs = context.client("ecs", "eu-west-1", "000000000000")
    ecs.answers["describe_services"] = {"services": [{"status": "INACTIVE"}]}
    assert read("AWS::ECS::Service", "id", {"Cluster": "c"}) is None


@pytest.mark.parametrize("written", [5, "5", 5.0, "5.0"])
def test_a_number_is_the_same_however_it_is_written(context, read, written):
    cloudwatch = context.client("cloudwatch", "eu-west-1", "000000000000")
    cloudwatch.answers["describe_alarms"] = {"MetricAlarms": [ALARM]}
    assert read("AWS::CloudWatch::Alarm", "a", {"Threshold": written})["Threshold"] is written
    assert read("AWS::CloudWatch::Alarm", "a", {"Threshold": 6})["Threshold"] == 5.0


def test_a_schedule_that_was_switched_off_is_seen(context, read):
    scheduler = context.client("scheduler", "eu-west-1", "000000000000")
    scheduler.answers["get_schedule"] = {"State": "DISABLED", "ScheduleExpression": "rate(1 day)"}
    assert read("AWS::Scheduler::Schedule", "s", {"GroupName": "g"})["State"] == "DISABLED"
    assert scheduler.asked_for("get_schedule") == [{"GroupName": "g", "Name": "s"}]


def test_not_found_means_gone_and_any_other_refusal_means_unknown(context, read):
    elbv2 = context.client("elbv2", "eu-west-1", "000000000000")
    elbv2.refuse("describe_listeners", "ListenerNotFound")
    assert read("AWS::ElasticLoadBalancingV2::Listener", "id", {}) is None
    elbv2.refuse("describe_listeners", "Throttling")
    with pytest.raises(Exception, match="Throttling"):
        read("AWS::ElasticLoadBalancingV2::Listener", "id", {})
