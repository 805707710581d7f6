import json
from dataclasses import replace

import pytest

from local_region.autoscaling.records import Activity, TargetKey
from local_region.errors import AwsError
from local_region.seams import cloudwatch

SCOPE = ("000000000000", "eu-west-1")
KEY = TargetKey(SCOPE, "service/shop/api")
TRACK_CPU = {
    "PolicyName": "cpu",
    "PolicyType": "TargetTrackingScaling",
    "TargetTrackingScalingPolicyConfiguration": {
        "TargetValue": 60.0,
        "PredefinedMetricSpecification": {
            "PredefinedMetricType": "ECSServiceAverageCPUUtilization"
        },
    },
}
STEP = {
    "PolicyName": "p95",
    "PolicyType": "StepScaling",
    "StepScalingPolicyConfiguration": {
        "AdjustmentType": "ChangeInCapacity",
        "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
    },
}


def refused(call, code):
    with pytest.raises(AwsError) as caught:
        call()
    assert caught.value.code == code
    return caught.value.message


def test_a_target_is_described_as_registered(registered):
    [target] = registered.call("DescribeScalableTargets")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 4)
    assert target["ResourceId"] == "service/shop/api"
    assert target["CreationTime"] == 1000.0
    assert not any(target["SuspendedState"].values())


def test_registering_again_changes_what_is_given(registered):
    arn = registered.call("RegisterScalableTarget", MaxCapacity=8)["ScalableTargetARN"]
    registered.call("RegisterScalableTarget", SuspendedState={"DynamicScalingInSuspended": True})
    [target] = registered.call("DescribeScalableTargets")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 8)
    assert target["ScalableTargetARN"] == arn
    assert target["SuspendedState"]["DynamicScalingInSuspended"] is True
    assert registered.registry.take_changed_bounds() == {KEY}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"MinCapacity": 1}, "MinCapacity and MaxCapacity are required"),
        ({"MinCapacity": 3, "MaxCapacity": 2}, "not greater than maximum"),
        ({"MinCapacity": -1, "MaxCapacity": 2}, "at least 0"),
        ({"MinCapacity": 1, "MaxCapacity": 2, "ResourceId": "service/shop/other"},
         "ECS service doesn't exist: service/shop/other"),
        ({"MinCapacity": 1, "MaxCapacity": 2, "ResourceId": "table/x"}, "service/<cluster>"),
        ({"MinCapacity": 1, "MaxCapacity": 2, "ServiceNamespace": "dynamodb"}, "Unsupported"),
        ({"MinCapacity": 1, "MaxCapacity": 2, "ScalableDimension": ""}, "scalableDimension"),
    ],
)  # fmt: skip
def test_what_cannot_be_registered(api, request_, message):
    said = refused(lambda: api.call("RegisterScalableTarget", **request_), "ValidationException")
    assert message in said


def test_a_tracking_policy_brings_two_alarms_that_are_not_to_be_edited(registered):
    answer = registered.call("PutScalingPolicy", **TRACK_CPU)
    assert ":scalingPolicy:" in answer["PolicyARN"]
    assert answer["PolicyARN"].endswith("resource/ecs/service/shop/api:policyName/cpu")
    alarms = cloudwatch.alarms()
    assert {a["AlarmName"] for a in answer["Alarms"]} == set(alarms)
    high, low = (alarms[a["AlarmName"]] for a in answer["Alarms"])
    assert high["AlarmName"].startswith("TargetTracking-service/shop/api-AlarmHigh-")
    assert (high["Threshold"], high["EvaluationPeriods"]) == (60.0, 3)
    assert (low["Threshold"], low["EvaluationPeriods"]) == (54.0, 6)
    for alarm in (high, low):
        assert alarm["AlarmDescription"].startswith("DO NOT EDIT OR DELETE")
        assert alarm["AlarmActions"] == [answer["PolicyARN"]]
        assert alarm["Period"] == 10


def test_a_changed_policy_keeps_its_arn_and_its_alarms_names(registered):
    before = registered.call("PutScalingPolicy", **TRACK_CPU)
    changed = json.loads(json.dumps(TRACK_CPU))
    changed["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] = 50.0
    assert registered.call("PutScalingPolicy", **changed) == before
    assert sorted(a["Threshold"] for a in cloudwatch.alarms().values()) == [45.0, 50.0]


def test_disabling_scale_in_takes_the_low_alarm_away(registered):
    registered.call("PutScalingPolicy", **TRACK_CPU)
    changed = json.loads(json.dumps(TRACK_CPU))
    changed["TargetTrackingScalingPolicyConfiguration"]["DisableScaleIn"] = True
    [alarm] = registered.call("PutScalingPolicy", **changed)["Alarms"]
    assert set(cloudwatch.alarms()) == {alarm["AlarmName"]}


def test_a_step_policy_lists_the_alarms_that_name_it(registered):
    arn = registered.call("PutScalingPolicy", **STEP)["PolicyARN"]
    [policy] = registered.call("DescribeScalingPolicies")["ScalingPolicies"]
    assert policy["Alarms"] == []
    cloudwatch.put_alarm(
        {"AlarmName": "slow", "AlarmArn": "arn:slow", "AlarmActions": [arn], "OKActions": [],
         "InsufficientDataActions": []}
    )  # fmt: skip
    [policy] = registered.call("DescribeScalingPolicies")["ScalingPolicies"]
    assert policy["Alarms"] == [{"AlarmName": "slow", "AlarmARN": "arn:slow"}]
    assert policy["StepScalingPolicyConfiguration"] == STEP["StepScalingPolicyConfiguration"]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"PolicyName": ""}, "policyName"),
        ({**STEP, "PolicyType": "PredictiveScaling"}, "not emulated"),
        ({**STEP, "StepScalingPolicyConfiguration": {}}, "is required"),
        ({**STEP, "StepScalingPolicyConfiguration": {"StepAdjustments": []}}, "invalid"),
        ({**TRACK_CPU, "TargetTrackingScalingPolicyConfiguration": {"TargetValue": -1}}, "invalid"),
        ({**TRACK_CPU, "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 1}},
         "Exactly one of PredefinedMetricSpecification"),
    ],
)  # fmt: skip
def test_what_is_no_policy(registered, policy, message):
    said = refused(lambda: registered.call("PutScalingPolicy", **policy), "ValidationException")
    assert message in said
    assert registered.registry.policies() == []
    assert cloudwatch.alarms() == {}


