"""Holding a task count and giving the service back as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook import aws
from runbook.capacity import hold
from runbook.ecs import service as ecs_service
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, InputInvalid
from runbook.metrics.service import ServiceIdentity

IDENTITY = ServiceIdentity("shop", "web", "service/shop/web", "app/b/1", "tg", "arn:t", "http://x")
RUNNING = dict.fromkeys(
    ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"), False
)


class FakeAws:
    """ECS and Application Auto Scaling at once: one service, one scalable target."""

    def __init__(self) -> None:
        self.desired = 2
        self.suspended: dict[str, bool] = {}
        self.calls: list[tuple[str, Any]] = []
        self.refuse: str | None = None
        self.targets = True

    def _do(self, name: str, value: Any) -> None:
        if self.refuse == name:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, name)
        self.calls.append((name, value))

    def describe_scalable_targets(self, **_: Any) -> dict[str, Any]:
        target = {"SuspendedState": self.suspended, "MinCapacity": 1, "MaxCapacity": 4}
        return {"ScalableTargets": [target] if self.targets else []}

    def register_scalable_target(self, **request: Any) -> None:
        assert "MinCapacity" not in request
        self._do("suspend", request["SuspendedState"])
        self.suspended = request["SuspendedState"]

    def update_service(self, **request: Any) -> None:
        self._do("desired", request["desiredCount"])
        self.desired = request["desiredCount"]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeAws:
    fake = FakeAws()
    monkeypatch.setenv("RUNBOOK_LOCAL_REGION_DIR", str(tmp_path / "region"))
    monkeypatch.setattr(aws, "client", lambda environment, service: fake)

    def describe(environment: Environment) -> ecs_service.Service:
        return ecs_service.Service("web", "shop", fake.desired, fake.desired, 0, (), (), "")

    monkeypatch.setattr(hold, "describe", describe)
    monkeypatch.setattr(hold, "wait_stable", lambda environment, **_: describe(environment))
    return fake


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setenv("RUNBOOK_LOCAL_REGION_DIR", str(tmp_path / "region"))
    return Environment("local", "shop", "eu-west-1", "", 10, tmp_path, tmp_path)


def test_scaling_is_suspended_inside_and_everything_restored_after(
    fake: FakeAws, environment: Environment
) -> None:
    with hold.scaling_suspended(environment, IDENTITY) as held:
        assert all(fake.suspended.values())
        held.set_tasks(3, timeout_s=1)
        assert fake.desired == 3
    assert fake.desired == 2
    assert fake.suspended == RUNNING
    assert not hold.record_path(environment).exists()


def test_an_error_inside_restores_too(fake: FakeAws, environment: Environment) -> None:
    def measure() -> None:
        with hold.scaling_suspended(environment, IDENTITY) as held:
            held.set_tasks(3, timeout_s=1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        measure()
    assert (fake.desired, fake.suspended) == (2, RUNNING)


def test_after_a_kill_the_next_run_restores_what_the_first_found(
    fake: FakeAws, environment: Environment
) -> None:
    with hold.scaling_suspended(environment, IDENTITY) as held:
        held.set_tasks(3, timeout_s=1)
        record = hold.record_path(environment).read_text()
        left = dict(fake.suspended)
    # What a killed run leaves: its record, its task count, scaling suspended.
    fake.desired, fake.suspended = 3, left
    hold.record_path(environment).write_text(record)
    with hold.scaling_suspended(environment, IDENTITY):
        pass
    assert (fake.desired, fake.suspended) == (2, RUNNING)


def test_what_a_killed_run_left_is_seen_and_given_back(
    fake: FakeAws, environment: Environment
) -> None:
    assert hold.suspended(environment, IDENTITY) == ()
    with hold.scaling_suspended(environment, IDENTITY) as held:
        held.set_tasks(3, timeout_s=1)
        record = hold.record_path(environment).read_text()
        assert set(hold.suspended(environment, IDENTITY)) == set(RUNNING)
    assert hold.left_by_killed_run(environment, IDENTITY) is None
    fake.desired, fake.suspended = 3, dict.fromkeys(RUNNING, True)
    hold.record_path(environment).write_text(record)
    assert hold.left_by_killed_run(environment, IDENTITY) == hold.Found(
        IDENTITY.resource_id, 2, RUNNING
    )
    hold.give_back(environment, IDENTITY)
    assert (fake.desired, fake.suspended) == (2, RUNNING)
    assert hold.left_by_killed_run(environment, IDENTITY) is None
    # Without a record, as after a kill on another machine, the count stays: scaling sets it.
    fake.desired, fake.suspended = 3, dict.fromkeys(RUNNING, True)
    hold.give_back(environment, IDENTITY)
    assert (fake.desired, fake.suspended) == (3, RUNNING)


def test_nobody_else_writes_while_it_is_held(fake: FakeAws, environment: Environment) -> None:
    with hold.scaling_suspended(environment, IDENTITY):
        code = (
            "from pathlib import Path\n"
            "from runbook.environment import Environment\n"
            "from runbook.stacks.lock import held\n"
            f"here = Path({str(environment.project)!r})\n"
            "with held(Environment('local', 'shop', 'eu-west-1', '', 10, here, here)): pass\n"
        )
        other = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
    assert other.returncode == 1
    assert "EnvironmentLocked: local is locked" in other.stderr


def test_scaling_that_an_operator_had_suspended_stays_suspended(
    fake: FakeAws, environment: Environment
) -> None:
    fake.suspended = {**RUNNING, "ScheduledScalingSuspended": True}
    with hold.scaling_suspended(environment, IDENTITY):
        pass
    assert fake.suspended == {**RUNNING, "ScheduledScalingSuspended": True}


def test_scaling_resumes_even_when_the_count_cannot_be_restored(
    fake: FakeAws, environment: Environment
) -> None:
    with (
        pytest.raises(AwsCallFailed, match="cannot be set to 2 tasks"),
        hold.scaling_suspended(environment, IDENTITY),
    ):
        fake.refuse = "desired"
    assert fake.suspended == RUNNING
    assert hold.record_path(environment).exists()


def test_a_record_of_another_service_is_not_used(fake: FakeAws, environment: Environment) -> None:
    path = hold.record_path(environment)
    path.parent.mkdir(parents=True)
    other = {"resource_id": "service/other/x", "desired": 9, "suspended": RUNNING}
    path.write_text(json.dumps(other))
    with hold.scaling_suspended(environment, IDENTITY):
        pass
    assert fake.desired == 2


def test_what_cannot_be_held_is_an_error_with_advice(
    fake: FakeAws, environment: Environment
) -> None:
    fake.targets = False
    with (
        pytest.raises(InputInvalid, match="is no scalable target"),
        hold.scaling_suspended(environment, IDENTITY),
    ):
        pass
    fake.targets, fake.refuse = True, "suspend"
    with (
        pytest.raises(AwsCallFailed, match="cannot be suspended"),
        hold.scaling_suspended(environment, IDENTITY),
    ):
        pass
    hold.record_path(environment).write_text("{")
    with (
        pytest.raises(InputInvalid, match="cannot be read"),
        hold.scaling_suspended(environment, IDENTITY),
    ):
        pass
