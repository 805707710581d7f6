"""The verbs on a real local region, in the order in which a day would need them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from runbook import aws
from runbook.environment import load_environment
from runbook.stacks.edit import write_parameter
from runbook.stacks.lock import held

PROJECT = Path(__file__).parent.parent.parent

#: Another process that writes to `local` until it is killed.
WRITER = """
import time
from runbook.environment import load_environment
from runbook.stacks.lock import held
with held(load_environment("local"), what="a long deployment"):
    print("held", flush=True)
    time.sleep(100)
"""

pytestmark = pytest.mark.e2e


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project of its own, with a region of its own, in this process's environment."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("app", "notebooks", "sceptre"):
        ignored = shutil.ignore_patterns("__pycache__", "data")
        shutil.copytree(PROJECT / folder, root / folder, ignore=ignored)
    shutil.copy(PROJECT / "Dockerfile", root)
    _deploy_quickly(root)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_PROJECT", str(root))
        patch.setenv("RUNBOOK_LOCAL_REGION_DIR", str(root / ".local-region"))
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        command = [sys.executable, "-m", "runbook", "local"]
        subprocess.run([*command, "up", "--port", str(port)], cwd=PROJECT, check=True)
        yield root
        subprocess.run([*command, "down"], cwd=PROJECT, check=True)


def _deploy_quickly(project: Path) -> None:
    """A rollout is watched for as long as its alarms look back: one period here, not three."""
    path = project / "sceptre/config/local/balancer.yaml"
    for name in ("DeploymentAlarmPeriods", "DeploymentAlarmDatapoints"):
        lines = [line for line in path.read_text().splitlines() if f"{name}:" not in line]
        path.write_text("\n".join([*lines, f"  {name}: 1"]) + "\n")


@pytest.fixture(scope="module")
def created(runbook: Callable[..., Answer]) -> Answer:
    """What creating the environment said."""
    return runbook("create", "local", "--json")


@pytest.fixture(scope="module")
def runbook(project: Path) -> Callable[..., Answer]:
    def run(*arguments: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "runbook", *arguments],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


def set_parameter(project: Path, layer: str, name: str, value: str) -> None:
    write_parameter(project / f"sceptre/config/local/{layer}.yaml", name, value)


def running_version(project: Path) -> str:
    """The image that the service's stack was last given."""
    environment = load_environment("local", project)
    stacks = aws.client(environment, "cloudformation").describe_stacks(
        StackName="shop-local-service"
    )["Stacks"]
    given = {p["ParameterKey"]: p["ParameterValue"] for p in stacks[0]["Parameters"]}
    return f"{given['ImageReference']} {given['LogLevel']}"


def test_a_dry_run_creates_nothing(runbook: Callable[..., Answer]) -> None:
    dry = runbook("create", "local", "--dry-run")
    assert dry.code == 0, dry.err
    assert "Dry run: nothing was changed" in dry.err
    assert json.loads(runbook("outputs", "local").out) == []


def test_create_then_look(runbook: Callable[..., Answer], created: Answer) -> None:
    assert created.code == 0, created.err
    assert {item["result"] for item in json.loads(created.out)["outcomes"]} == {"created"}
    assert "To undo:" in created.err

    outputs = json.loads(runbook("outputs", "local").out)
    assert all(set(item) == {"Description", "OutputKey", "OutputValue"} for item in outputs)
    (url,) = [item["OutputValue"] for item in outputs if item["OutputKey"] == "ServiceUrl"]
    asked = runbook("test", "local")
    assert asked.code == 0
    assert f"{url}/products answered 200" in asked.out
    assert runbook("test", "local", "--path", "/nothing", "--timeout", "0").code == 2


def test_what_differs_and_what_was_changed_by_hand(
    runbook: Callable[..., Answer], project: Path, created: Answer
) -> None:
    same = runbook("diff", "local")
    assert (same.code, same.out) == (0, "")
    set_parameter(project, "scaling", "ScaleInCooldownS", "61")
    different = runbook("diff", "local", "scaling")
    assert different.code == 1
    assert "parameter ScaleInCooldownS: 60 -> 61" in different.out
    set_parameter(project, "scaling", "ScaleInCooldownS", "60")

    clean = runbook("drift", "local")
    assert clean.code == 0, clean.out
    environment = load_environment("local", project)
    group = aws.outputs(environment, "cluster")["LogGroupName"]
    logs = aws.client(environment, "logs")
    logs.put_retention_policy(logGroupName=group, retentionInDays=365)
    drifted = runbook("drift", "local")
    assert drifted.code == 1
    assert "MODIFIED cluster / " in drifted.out
    assert "/RetentionInDays: 1 -> 365" in drifted.out
    logs.put_retention_policy(logGroupName=group, retentionInDays=1)


