"""Checks of machine and environment: what is wrong is said with what helps."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.ecs.service import Service, Task
from runbook.environment import LAYERS, Environment, load_environment
from runbook.errors import LocalRegionNotRunning, StackNotFound
from runbook.runs import checks
from runbook.stacks.deployed import Deployed


@pytest.fixture
def environment(project: Path) -> Environment:
    return load_environment("local", project)


@pytest.fixture
def good(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A healthy world; tests spoil its parts."""
    stack = Deployed("x", "CREATE_COMPLETE", "", {}, {}, {})
    running = Service("web", "main", 1, 1, 0, (), (Task("a", "RUNNING", "", 1, "healthy"),), "")
    world: dict[str, Any] = {
        "state": SimpleNamespace(endpoint_url="http://127.0.0.1:1", cpu_enforcement="duty-cycle"),
        "account": "000000000000",
        "stacks": dict.fromkeys(LAYERS, stack),
        "service": running,
    }

    def answer(name: str) -> Any:
        if isinstance(world[name], Exception):
            raise world[name]
        return world[name]

    monkeypatch.setattr(checks.region, "require_running", lambda: answer("state"))
    monkeypatch.setattr(checks, "caller_account", lambda environment: answer("account"))
    monkeypatch.setattr(checks, "status", lambda environment: answer("stacks"))
    monkeypatch.setattr(checks.service, "describe", lambda environment: answer("service"))
    return world


def bad(check: checks.Check) -> dict[str, str]:
    return {leaf.name: leaf.detail for leaf in check.leaves() if leaf.mark == "NG"}


def test_a_healthy_environment_is_ok(environment: Environment, good: dict[str, Any]) -> None:
    found = checks.environment(environment, deployed=True)
    assert found.mark == "OK"
    assert "CPU share by duty-cycle" in checks.tree([found])
    assert "1 of 1 tasks run, 1 are healthy" in checks.tree([found])


def test_without_a_region_nothing_else_is_asked(
    environment: Environment, good: dict[str, Any]
) -> None:
    good["state"] = LocalRegionNotRunning("Not running", "gone", "runbook local up")
    good["account"] = good["stacks"] = AssertionError("asked")
    found = checks.environment(environment, deployed=False)
    assert list(bad(found)) == ["local region"]
    assert "runbook local up" in bad(found)["local region"]


def test_another_account_is_refused(environment: Environment, good: dict[str, Any]) -> None:
    good["account"] = "123456789012"
    found = checks.environment(environment, deployed=False)
    assert bad(found) == {"account": "123456789012, but local belongs to 000000000000"}
    unpinned = replace(environment, account_id="")
    assert checks.environment(unpinned, deployed=False).ok


@pytest.mark.parametrize(("deployed", "mark"), [(True, "NG"), (False, "SKIP")])
def test_a_missing_stack_matters_when_it_is_needed(
    environment: Environment, good: dict[str, Any], deployed: bool, mark: str
) -> None:
    good["stacks"] = {**good["stacks"], "scaling": None}
    found = checks.environment(environment, deployed=deployed)
    (scaling,) = [leaf for leaf in found.leaves() if leaf.name == "scaling"]
    assert (scaling.mark, scaling.detail) == (mark, "not deployed")


def test_a_broken_stack_is_named_with_its_status(
    environment: Environment, good: dict[str, Any]
) -> None:
    broken = replace(good["stacks"]["data"], status="ROLLBACK_COMPLETE")
    good["stacks"] = {**good["stacks"], "data": broken}
    assert bad(checks.environment(environment, deployed=True)) == {"data": "ROLLBACK_COMPLETE"}


def test_refused_calls_are_a_line_of_the_tree(
    environment: Environment, good: dict[str, Any]
) -> None:
    good["stacks"] = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "x")
    assert "AccessDenied" in bad(checks.environment(environment, deployed=True))["stacks"]


def test_a_service_without_a_healthy_task(environment: Environment, good: dict[str, Any]) -> None:
    good["service"] = replace(good["service"], tasks=(), newest_event="cannot pull")
    assert "cannot pull" in bad(checks.environment(environment, deployed=True))["service"]
    good["service"] = StackNotFound("Stack not found", "x", "deploy")
    assert "Stack not found" in bad(checks.environment(environment, deployed=True))["service"]


def test_suspended_scaling_matters_where_it_must_scale(
    environment: Environment, good: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[str] = []
    monkeypatch.setattr(checks, "service_identity", lambda environment: None)
    monkeypatch.setattr(checks.hold, "suspended", lambda environment, identity: tuple(parts))
    found = checks.environment(environment, deployed=False, scales=True)
    assert "[OK] active scaling: active" in checks.tree([found])
    parts.append("DynamicScalingOutSuspended")
    found = checks.environment(environment, deployed=False, scales=True)
    assert "runbook unlock local" in bad(found)["active scaling"]
    assert checks.environment(environment, deployed=True).ok
    good["stacks"] = {**good["stacks"], "scaling": None}
    assert checks.environment(environment, deployed=False, scales=True).ok, "nothing scales yet"


def test_an_edge_that_is_off_is_no_place_for_a_list(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    (environment.sceptre_dir / "config/local/edge.yaml").write_text(
        "parameters:\n  EdgeMode: none\n"
    )
    monkeypatch.setattr(checks.ip_sets, "outputs", lambda environment, layer: {"EdgeMode": "none"})
    assert "EdgeMode is none in edge.yaml" in bad(checks.edge(environment))["edge"]


def test_the_machine_lists_what_is_missing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_PACKAGES", ("papermill", "no-such-package"))
    monkeypatch.setattr(checks.os, "cpu_count", lambda: 1)
    found = bad(checks.machine(project))
    assert found["no-such-package"] == "not installed; run: make setup"
    assert found["cores"] == "1; the load test needs 2 cores, or the driver is the limit"
    assert "papermill" not in found


def test_a_task_on_aws_needs_no_local_region_and_is_no_checkout(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_LOCAL_PACKAGES", ("no-such-emulator",))
    monkeypatch.setattr(checks.shutil, "which", lambda name: None)
    away = checks.machine(environment.project, replace(environment, name="dev"))
    assert not {"no-such-emulator", "git"} & bad(away).keys()
    assert "no-such-emulator" in bad(checks.machine(environment.project, environment))
    (environment.project / ".git").mkdir()
    assert "git" in bad(checks.machine(environment.project))
