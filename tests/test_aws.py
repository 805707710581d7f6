"""Clients and outputs: the error a person meets when something is not there."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from runbook import aws
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, LocalRegionNotRunning, StackNotFound


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment("blue", "shop", "eu-west-1", "", 60, tmp_path, tmp_path)


class FakeCloudFormation:
    """Answers DescribeStacks from a list, or raises."""

    def __init__(self, answer: list[dict[str, Any]] | Exception) -> None:
        self.answer = answer

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - AWS's name
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"Stacks": self.answer}


def use(monkeypatch: pytest.MonkeyPatch, fake: object) -> None:
    monkeypatch.setattr(aws, "client", lambda environment, service, region_name="": fake)


def client_error(message: str) -> ClientError:
    return ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")


def test_outputs_are_a_mapping(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"Outputs": [{"OutputKey": "VpcId", "OutputValue": "vpc-1"}]}
    use(monkeypatch, FakeCloudFormation([found]))
    assert aws.outputs(environment, "network") == {"VpcId": "vpc-1"}


def test_a_stack_without_outputs_gives_none(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FakeCloudFormation([{}]))
    assert aws.outputs(environment, "network") == {}


def test_a_missing_stack_names_the_command_that_makes_it(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FakeCloudFormation(client_error("Stack with id x does not exist")))
    with pytest.raises(StackNotFound, match=r"shop-blue-network .*runbook run 10_deploy"):
        aws.outputs(environment, "network")


@pytest.mark.parametrize("error", [client_error("denied"), NoCredentialsError()])
def test_other_refusals_are_not_mistaken_for_a_missing_stack(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    use(monkeypatch, FakeCloudFormation(error))
    with pytest.raises(AwsCallFailed, match="cannot be described"):
        aws.outputs(environment, "network")


def test_local_without_a_region_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("RUNBOOK_LOCAL_REGION_DIR", str(tmp_path))
    local = Environment("local", "shop", "eu-west-1", "", 10, tmp_path, tmp_path)
    with pytest.raises(LocalRegionNotRunning, match="runbook local up"):
        aws.client(local, "ecs")
