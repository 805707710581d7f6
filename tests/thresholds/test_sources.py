"""What bounds the task count is read where it can be, a given value comes first, all is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook import aws
from runbook.environment import Environment
from runbook.errors import StackNotFound
from runbook.thresholds import Constraints
from runbook.thresholds.sources import READABLE, read_constraints, with_sources

CREATED = datetime(2026, 11, 27, 6, tzinfo=UTC)
OUTPUTS = {"cluster": {"ClusterName": "c"}, "service": {"ServiceName": "web"}}


class Cloud:
    """Just enough of ECS, EC2 and Service Quotas; `refused` operations are not permitted."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused

    def __getattr__(self, name: str) -> Any:
        if name in self.refused:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not permitted"}}, name)
        return getattr(self, f"_{name}")

    def _describe_services(self, **_: Any) -> Any:
        network = {"awsvpcConfiguration": {"subnets": ["a", "b"]}}
        service = {
            "serviceName": "web",
            "clusterArn": "c",
            "taskDefinition": "web:7",
            "runningCount": 2,
            "networkConfiguration": network,
        }
        return {"services": [service]}

    def _describe_task_definition(self, **_: Any) -> Any:
        pool = {"name": "STORE_POOL_SIZE", "value": "4"}
        container = {"environment": [{"name": "OTHER", "value": "9"}, pool]}
        return {
            "taskDefinition": {
                "family": "web",
                "revision": 7,
                "memory": "1024",
                "containerDefinitions": [container],
            }
        }

    def _list_tasks(self, **_: Any) -> Any:
        return {"taskArns": ["1", "2"]}

    def _describe_tasks(self, **_: Any) -> Any:
        started = [
            {"createdAt": CREATED, "startedAt": CREATED + timedelta(seconds=s)} for s in (9, 31)
        ]
        return {"tasks": [*started, {"createdAt": CREATED}]}

    def _describe_subnets(self, **_: Any) -> Any:
        return {"Subnets": [{"AvailableIpAddressCount": 100}, {"AvailableIpAddressCount": 48}]}

    def _get_paginator(self, name: str) -> Any:
        assert name == "list_service_quotas"
        return self

    def _paginate(self, **_: Any) -> Any:
        name = "Fargate On-Demand vCPU resource count"
        return [
            {"Quotas": [{"QuotaName": "Spot", "Value": 9.0}, {"QuotaName": name, "Value": 6.0}]}
        ]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment("dev", "shop", "eu-west-1", "", 60, tmp_path, tmp_path)


def _use(monkeypatch: pytest.MonkeyPatch, cloud: Cloud) -> None:
    monkeypatch.setattr(aws, "client", lambda environment, service: cloud)
    monkeypatch.setattr(aws, "outputs", lambda environment, layer: OUTPUTS[layer])


def test_everything_that_can_be_read_is_with_its_source(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    _use(monkeypatch, Cloud())
    read = read_constraints(environment)
    assert read.values == {
        "memory_per_task_mib": 1024,
        "connections_per_task": 4,
        "startup_s": 31.0,
        "subnet_addresses": 150,
        "vcpu_quota": 6.0,
    }
    assert any("STORE_POOL_SIZE in task definition web:7" in line for line in read.told)
    assert any("the slowest of 2 running task(s)" in line for line in read.told)
    assert len(read.told) == 5


def test_a_given_value_comes_first(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    _use(monkeypatch, Cloud())
    found, told = with_sources(Constraints(min_tasks=2, vcpu_quota=20.0), environment)
    assert (found.min_tasks, found.vcpu_quota, found.connections_per_task) == (2, 20.0, 4)
    assert "vcpu_quota" not in found.read
    assert told[0] == "vcpu_quota 20: given"
    assert not any("whatever else the account runs" in line for line in told)


def test_what_cannot_be_read_is_said_and_no_error(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    _use(monkeypatch, Cloud("describe_subnets", "get_paginator", "list_tasks"))
    found, told = with_sources(Constraints(), environment)
    assert found.subnet_addresses is found.vcpu_quota is found.startup_s is None
    assert found.memory_per_task_mib == 1024
    for name in ("subnet_addresses", "vcpu_quota", "startup_s"):
        assert any(line.startswith(f"{name} cannot be read") for line in told)


def test_without_a_deployed_service_nothing_is_read(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    def missing(environment: Environment, layer: str) -> dict[str, str]:
        raise StackNotFound("no stack", "never deployed", "deploy it")

    _use(monkeypatch, Cloud())
    monkeypatch.setattr(aws, "outputs", missing)
    found, told = with_sources(Constraints(startup_s=40.0), environment)
    assert (found.startup_s, told[0]) == (40.0, "startup_s 40: given")
    unread = {line.split(" ")[0] for line in told if "cannot be read" in line}
    assert unread == {"memory_per_task_mib", "connections_per_task", "subnet_addresses"}
    assert all("never deployed" in line for line in told if "cannot be read" in line)
    # The quota is the account's, whatever is deployed.
    assert found.vcpu_quota == 6.0


@pytest.mark.parametrize("refused", ["describe_services", "describe_task_definition"])
def test_every_constraint_is_told_whatever_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, environment: Environment, refused: str
) -> None:
    _use(monkeypatch, Cloud(refused))
    read = read_constraints(environment)
    assert sorted(line.split(" ")[0] for line in read.told) == sorted(READABLE)
    unread = {line.split(" ")[0] for line in read.told if "cannot be read" in line}
    assert unread == set(READABLE) - read.values.keys()
    assert {"memory_per_task_mib", "connections_per_task"} <= unread


def test_a_task_definition_that_says_neither_is_told(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    cloud = Cloud()
    bare = {"family": "web", "revision": 8, "containerDefinitions": [{}]}
    monkeypatch.setattr(
        cloud, "_describe_task_definition", lambda **_: {"taskDefinition": bare}, raising=False
    )
    _use(monkeypatch, cloud)
    told = read_constraints(environment).told
    assert any(
        line.startswith("memory_per_task_mib cannot") and "web:8 has no memory" in line
        for line in told
    )
    assert any(line.endswith("task definition web:8 has no STORE_POOL_SIZE") for line in told)
