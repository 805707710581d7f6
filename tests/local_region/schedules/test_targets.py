import boto3
import pytest
from botocore.stub import Stubber

from local_region.schedules.targets import Invocation, TargetFailed, invoke, request_of

CLUSTER = "arn:aws:ecs:eu-west-1:000000000000:cluster/shop"
DEFINITION = "arn:aws:ecs:eu-west-1:000000000000:task-definition/runbook"


@pytest.fixture
def ecs():
    return boto3.client(
        "ecs", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
    )


def invocation(text: str = "", **parameters: object) -> Invocation:
    target = {
        "Arn": CLUSTER,
        "Input": text,
        "EcsParameters": {"TaskDefinitionArn": DEFINITION, **parameters},
    }
    schedule = {"Arn": "arn:schedule", "Name": "nightly", "GroupName": "g", "Target": target}
    return Invocation("000000000000", "eu-west-1", schedule, 1000.0, "id-1", 2)


def test_parameters_and_input_become_a_run_task_request(ecs):
    made = request_of(
        invocation(
            '{"containerOverrides":[{"name":"runbook","command":["at","<aws.scheduler.scheduled-time>",'
            '"<aws.scheduler.attempt-number>"]}]}',
            TaskCount=1,
            LaunchType="FARGATE",
            NetworkConfiguration={"awsvpcConfiguration": {"Subnets": ["s-1"]}},
            Tags=[{"key": "a", "value": "b"}],
        ),
        ecs,
    )
    assert made == {
        "cluster": CLUSTER,
        "taskDefinition": DEFINITION,
        "count": 1,
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s-1"]}},
        "tags": [{"key": "a", "value": "b"}],
        "startedBy": "chronos-schedule/nightly",
        "overrides": {
            "containerOverrides": [
                {"name": "runbook", "command": ["at", "1970-01-01T00:16:40Z", "2"]}
            ]
        },
    }


@pytest.mark.parametrize("text", ["not json", '{"containerOverride": []}'])
def test_an_input_that_is_no_override_fails_for_good(ecs, text):
    with pytest.raises(TargetFailed) as failure:
        request_of(invocation(text), ecs)
    assert (failure.value.code, failure.value.retryable) == ("InvalidParameterException", False)


@pytest.mark.parametrize(
    ("code", "status", "retryable"),
    [
        ("ClusterNotFoundException", 400, False),
        ("ThrottlingException", 400, True),
        ("ServerException", 500, True),
    ],
)
def test_a_refusal_is_retried_only_when_it_may_pass(ecs, code, status, retryable):
    with Stubber(ecs) as stub:
        stub.add_client_error("run_task", code, "no", http_status_code=status)
        with pytest.raises(TargetFailed) as failure:
            invoke(invocation(), lambda service, region, account: ecs)
    assert (failure.value.code, failure.value.retryable) == (code, retryable)


def test_a_target_the_region_cannot_invoke_says_so(ecs):
    unknown = invocation()
    unknown.schedule["Target"]["Arn"] = "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"
    with pytest.raises(TargetFailed, match="does not invoke"):
        invoke(unknown, lambda service, region, account: ecs)
