"""Refusals before any write: endpoint, account, region, image."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sceptre.config.reader import ConfigReader
from sceptre.context import SceptreContext
from sceptre.exceptions import SceptreException
from sceptre.plan import actions

from runbook.environment import Environment
from runbook.errors import GuardRefused, InputInvalid, StackNotFound
from runbook.stacks import guards, lock
from runbook.stacks.guards import EnvironmentGuard, ImageGuard, MetricsGuard


@pytest.fixture(autouse=True)
def _no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(lock, "hold_until_exit", lambda environment: None)


@pytest.fixture
def dev(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    found = replace(environment, name="dev")
    monkeypatch.setattr(guards, "load_environment", lambda name: replace(found, name=name))
    return found


def stack(name: str, account: str = "111122223333", region: str = "eu-west-1") -> Any:
    def call(service: str, command: str) -> dict[str, str]:
        assert (service, command) == ("sts", "get_caller_identity")
        return {"Account": "111122223333"}

    return SimpleNamespace(
        name=name,
        region=region,
        sceptre_user_data={"account_id": account},
        parameters={"ImageReference": "@sha256:ab"},
        connection_manager=SimpleNamespace(call=call),
    )


def test_the_right_account_and_region_pass(dev: Environment) -> None:
    EnvironmentGuard(stack=stack("dev/network")).run()
    EnvironmentGuard(stack=stack("dev/edge", region="us-east-1")).run()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (stack("dev/network", account="999988887777"), "belongs to 999988887777; log in there"),
        (stack("dev/network", account=""), r'write account_id: "111122223333" into'),
        (stack("dev/network", region="us-east-1"), "it belongs to eu-west-1"),
        (stack("dev/edge"), "it belongs to us-east-1"),
        (stack("local/network"), "AWS_ENDPOINT_URL is not set"),
    ],
)
def test_everything_else_is_refused_with_what_helps(
    dev: Environment, wrong: Any, words: str
) -> None:
    with pytest.raises(SceptreException, match=words) as caught:
        EnvironmentGuard(stack=wrong).run()
    assert isinstance(caught.value.__cause__, GuardRefused)


def test_local_never_goes_to_a_real_endpoint(
    dev: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://cloudformation.eu-west-1.amazonaws.com")
    with pytest.raises(SceptreException, match="local is not written to AWS"):
        EnvironmentGuard(stack=stack("local/network")).run()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    EnvironmentGuard(stack=stack("local/network")).run()
    EnvironmentGuard(stack=stack("dev/network", account="999988887777")).run()  # a rehearsal


def test_who_is_calling_must_be_known(dev: Environment) -> None:
    nobody = stack("dev/network")

    def call(service: str, command: str) -> dict[str, str]:
        raise SceptreException("no credentials")

    nobody.connection_manager.call = call
    with pytest.raises(SceptreException, match="AWS does not know who is calling: no credentials"):
        EnvironmentGuard(stack=nobody).run()


SCEPTRE = Path(__file__).parents[2] / "sceptre"
STACKS = sorted(
    ConfigReader(SceptreContext(project_path=str(SCEPTRE), command_path="")).construct_stacks()[0],
    key=lambda item: item.name,
)
#: Every action of Sceptre that writes and can have hooks.
WRITES = ("launch", "create", "update", "delete", "create_change_set", "execute_change_set")


@pytest.mark.parametrize("configured", STACKS, ids=lambda item: item.name)
@pytest.mark.parametrize("action", WRITES)
def test_no_stack_is_written_to_before_its_guard(configured: Any, action: str) -> None:
    hooks = [type(hook) for hook in configured.hooks.get(f"before_{action}", [])]
    assert hooks[:1] == [EnvironmentGuard]
    if configured.name.endswith("/service") and action in {
        "create",
        "update",
        "execute_change_set",
    }:
        assert hooks[1] is MetricsGuard
        assert hooks[-1] is ImageGuard


def test_the_actions_that_write_are_all_of_sceptres() -> None:
    hooked = set(re.findall(r"@add_stack_hooks\n    def (\w+)", inspect.getsource(actions)))
    assert hooked - set(WRITES) <= {
        "validate", "diff", "drift_detect", "drift_show", "dump_config", "dump_template"
    }  # fmt: skip
    assert set(WRITES) <= hooked


def test_only_an_image_that_is_there_is_deployed(
    dev: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        guards, "published", lambda environment, reference: reference == "@sha256:ab"
    )
    ImageGuard(stack=stack("dev/service")).run()
    for reference, words in (
        ("@sha256:cd", "is not in the registry of dev"),
        (":latest", "only a digest means the same image"),
        ("", "deployed from no image"),
    ):
        with pytest.raises(GuardRefused, match=words):
            guards.require_image(dev, reference)


@pytest.mark.parametrize("error", [StackNotFound("a", "b", "c"), InputInvalid("a", "b", "c")])
def test_without_a_registry_the_order_is_named(
    dev: Environment, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def published(environment: Environment, reference: str) -> bool:
        raise error

    monkeypatch.setattr(guards, "published", published)
    with pytest.raises(GuardRefused, match="make create ENV=dev LAYERS=registry"):
        guards.require_image(dev, "@sha256:ab")