def test_a_change_is_approved_as_it_was_reviewed_or_not_at_all(
    runbook: Callable[..., Answer], project: Path, created: Answer
) -> None:
    set_parameter(project, "scaling", "ScaleInCooldownS", "62")
    reviewed = runbook("change", "local", "slower")
    assert reviewed.code == 0, reviewed.err
    assert "parameter ScaleInCooldownS: 60 -> 62" in reviewed.out

    set_parameter(project, "scaling", "ScaleInCooldownS", "63")
    altered = runbook("approve", "local", "slower")
    assert altered.code == 1
    assert "are not what was reviewed" in altered.err

    other = runbook("change", "local", "other")
    assert other.code == 0
    done = runbook("approve", "local", "other", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["verdict"] == "pass"

    set_parameter(project, "scaling", "ScaleInCooldownS", "62")
    stale = runbook("approve", "local", "slower")
    assert stale.code == 1
    assert "is stale: changed since the review" in stale.err
    set_parameter(project, "scaling", "ScaleInCooldownS", "63")

    again = runbook("approve", "local", "other", "--json")
    assert (again.code, json.loads(again.out)["verdict"]) == (0, "no_change")


def test_one_run_at_a_time_and_a_dead_one_is_named(
    runbook: Callable[..., Answer], project: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], cwd=project, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "held\n"
        second = runbook("approve", "local", "other")
        assert second.code == 2
        assert f"process {writer.pid} (a long deployment)" in second.err
        assert "it runs" in second.err
        assert runbook("unlock", "local").code == 1
        writer.send_signal(signal.SIGKILL)
    third = runbook("approve", "local", "other")
    assert third.code == 0, third.err
    assert f"Took over the lock of local from {writer_name(writer.pid)}" in third.err


def writer_name(pid: int) -> str:
    me = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{me}@{socket.gethostname()}, process {pid}"


def test_between_machines_a_parameter_is_the_lock(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", state(project)["endpoint_url"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    dev = load_environment("dev", project)
    command = [sys.executable, "-c", WRITER.replace('"local"', '"dev"')]
    with (
        held(dev),
        subprocess.Popen(
            command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as second,
    ):
        _, said = second.communicate(timeout=60)
        assert "dev is locked" in said
    ssm = aws.client(dev, "ssm")
    assert not ssm.describe_parameters()["Parameters"], "and it is free afterwards"


def state(project: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((project / ".local-region/state.json").read_text())
    return found


@pytest.mark.scenario
def test_a_version_that_does_not_answer_is_undone(
    runbook: Callable[..., Answer], project: Path, created: Answer
) -> None:
    before = running_version(project)
    set_parameter(project, "service", "LogLevel", "debug")
    options = ["-p", "smoke_path=/nothing", "-p", "smoke_timeout_s=1"]
    failed = runbook("run", "10", *options, "--runs", str(project / "runs"))
    assert failed.code == 2
    assert "The deployment to local was undone" in failed.err
    assert running_version(project) == before
    assert runbook("test", "local").code == 0
    set_parameter(project, "service", "LogLevel", "info")


@pytest.mark.scenario
def test_back_to_the_revision_before(
    runbook: Callable[..., Answer], project: Path, created: Answer
) -> None:
    before = running_version(project)
    set_parameter(project, "service", "LogLevel", "warning")
    root = ["--runs", str(project / "runs")]
    assert runbook("run", "10", *root).code == 0
    assert running_version(project) != before
    back = runbook("run", "90", *root)
    assert back.code == 0, back.err
    assert running_version(project) == before
    assert runbook("diff", "local", "service").code == 0, "the configuration says it, too"


def test_plain_sceptre_is_guarded(project: Path) -> None:
    variables = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    variables |= {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x"}
    refused = subprocess.run(
        [Path(sys.executable).with_name("sceptre"), "launch", "-y", "local/network.yaml"],
        cwd=project / "sceptre",
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert refused.returncode != 0
    assert "local is not written to AWS" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr


def test_delete_says_what_goes_and_then_nothing_is_left(
    runbook: Callable[..., Answer], project: Path
) -> None:
    dry = runbook("delete", "local", "--dry-run")
    assert "delete stack shop-local-network" in dry.out
    assert "Dry run: nothing was deleted" in dry.err
    started = time.monotonic()
    gone = runbook("delete", "local", "--json")
    assert gone.code == 0, gone.err
    assert {item["result"] for item in json.loads(gone.out)} == {"deleted"}
    assert time.monotonic() - started < 60
    assert json.loads(runbook("outputs", "local").out) == []
