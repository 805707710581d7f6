"""The scaling policies and the alarms: what they follow, when, and who hears of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from app.config import Config
from app.errors import StartError

Templates = dict[str, dict[str, Any]]
Resources = Callable[[str], dict[str, dict[str, Any]]]


def test_target_tracking_follows_requests_cpu_and_memory(resources: Resources) -> None:
    policies = resources("AWS::ApplicationAutoScaling::ScalingPolicy")
    tracked = {}
    for policy in policies.values():
        if policy["PolicyType"] == "TargetTrackingScaling":
            tracking = policy["TargetTrackingScalingPolicyConfiguration"]
            metric = tracking["PredefinedMetricSpecification"]["PredefinedMetricType"]
            condition, fast, standard = (
                metric.get("Fn::If")
                if isinstance(metric, dict)
                else ("UseFastMetrics", metric, metric)
            )
            assert condition == "UseFastMetrics"
            tracked[tracking["TargetValue"]["Ref"]] = (standard, fast)
    assert tracked == {
        "RequestsPerTarget": ("ALBRequestCountPerTarget",) * 2,
        "CpuTarget": (
            "ECSServiceAverageCPUUtilization",
            "ECSServiceAverageCPUUtilizationHighResolution",
        ),
        "MemoryTarget": (
            "ECSServiceAverageMemoryUtilization",
            "ECSServiceAverageMemoryUtilizationHighResolution",
        ),
    }


def test_metrics_are_as_fine_as_the_policies_want_them(
    templates: Templates, resources: Resources
) -> None:
    (service,) = resources("AWS::ECS::Service").values()
    (fine,) = service["Monitoring"]["MetricConfigurations"]
    assert fine["MetricNames"] == ["CPUUtilization", "MemoryUtilization"]
    assert fine["ResolutionSeconds"] == {"Ref": "MetricResolutionS"}
    fast = templates["scaling"]["Conditions"]["UseFastMetrics"]
    assert fast == {"Fn::Equals": [{"Ref": "EcsMetricPeriodS"}, "20"]}


def test_the_step_policy_only_adds(templates: Templates, resources: Resources) -> None:
    policies = resources("AWS::ApplicationAutoScaling::ScalingPolicy")
    step = policies["scaling.StepPolicy"]["StepScalingPolicyConfiguration"]
    assert step["AdjustmentType"] == "ChangeInCapacity"
    assert all(item["MetricIntervalLowerBound"] >= 0 for item in step["StepAdjustments"])
    assert templates["scaling"]["Parameters"]["StepAdjustment"]["MinValue"] > 0


def test_the_step_alarm_is_p95_while_busy(templates: Templates, resources: Resources) -> None:
    alarm = resources("AWS::CloudWatch::Alarm")["scaling.StepAlarm"]
    queries = {query["Id"]: query for query in alarm["Metrics"]}
    assert queries["slow"]["Expression"] == {"Fn::Sub": "IF(cpu > ${P95CpuFloor}, p95, 0)"}
    assert queries["p95"]["MetricStat"]["Stat"] == "p95"
    assert queries["cpu"]["MetricStat"]["Stat"] == "Average"
    assert [query["Id"] for query in alarm["Metrics"] if query["ReturnData"]] == ["slow"]
    assert alarm["AlarmActions"] == [{"Ref": "StepPolicy"}]
    # The metric's unit is the second: 20 ms.
    assert templates["scaling"]["Parameters"]["P95StepThresholdS"]["Default"] == 0.02


def test_every_alarm_says_why_it_exists(resources: Resources) -> None:
    kinds = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    alarms = {where: item for kind in kinds for where, item in resources(kind).items()}
    assert len(alarms) == 15
    for where, alarm in alarms.items():
        description = alarm["AlarmDescription"]
        text = description["Fn::Sub"] if isinstance(description, dict) else description
        assert text, where
        # CloudWatch takes 1024 characters; parameters grow a little when filled in.
        assert len(text) < 1000, where
        if where.startswith("monitoring."):
            assert "Why:" in text, where
            assert "What to do:" in text, where


def test_alarms_treat_silence_as_fine(resources: Resources) -> None:
    for where, alarm in resources("AWS::CloudWatch::Alarm").items():
        # Route 53 reports every minute: its silence is none.
        fine = "breaching" if alarm.get("Namespace") == "AWS/Route53" else "notBreaching"
        assert alarm["TreatMissingData"] == fine, where


def test_every_alarm_is_heard_or_part_of_the_page(resources: Resources) -> None:
    (page,) = resources("AWS::CloudWatch::CompositeAlarm").values()
    paged = set(re.findall(r'ALARM\("\$\{(\w+)\}"\)', page["AlarmRule"]["Fn::Sub"]))
    assert page["AlarmActions"] == [{"Ref": "PageTopic"}]
    for where, alarm in resources("AWS::CloudWatch::Alarm").items():
        layer, _, name = where.partition(".")
        if layer == "monitoring":
            is_ticket = alarm.get("AlarmActions") == [{"Ref": "TicketTopic"}]
            assert is_ticket != (name in paged), where


def test_the_dashboard_is_valid_json(resources: Resources) -> None:
    (dashboard,) = resources("AWS::CloudWatch::Dashboard").values()
    body = re.sub(r"\$\{[^}]+\}", "1", dashboard["DashboardBody"]["Fn::Sub"])
    assert len(json.loads(body)["widgets"]) == 7


def test_the_pool_alarm_is_on_the_environments_own_metric(
    templates: Templates, resources: Resources
) -> None:
    alarm = resources("AWS::CloudWatch::Alarm")["monitoring.BusyPool"]
    assert (alarm["MetricName"], alarm["Statistic"]) == ("PoolWaits", "Sum")
    assert alarm["Namespace"] == {"Ref": "MetricsNamespace"}
    task = resources("AWS::ECS::TaskDefinition")["service.TaskDefinition"]
    environment = task["ContainerDefinitions"][0]["Environment"]
    given = {item["Name"]: item["Value"] for item in environment if "Name" in item}
    namespace = templates["service"]["Outputs"]["MetricsNamespace"]["Value"]
    assert given["METRICS_NAMESPACE"] == namespace == {"Ref": "AWS::StackName"}
    # The application writes a value a period: fewer would leave gaps, more cost more.
    assert given["METRICS_INTERVAL_S"] == {"Ref": "MetricPeriodS"}


def test_a_task_never_waits_for_a_connection_by_configuration(templates: Templates) -> None:
    pool = templates["service"]["Parameters"]["StorePoolSize"]
    key = {"JWT_KEY": "k" * 32}
    assert Config.from_environment({**key, "STORE_POOL_SIZE": str(pool["MinValue"])})
    with pytest.raises(StartError):
        Config.from_environment({**key, "STORE_POOL_SIZE": str(pool["MinValue"] - 1)})


def test_pages_and_tickets_reach_who_is_named_and_nobody_sees_where(
    templates: Templates, resources: Resources
) -> None:
    subscriptions = resources("AWS::SNS::Subscription")
    for kind in ("Page", "Ticket"):
        subscription = subscriptions[f"monitoring.{kind}Subscription"]
        assert subscription["TopicArn"] == {"Ref": f"{kind}Topic"}
        assert subscription["Endpoint"] == {"Ref": f"{kind}Endpoint"}
        # A webhook's address is its key.
        assert templates["monitoring"]["Parameters"][f"{kind}Endpoint"]["NoEcho"] is True
