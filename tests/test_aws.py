"""Clients and outputs: the error a person meets when something is not there."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
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


@pytest.fixture
def busy_aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """An AWS that is throttled twice; gives the requests' bodies."""
    asked: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            busy = len(asked) < 3
            answer = (
                b"<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>"
                if busy
                else b"<CreateChangeSetResponse><CreateChangeSetResult><Id>arn:1</Id>"
                b"</CreateChangeSetResult></CreateChangeSetResponse>"
            )
            self.send_response(400 if busy else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{http.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    # Backing off takes seconds, and is boto's own matter.
    monkeypatch.setattr("botocore.retries.standard.time.sleep", lambda seconds: None)
    aws._client.cache_clear()
    yield asked
    aws.client(BUSY, "cloudformation").close()
    aws._client.cache_clear()
    http.shutdown()
    thread.join()
    http.server_close()


BUSY = Environment("blue", "shop", "eu-west-1", "", 60, Path(), Path())


def test_a_throttled_call_is_repeated_as_the_same_request(busy_aws: list[bytes]) -> None:
    answer = aws.client(BUSY, "cloudformation").create_change_set(
        StackName="s", ChangeSetName="c", ClientToken="token", TemplateBody="{}"
    )
    assert answer["Id"] == "arn:1"
    assert len(busy_aws) == 3
    assert all(b"ClientToken=token" in body for body in busy_aws)
    assert aws.client(BUSY, "ecs").meta.config.retries["total_max_attempts"] == 9
