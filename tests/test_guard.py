"""Refused before anything is touched: the wrong account, region or endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runbook import aws, guard, keys
from runbook.capacity import hold
from runbook.cli import keys as commands
from runbook.ecs import push
from runbook.ecs.push import Push
from runbook.environment import Environment
from runbook.errors import GuardRefused
from runbook.metrics.service import ServiceIdentity
from runbook.stacks import delivery, launch, lock, plan, remove
from runbook.stacks.review import Review
from runbook.verify import run as verification

OURS, THEIRS = "111122223333", "999988887777"
REVIEW = Review("dev", (), "d" * 64)
SERVICE = ServiceIdentity("shop", "web", "service/shop/web", "app/b/1", "tg", "arn:t", "http://x")
SENT = Push("shop:1", "shop", "host/shop", "src-1")


class Calls:
    """Every service of AWS at once: notes what it is asked, and knows one account."""

    def __init__(self) -> None:
        self.account = THEIRS
        self.asked: list[str] = []

    def client(self, environment: Environment, service: str, region: str = "") -> Calls:
        return self

    def get_caller_identity(self) -> dict[str, str]:
        self.asked.append("get_caller_identity")
        return {"Account": self.account}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**_: Any) -> Any:
            self.asked.append(name)
            raise AssertionError(f"{name} was asked before the guard")

        return call


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    fake = Calls()
    for module in (aws, keys, launch, lock, plan, push, remove):
        monkeypatch.setattr(module, "client", fake.client)
    monkeypatch.setattr(launch, "require_unaltered", lambda environment, review: {})
    return fake


@pytest.fixture
def dev(tmp_path: Path) -> Environment:
    (tmp_path / "config" / "dev").mkdir(parents=True)
    return Environment("dev", "shop", "eu-west-1", OURS, 60, tmp_path, tmp_path)


#: Everything that writes to AWS, as its callers call it.
WRITES: dict[str, Callable[[Environment], Any]] = {
    "deliver": lambda e: delivery.deliver(e, REVIEW, None, allowed=frozenset()),
    "apply": lambda e: launch.apply(e, REVIEW),
    "delete": remove.delete,
    "plan": plan.plan_changes,
    "lock": lock.lock_of,
    "push plan": lambda e: push.plan(e, "service", None),  # type: ignore[arg-type]
    "push": lambda e: push.push(e, SENT, None, through_api=True),  # type: ignore[arg-type]
    "keys": keys.writable_store,
    "hold": lambda e: hold.scaling_suspended(e, SERVICE).__enter__(),
    "verify": lambda e: verification.run_verification(
        e,
        None,  # type: ignore[arg-type]
        e.project / "out",
        run_id="r",
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_another_account_is_asked_who_it_is_and_nothing_else(
    name: str, dev: Environment, calls: Calls
) -> None:
    with pytest.raises(GuardRefused, match=f"not written to account {THEIRS}.*belongs to {OURS}"):
        WRITES[name](dev)
    assert calls.asked == ["get_caller_identity"]


@pytest.mark.parametrize("name", WRITES)
def test_an_environment_without_an_account_is_not_written_to(
    name: str, dev: Environment, calls: Calls
) -> None:
    with pytest.raises(GuardRefused, match=f'write account_id: "{THEIRS}"'):
        WRITES[name](replace(dev, account_id=""))
    assert calls.asked == ["get_caller_identity"]


@pytest.mark.parametrize(
    "words", [["issue", "dev", "ann"], ["rotate", "dev", "0a1b2c"], ["revoke", "dev", "0a1b2c"]]
)
def test_keys_are_written_to_no_other_account(
    words: list[str], dev: Environment, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "load_environment", lambda name: dev)
    with pytest.raises(GuardRefused, match=f"not written to account {THEIRS}"):
        commands.keys.main(words, standalone_mode=False)
    assert calls.asked == ["get_caller_identity"]


def test_its_own_account_and_regions_pass(dev: Environment, calls: Calls) -> None:
    calls.account = OURS
    folder = dev.sceptre_dir / "config" / "dev"
    (folder / "network.yaml").write_text("template: {path: network.yaml}\n")
    (folder / "edge.yaml").write_text("region: us-east-1\n")
    guard.require_writable(dev)
    (folder / "edge.yaml").write_text("template: {path: edge.yaml}\n")
    with pytest.raises(GuardRefused, match=r"edge of dev .* eu-west-1: it belongs to us-east-1"):
        guard.require_writable(dev)


def test_a_rehearsal_on_this_machine_has_no_account_of_its_own(
    dev: Environment, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    guard.require_writable(replace(dev, account_id=""))
    assert calls.asked == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL_SSM", "https://ssm.eu-west-1.amazonaws.com"),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
    ],
)
def test_one_service_that_leads_elsewhere_is_no_rehearsal(
    dev: Environment, calls: Calls, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    monkeypatch.setenv(name, value)
    with pytest.raises(GuardRefused, match="belongs to"):
        guard.require_writable(dev)
    with pytest.raises(GuardRefused, match="local is not written to AWS: another"):
        guard.require_writable(replace(dev, name="local"))


def test_local_never_goes_to_a_real_endpoint(
    dev: Environment, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = replace(dev, name="local")
    guard.require_writable(local)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://cloudformation.eu-west-1.amazonaws.com")
    with pytest.raises(GuardRefused, match="local is not written to AWS: AWS_ENDPOINT_URL is"):
        guard.require_writable(local)
