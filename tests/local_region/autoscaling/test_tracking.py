from dataclasses import replace

import pytest

from local_region.autoscaling.records import Policy, TargetKey
from local_region.autoscaling.tracking import alarm_requests, side_of
from local_region.errors import AwsError
from local_region.settings import Settings

KEY = TargetKey(("000000000000", "eu-west-1"), "service/shop/api")
LABEL = "app/shop/1/targetgroup/api/2"


def policy(target=600.0, **specification):
    return Policy(KEY, "p", "arn:p", "TargetTrackingScaling",
                  {"TargetValue": target, **specification}, 0.0)  # fmt: skip


def predefined(kind, **more):
    return policy(PredefinedMetricSpecification={"PredefinedMetricType": kind, **more})


def test_requests_are_per_minute_whatever_the_period():
    high, low = alarm_requests(
        predefined("ALBRequestCountPerTarget", ResourceLabel=LABEL), Settings(period_s=10)
    )
    assert high["Threshold"] == 600.0
    assert low["Threshold"] == 540.0
    counted, per_minute = high["Metrics"]
    assert counted["MetricStat"]["Stat"] == "Sum"
    assert counted["MetricStat"]["Period"] == 10
    assert counted["MetricStat"]["Metric"]["Dimensions"] == [
        {"Name": "LoadBalancer", "Value": "app/shop/1"},
        {"Name": "TargetGroup", "Value": "targetgroup/api/2"},
    ]
    assert per_minute["Expression"] == "sum * 60 / 10"
    assert [counted["ReturnData"], per_minute["ReturnData"]] == [False, True]
    assert "requests per target and minute" in high["AlarmDescription"]


def test_with_aws_own_period_the_alarm_is_aws_own():
    high, _ = alarm_requests(
        predefined("ALBRequestCountPerTarget", ResourceLabel=LABEL), Settings(period_s=60)
    )
    assert (high["MetricName"], high["Statistic"], high["Period"]) == (
        "RequestCountPerTarget", "Sum", 60,
    )  # fmt: skip
    assert high["AlarmDescription"] == (
        "DO NOT EDIT OR DELETE. For TargetTrackingScaling policy arn:p."
    )


@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        ("ECSServiceAverageCPUUtilization", "CPUUtilization"),
        ("ECSServiceAverageMemoryUtilization", "MemoryUtilization"),
        ("ECSServiceAverageCPUUtilizationHighResolution", "CPUUtilization"),
        ("ECSServiceAverageMemoryUtilizationHighResolution", "MemoryUtilization"),
    ],
)
def test_service_metrics_name_cluster_and_service(kind, metric):
    high, _ = alarm_requests(predefined(kind), Settings())
    assert (high["Namespace"], high["MetricName"], high["Statistic"]) == (
        "AWS/ECS", metric, "Average",
    )  # fmt: skip
    assert high["Period"] == Settings().period_s
    assert high["Dimensions"] == [
        {"Name": "ClusterName", "Value": "shop"},
        {"Name": "ServiceName", "Value": "api"},
    ]


def test_a_metric_of_ones_own():
    own = {"Namespace": "Shop", "MetricName": "Queue", "Statistic": "Maximum"}
    high, _ = alarm_requests(policy(CustomizedMetricSpecification=own), Settings())
    assert (high["Namespace"], high["Statistic"], high["Period"]) == ("Shop", "Maximum", 10)


def test_metric_math_of_ones_own_gets_the_period():
    metrics = [
        {"Id": "m", "MetricStat": {"Metric": {"Namespace": "N", "MetricName": "M"}, "Stat": "Sum"},
         "ReturnData": False},
        {"Id": "e", "Expression": "m / 2", "ReturnData": True},
    ]  # fmt: skip
    high, _ = alarm_requests(
        policy(CustomizedMetricSpecification={"Metrics": metrics}), Settings(period_s=20)
    )
    assert high["Metrics"][0]["MetricStat"]["Period"] == 20
    assert high["Metrics"][1] == metrics[1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (predefined("ALBRequestCountPerTarget"), "ResourceLabel must be"),
        (predefined("ALBRequestCountPerTarget", ResourceLabel="x"), "ResourceLabel must be"),
        (predefined("EC2SpotFleetRequestAverageCPUUtilization"), "not emulated"),
    ],
)
def test_what_cannot_be_tracked(wrong, message):
    with pytest.raises(AwsError, match=message):
        alarm_requests(wrong, Settings())


def test_an_updated_policy_keeps_its_alarms_names():
    cpu = predefined("ECSServiceAverageCPUUtilization")
    names = [r["AlarmName"] for r in alarm_requests(cpu, Settings())]
    kept = replace(cpu, alarms=dict.fromkeys(names, "arn"))
    assert [r["AlarmName"] for r in alarm_requests(kept, Settings())] == names
    assert [side_of(name) for name in names] == ["high", "low"]
