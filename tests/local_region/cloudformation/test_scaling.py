import pytest

from local_region.cloudformation.scaling import scalable_target, scaling_policy

TARGET_ID = "service/shop/api|ecs:service:DesiredCount|ecs"
KEY = {
    "ResourceId": "service/shop/api",
    "ScalableDimension": "ecs:service:DesiredCount",
    "ServiceNamespace": "ecs",
}
ARN = ("arn:aws:autoscaling:eu-west-1:000000000000:scalingPolicy:1:resource/ecs/service/shop/api"
       ":policyName/cpu")  # fmt: skip
POLICY = {
    "PolicyName": "cpu",
    "PolicyType": "TargetTrackingScaling",
    "ScalingTargetId": TARGET_ID,
    "TargetTrackingScalingPolicyConfiguration": {
        "TargetValue": "70",
        "ScaleOutCooldown": "20",
        "PredefinedMetricSpecification": {
            "PredefinedMetricType": "ECSServiceAverageCPUUtilization"
        },
    },
}


@pytest.fixture
def client(context):
    made = context.client("application-autoscaling", "eu-west-1", "000000000000")
    made.answers = {"put_scaling_policy": {"PolicyARN": ARN}}
    return made


def test_a_targets_ref_names_it_for_policies(context, client):
    resource = scalable_target(context)
    properties = {**KEY, "MinCapacity": "1", "MaxCapacity": "4"}
    assert resource.create("T", properties, "s") == (TARGET_ID, {"Id": TARGET_ID})
    assert client.asked == [
        ("register_scalable_target", {**KEY, "MinCapacity": 1, "MaxCapacity": 4})
    ]
    resource.delete(TARGET_ID, properties)
    assert client.asked[-1] == ("deregister_scalable_target", KEY)


def test_scheduled_actions_are_not_dropped_silently(context):
    with pytest.raises(ValueError, match="ScheduledActions are not emulated"):
        scalable_target(context).create("T", {**KEY, "ScheduledActions": [{}]}, "s")


def test_a_policy_is_put_with_numbers(context, client):
    physical_id, attributes = scaling_policy(context).create("P", POLICY, "s")
    assert (physical_id, attributes["Arn"]) == (ARN, ARN)
    [request] = client.asked_for("put_scaling_policy")
    assert {name: request[name] for name in KEY} == KEY
    configuration = request["TargetTrackingScalingPolicyConfiguration"]
    assert (configuration["TargetValue"], configuration["ScaleOutCooldown"]) == (70.0, 20)


def test_a_policy_is_deleted_by_what_its_arn_says(context, client):
    scaling_policy(context).delete(ARN, POLICY)
    assert client.asked_for("delete_scaling_policy") == [{**KEY, "PolicyName": "cpu"}]


def test_a_policy_that_is_gone_deletes_fine(context, client):
    client.refuse("delete_scaling_policy", "ObjectNotFoundException")
    scaling_policy(context).delete(ARN, POLICY)


def test_a_target_id_that_is_none_is_told(context, client):
    with pytest.raises(ValueError, match=r"is not resource\|dimension\|namespace"):
        scaling_policy(context).create("P", {**POLICY, "ScalingTargetId": "x"}, "s")