def test_a_policy_does_not_change_its_type(registered):
    registered.call("PutScalingPolicy", **STEP)
    other = {**TRACK_CPU, "PolicyName": "p95"}
    refused(lambda: registered.call("PutScalingPolicy", **other), "ValidationException")


def test_a_policy_needs_its_target(api):
    said = refused(lambda: api.call("PutScalingPolicy", **STEP), "ObjectNotFoundException")
    assert said.startswith("No scalable target registered for service namespace: ecs")


def test_deleting_a_policy_deletes_its_alarms(registered):
    registered.call("PutScalingPolicy", **TRACK_CPU)
    registered.call("DeleteScalingPolicy", PolicyName="cpu")
    assert cloudwatch.alarms() == {}
    said = refused(
        lambda: registered.call("DeleteScalingPolicy", PolicyName="cpu"), "ObjectNotFoundException"
    )
    assert said.endswith("policy name: cpu")


def test_deregistering_takes_policies_and_alarms_along(registered):
    registered.call("PutScalingPolicy", **TRACK_CPU)
    registered.call("DeregisterScalableTarget")
    assert registered.call("DescribeScalingPolicies")["ScalingPolicies"] == []
    assert cloudwatch.alarms() == {}
    refused(lambda: registered.call("DeregisterScalableTarget"), "ObjectNotFoundException")


def test_activities_come_newest_first_and_without_those_that_did_not_scale(registered):
    done = Activity(KEY, "Setting desired count to 2.", "because", 1.0, "Successful", end_s=2.0)
    left = replace(done, id="left", start_s=3.0, not_scaled=({"Code": "AlreadyAtMaxCapacity"},))
    for activity in (done, left, replace(done, id="new", start_s=5.0)):
        registered.registry.add_activity(activity)
    listed = registered.call("DescribeScalingActivities")["ScalingActivities"]
    assert [a["StartTime"] for a in listed] == [5.0, 1.0]
    every = registered.call("DescribeScalingActivities", IncludeNotScaledActivities=True)
    assert [a["StartTime"] for a in every["ScalingActivities"]] == [5.0, 3.0, 1.0]
    assert every["ScalingActivities"][1]["NotScaledReasons"] == [{"Code": "AlreadyAtMaxCapacity"}]


def test_long_lists_come_in_pages(registered):
    for number in range(5):
        registered.call("PutScalingPolicy", **{**STEP, "PolicyName": f"p{number}"})
    first = registered.call("DescribeScalingPolicies", MaxResults=3)
    rest = registered.call("DescribeScalingPolicies", MaxResults=3, NextToken=first["NextToken"])
    names = [p["PolicyName"] for p in first["ScalingPolicies"] + rest["ScalingPolicies"]]
    assert names == [f"p{n}" for n in range(5)]
    assert "NextToken" not in rest
    refused(
        lambda: registered.call("DescribeScalingPolicies", NextToken="x"),
        "InvalidNextTokenException",
    )


def test_another_resource_is_not_listed(registered):
    listed = registered.call("DescribeScalableTargets", ResourceId="", ResourceIds=["service/a/b"])
    assert listed["ScalableTargets"] == []


def test_tags(registered):
    [target] = registered.call("DescribeScalableTargets")["ScalableTargets"]
    arn = {"ResourceARN": target["ScalableTargetARN"]}
    registered.call("TagResource", **arn, Tags={"a": "1", "b": "2"})
    registered.call("UntagResource", **arn, TagKeys=["a"])
    assert registered.call("ListTagsForResource", **arn) == {"Tags": {"b": "2"}}
    refused(
        lambda: registered.call("ListTagsForResource", ResourceARN="arn:none"),
        "ResourceNotFoundException",
    )


@pytest.mark.parametrize("operation", ["PutScheduledAction", "Nonsense"])
def test_an_operation_that_is_not_there_says_so(registered, operation):
    refused(lambda: registered.call(operation), "UnknownOperationException")


def test_an_error_has_the_shape_sdks_read(api):
    status, headers, body = api.api.answer("PutScalingPolicy", b"{}")
    assert status == 400
    assert headers["x-amzn-errortype"] == "ValidationException"
    assert json.loads(body)["__type"] == "ValidationException"
