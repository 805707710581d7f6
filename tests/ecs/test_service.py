"""The service as it runs: tasks with their target's health, waiting, smoke check."""

import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.ecs import service
from runbook.ecs.smoke import smoke_check
from runbook.endpoint import Endpoint
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, EndpointClosed, ServiceFailed, StackFailed


class FakeEcs:
    """Answers as ECS, its paginator and ELBv2 would; edit `state` to change the world."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {
            "desiredCount": 2,
            "runningCount": 2,
            "pendingCount": 0,
            "deployments": [{"status": "PRIMARY", "rolloutState": "COMPLETED"}],
            "events": [{"message": "steady"}],
        }
        self.health = {8001: "healthy", 8002: "healthy"}
        self.bindings: dict[str, Any] = {}

    def describe_services(self, **_: Any) -> Any:
        return {"services": [self.state]}

    def get_paginator(self, name: str) -> Any:
        return self

    def paginate(self, **_: Any) -> Any:
        return [{"taskArns": ["arn:task/a"]}, {"taskArns": ["arn:task/b", "arn:task/c"]}]

    def describe_tasks(self, **_: Any) -> Any:
        return {
            "tasks": [
                self._task("a", "RUNNING", 8001),
                self._task("b", "RUNNING", 8002),
                self._task("c", "STOPPED", 8003),
            ]
        }

    def _task(self, name: str, status: str, port: int) -> dict[str, Any]:
        binding = {"bindIP": "127.0.0.1", "hostPort": port}
        containers = self.bindings.get(name, [{"networkBindings": [binding]}])
        return {"taskArn": f"arn:task/{name}", "lastStatus": status, "containers": containers}

    def describe_target_health(self, **_: Any) -> Any:
        return {
            "TargetHealthDescriptions": [
                {"Target": {"Id": "127.0.0.1", "Port": port}, "TargetHealth": {"State": state}}
                for port, state in self.health.items()
            ]
            + [{"Target": {"Id": "10.0.0.9", "Port": 8000}, "TargetHealth": {"State": "draining"}}]
        }


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment("local", "shop", "eu-west-1", "000000000000", 10, tmp_path, tmp_path)


@pytest.fixture
def ecs(monkeypatch: pytest.MonkeyPatch) -> FakeEcs:
    fake = FakeEcs()
    names = {"ServiceName": "web", "ClusterName": "main", "TargetGroupArn": "tg"}
    monkeypatch.setattr(service, "client", lambda environment, name: fake)
    monkeypatch.setattr(service, "outputs", lambda environment, layer: names)
    return fake


def test_tasks_carry_the_health_of_their_targets(environment: Environment, ecs: FakeEcs) -> None:
    ecs.health[8002] = "initial"
    found = service.describe(environment)
    assert [(task.task_id, task.port, task.health) for task in found.tasks] == [
        ("a", 8001, "healthy"),
        ("b", 8002, "initial"),
    ]
    assert found.healthy == 1
    assert not found.stable


def test_a_task_with_an_address_of_its_own_is_known_by_it(
    environment: Environment, ecs: FakeEcs
) -> None:
    ecs.bindings["a"] = [{"networkInterfaces": [{"privateIpv4Address": "10.0.0.9"}]}]
    found = service.describe(environment)
    assert (found.tasks[0].address, found.tasks[0].health) == ("10.0.0.9", "draining")


@pytest.mark.parametrize(
    "change",
    [
        {"runningCount": 1},
        {"desiredCount": 3},
        {"deployments": [{"status": "PRIMARY", "rolloutState": "IN_PROGRESS"}]},
        {"deployments": [{"status": "PRIMARY"}, {"status": "ACTIVE"}]},
    ],
)
def test_what_is_not_stable(environment: Environment, ecs: FakeEcs, change: Any) -> None:
    assert service.describe(environment).stable
    ecs.state.update(change)
    assert not service.describe(environment).stable


def test_waiting_ends_when_stable(environment: Environment, ecs: FakeEcs) -> None:
    ecs.state["runningCount"] = 1

    def sleep(seconds: float) -> None:
        ecs.state["runningCount"] = 2

    assert service.wait_stable(environment, sleep=sleep).running == 2


def test_waiting_ends_with_the_reason_of_a_failed_deployment(
    environment: Environment, ecs: FakeEcs
) -> None:
    ecs.state["deployments"] = [
        {"status": "PRIMARY", "rolloutState": "IN_PROGRESS"},
        {"status": "ACTIVE", "rolloutState": "FAILED", "rolloutStateReason": "circuit breaker"},
    ]
    with pytest.raises(ServiceFailed, match="The deployment of web failed: circuit breaker"):
        service.wait_stable(environment, sleep=lambda seconds: None)


@pytest.mark.parametrize(("health", "error"), [("healthy", StackFailed), ("x", ServiceFailed)])
def test_waiting_has_an_end(
    environment: Environment, ecs: FakeEcs, health: str, error: type[Exception]
) -> None:
    ecs.state["runningCount"] = 0
    ecs.health = {8001: health, 8002: "x"}
    clock = itertools.count()
    with pytest.raises(error, match=r"0 of 2 tasks run and [01] are healthy; steady"):
        service.wait_stable(
            environment, timeout_s=5, now=lambda: float(next(clock)), sleep=lambda seconds: None
        )


def test_waiting_asks_again_when_it_was_throttled(
    environment: Environment, ecs: FakeEcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([client_error("Throttling"), client_error("ServerException"), None])
    asked = ecs.describe_services

    def describe_services(**wanted: Any) -> Any:
        if error := next(answers):
            raise error
        return asked(**wanted)

    monkeypatch.setattr(ecs, "describe_services", describe_services)
    assert service.wait_stable(environment, sleep=lambda seconds: None).stable
    answers = iter([client_error("ExpiredToken")])
    with pytest.raises(AwsCallFailed, match="ExpiredToken"):
        service.wait_stable(environment, sleep=lambda seconds: None)


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeServices")


@pytest.fixture
def server() -> Iterator[str]:
    answers = iter([(503, "busy"), (200, "not json"), (200, json.dumps({"count": 1}))])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = next(answers)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args: object) -> None:
            """Quiet."""

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


def test_the_smoke_check_wants_200_and_json(server: str) -> None:
    answer = smoke_check(Endpoint(server), "/products", sleep=lambda seconds: None)
    assert (answer.status, answer.size_bytes) == (200, 12)


def test_the_smoke_check_gives_up_with_the_last_answer(unused_port: int) -> None:
    with pytest.raises(AwsCallFailed, match="cannot be reached"):
        ask(Endpoint(f"http://127.0.0.1:{unused_port}"))


def ask(where: Endpoint) -> None:
    smoke_check(where, "/", timeout_s=0, sleep=lambda seconds: None)


def test_who_is_not_let_in_knows_nothing_of_the_service(unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}"
    with pytest.raises(EndpointClosed, match=r"from here: .*it lets only 10"):
        ask(Endpoint(url, narrow="it lets only 10.0.0.0/8 in"))
    with pytest.raises(EndpointClosed, match="people log in"):
        ask(Endpoint(url, closed="people log in"))


EDGE = {"Server": "CloudFront", "x-refused-by": "edge"}
WEB_ACL = {"Server": "CloudFront"}
BALANCER = {"Server": "awselb/2.0"}
SERVICE = {"Server": "CloudFront", "X-Request-Id": "r-1"}


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (401, EDGE, EndpointClosed),
        (403, WEB_ACL, EndpointClosed),
        (401, WEB_ACL, ServiceFailed),
        (403, BALANCER, ServiceFailed),
        (403, SERVICE, ServiceFailed),
        (401, SERVICE, ServiceFailed),
        (500, WEB_ACL, ServiceFailed),
    ],
)
def test_the_edge_may_refuse_but_the_service_and_its_balancer_may_not(
    refusing: Callable[..., str], status: int, headers: dict[str, str], error: type[Exception]
) -> None:
    url = refusing(status, headers)
    with pytest.raises(error, match=str(status)) as caught:
        ask(Endpoint(url, narrow="the web ACL", headers={"x-api-key": "secret"}))
    assert "secret" not in str(caught.value)


def test_a_credential_is_sent_and_does_not_follow_a_redirect(
    refusing: Callable[..., str], seen: list[str]
) -> None:
    with pytest.raises(ServiceFailed, match="404"):
        ask(Endpoint(refusing(302), headers={"x-api-key": "secret"}))
    assert seen == ["/ secret", "/elsewhere -"]


@pytest.fixture
def seen() -> list[str]:
    """The requests to `refusing`: path and key."""
    return []


@pytest.fixture
def refusing(seen: list[str]) -> Iterator[Callable[..., str]]:
    """Starts a server that answers with one status and those headers, and redirects to nowhere.

    Gives its address.
    """
    with contextlib.ExitStack() as stack:

        def start(status: int, headers: Mapping[str, str] = MappingProxyType({})) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    seen.append(f"{self.path} {self.headers.get('x-api-key', '-')}")
                    self.send_response_only(status if self.path == "/" else 404)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Location", "/elsewhere")
                    self.end_headers()

                def log_message(self, *args: object) -> None:
                    """Quiet."""

            http = stack.enter_context(HTTPServer(("127.0.0.1", 0), Handler))
            thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(http.shutdown)
            return f"http://127.0.0.1:{http.server_port}"

        yield start


@pytest.fixture
def unused_port() -> int:
    http = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    port = http.server_port
    http.server_close()
    return port
