"""From a metric to a desired count, through the endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture
def region(shared_region):
    return shared_region


@pytest.fixture
def service(region: Any) -> Iterator[str]:
    """A service whose image does not exist: scaling only moves its desired count."""
    ecs = region.client("ecs")
    ecs.create_cluster(clusterName="scaled")
    container = {"name": "app", "image": "nowhere/none:1", "command": ["true"]}
    task = ecs.register_task_definition(
        family="none", containerDefinitions=[container], cpu="256", memory="512"
    )["taskDefinition"]["taskDefinitionArn"]
    ecs.create_service(cluster="scaled", serviceName="api", taskDefinition=task, desiredCount=1)
    yield "service/scaled/api"
    ecs.delete_service(cluster="scaled", service="api", force=True)


def test_an_alarm_scales_a_service_and_everyone_can_see_why(region, service):
    key = {"ServiceNamespace": "ecs", "ResourceId": service,
           "ScalableDimension": "ecs:service:DesiredCount"}  # fmt: skip
    scaling, cloudwatch = region.client("application-autoscaling"), region.client("cloudwatch")
    topic = region.client("sns").create_topic(Name="page")["TopicArn"]
    resources = {
        "Target": {"Type": "AWS::ApplicationAutoScaling::ScalableTarget",
                   "Properties": {**key, "MinCapacity": "1", "MaxCapacity": "5"}},
        "Policy": {"Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
                   "Properties": {
                       "PolicyName": "exact", "PolicyType": "StepScaling",
                       "ScalingTargetId": {"Ref": "Target"},
                       "StepScalingPolicyConfiguration": {
                           "AdjustmentType": "ExactCapacity", "Cooldown": "1",
                           "StepAdjustments": [{"MetricIntervalLowerBound": "0",
                                                "ScalingAdjustment": "3"}]}}},
        "Alarm": {"Type": "AWS::CloudWatch::Alarm",
                  "Properties": {
                      "Metrics": [
                          {"Id": "twice", "Expression": "load * 2"},
                          {"Id": "load", "ReturnData": False, "MetricStat": {
                              "Metric": {"Namespace": "Scaled", "MetricName": "Load"},
                              "Period": region.period_s, "Stat": "Maximum"}}],
                      "EvaluationPeriods": 2, "DatapointsToAlarm": 1, "Threshold": 100,
                      "ComparisonOperator": "GreaterThanThreshold",
                      "TreatMissingData": "notBreaching",
                      "AlarmActions": [{"Ref": "Policy"}, topic]}},
        "Page": {"Type": "AWS::CloudWatch::CompositeAlarm",
                 "Properties": {"AlarmRule": {"Fn::Sub": 'ALARM("${Alarm}")'}}},
    }  # fmt: skip
    stack = region.launch("scaling", resources, Alarm={"Ref": "Alarm"}, Page={"Ref": "Page"})
    assert stack["StackStatus"] == "CREATE_COMPLETE", region.failures("scaling")
    out = stack["outputs"]

    def activities() -> list[dict[str, Any]]:
        datum = {"MetricName": "Load", "Value": 90}
        cloudwatch.put_metric_data(Namespace="Scaled", MetricData=[datum])
        return list(scaling.describe_scaling_activities(**key)["ScalingActivities"])

    [activity] = region.wait_for(activities)
    assert activity["Description"] == "Setting desired count to 3."
    assert activity["Cause"] == (
        f"monitor alarm {out['Alarm']} in state ALARM triggered policy exact"
    )
    ecs = region.client("ecs")
    described = ecs.describe_services(cluster="scaled", services=["api"])["services"][0]
    assert described["desiredCount"] == 3

    alarms = cloudwatch.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    states = {a["AlarmName"]: a["StateValue"] for kind in ("MetricAlarms", "CompositeAlarms")
              for a in alarms[kind]}  # fmt: skip
    assert states[out["Alarm"]] == states[out["Page"]] == "ALARM"

    def kinds() -> list[tuple[str, str]]:
        history = cloudwatch.describe_alarm_history(AlarmName=out["Alarm"])["AlarmHistoryItems"]
        return [(h["HistoryItemType"], h["HistorySummary"][:24]) for h in history]

    # The alarm hears of the action a moment after the activity is there.
    region.wait_for(lambda: ("Action", "Successfully executed ac") in kinds())
    assert ("StateUpdate", "Alarm updated from OK to") in kinds() or (
        "StateUpdate", "Alarm updated from INSUF") in kinds()  # fmt: skip
    [policy] = scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
    assert [a["AlarmName"] for a in policy["Alarms"]] == [out["Alarm"]]

    region.remove("scaling")
    assert scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"] == []
    assert cloudwatch.describe_alarms(AlarmNames=[out["Alarm"]])["MetricAlarms"] == []
