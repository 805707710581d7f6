"""The verbs on a real local region, in the order in which a day would need them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runbook import aws
from runbook.ecs.dockerfile import content_tag
from runbook.ecs.image import build, publish
from runbook.environment import Environment, load_environment
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

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def running_version(project: Any) -> str:
    """The image that the service's stack was last given."""
    environment = load_environment("local", project.root)
    stacks = aws.client(environment, "cloudformation").describe_stacks(
        StackName="shop-local-service"
    )["Stacks"]
    given = {p["ParameterKey"]: p["ParameterValue"] for p in stacks[0]["Parameters"]}
    return f"{given['ImageReference']} {given['LogLevel']}"


def test_a_dry_run_creates_nothing(project: Any) -> None:
    dry = project.run("create", "local", "--dry-run")
    assert dry.code == 0, dry.err
    assert "Dry run: nothing was changed" in dry.err
    assert json.loads(project.run("outputs", "local").out) == []


def test_create_then_look(project: Any, created: Any) -> None:
    assert created.code == 0, created.err
    assert {item["result"] for item in json.loads(created.out)["outcomes"]} == {"created"}
    assert "To undo:" in created.err

    outputs = json.loads(project.run("outputs", "local").out)
    assert all(set(item) == {"Description", "OutputKey", "OutputValue"} for item in outputs)
    (url,) = [item["OutputValue"] for item in outputs if item["OutputKey"] == "ServiceUrl"]
    asked = project.run("test", "local")
    assert asked.code == 0
    assert f"{url}/products answered 200" in asked.out
    assert project.run("test", "local", "--path", "/nothing", "--timeout", "0").code == 2


def test_what_the_service_logs_of_its_pool_is_what_its_alarm_reads(
    project: Any, created: Any
) -> None:
    environment = load_environment("local", project.root)
    cloudwatch = aws.client(environment, "cloudwatch")
    name = aws.outputs(environment, "monitoring")["BusyPoolAlarmName"]
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert alarm["Namespace"] == aws.outputs(environment, "service")["MetricsNamespace"]

    def datapoints() -> list[Any]:
        now = dt.datetime.now(dt.UTC)
        found: list[Any] = cloudwatch.get_metric_statistics(
            **{key: alarm[key] for key in ("Namespace", "MetricName", "Dimensions", "Period")},
            Statistics=[alarm["Statistic"]],
            StartTime=now - dt.timedelta(minutes=5),
            EndTime=now,
        )["Datapoints"]
        return found

    deadline = time.monotonic() + 60
    while not (found := datapoints()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert {point[alarm["Statistic"]] for point in found} == {0.0}


def test_what_differs_and_what_was_changed_by_hand(project: Any, created: Any) -> None:
    same = project.run("diff", "local", "scaling")
    assert (same.code, same.out) == (0, "")
    project.set("scaling", "ScaleInCooldownS", "61")
    different = project.run("diff", "local", "scaling")
    assert different.code == 1
    assert "parameter ScaleInCooldownS: 60 -> 61" in different.out
    project.set("scaling", "ScaleInCooldownS", "60")

    clean = project.run("drift", "local")
    assert clean.code == 0, clean.out
    environment = load_environment("local", project.root)
    group = aws.outputs(environment, "cluster")["LogGroupName"]
    logs = aws.client(environment, "logs")
    logs.put_retention_policy(logGroupName=group, retentionInDays=365)
    set_max_capacity(environment, 9)
    drifted = project.run("drift", "local")
    assert drifted.code == 1
    assert "MODIFIED cluster / " in drifted.out
    assert "/RetentionInDays: 1 -> 365" in drifted.out
    assert "MODIFIED scaling / Target" in drifted.out
    assert "/MaxCapacity: 4 -> 9" in drifted.out
    logs.put_retention_policy(logGroupName=group, retentionInDays=1)
    set_max_capacity(environment, 4)


def set_max_capacity(environment: Environment, tasks: int) -> None:
    """By hand, past CloudFormation."""
    aws.client(environment, "application-autoscaling").register_scalable_target(
        ServiceNamespace="ecs",
        ResourceId=aws.outputs(environment, "service")["ScalableResourceId"],
        ScalableDimension="ecs:service:DesiredCount",
        MaxCapacity=tasks,
    )


def test_a_change_is_approved_as_it_was_reviewed_or_not_at_all(project: Any, created: Any) -> None:
    project.set("scaling", "ScaleInCooldownS", "62")
    reviewed = project.run("change", "local", "slower", "scaling")
    assert reviewed.code == 0, reviewed.err
    assert "parameter ScaleInCooldownS: 60 -> 62" in reviewed.out

    project.set("scaling", "ScaleInCooldownS", "63")
    altered = project.run("approve", "local", "slower")
    assert altered.code == 1
    assert "are not what was reviewed" in altered.err

    other = project.run("change", "local", "other", "scaling")
    assert other.code == 0
    done = project.run("approve", "local", "other", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["verdict"] == "pass"

    project.set("scaling", "ScaleInCooldownS", "62")
    stale = project.run("approve", "local", "slower")
    assert stale.code == 1
    assert "is stale: changed since the review" in stale.err
    project.set("scaling", "ScaleInCooldownS", "63")

    again = project.run("approve", "local", "other", "--json")
    assert (again.code, json.loads(again.out)["verdict"]) == (0, "no_change")


def test_one_run_at_a_time_and_a_dead_one_is_named(project: Any) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], cwd=project.root, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "held\n"
        second = project.run("approve", "local", "other")
        assert second.code == 2
        assert f"process {writer.pid} (a long deployment)" in second.err
        assert "it runs" in second.err
        assert project.run("unlock", "local").code == 1
        writer.send_signal(signal.SIGKILL)
    third = project.run("approve", "local", "other")
    assert third.code == 0, third.err
    assert f"Took over the lock of local from {writer_name(writer.pid)}" in third.err


def writer_name(pid: int) -> str:
    me = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{me}@{socket.gethostname()}, process {pid}"


def test_between_machines_a_parameter_is_the_lock(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", project.state()["endpoint_url"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    dev = load_environment("dev", project.root)
    command = [sys.executable, "-c", WRITER.replace('"local"', '"dev"')]
    with (
        held(dev),
        subprocess.Popen(
            command, cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as second,
    ):
        _, said = second.communicate(timeout=60)
        assert "dev is locked" in said
    ssm = aws.client(dev, "ssm")
    assert not ssm.describe_parameters()["Parameters"], "and it is free afterwards"


def test_a_first_deployment_begins_with_an_empty_registry(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By this name it is not known as the local region: images are not made on the spot.
    endpoint = project.state()["endpoint_url"].replace("127.0.0.1", "localhost")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")

    refused = project.run("create", "dev")
    assert refused.code == 2
    assert "make create ENV=dev LAYERS=registry, then make image && make push" in refused.err
    gate = project.run("create", "dev", "registry")
    assert gate.code == 1
    digest = re.findall(r"make create ENV=dev LAYERS=\"registry\" DIGEST=(\w+)", gate.err)[0]
    stale = project.run("create", "dev", "registry", "--approve", "0" * len(digest))
    assert stale.code == 1
    assert project.run("create", "dev", "registry", "--approve", digest).code == 0

    dev = load_environment("dev", project.root)
    tag = f"{content_tag(dev.project, 'service')}-base"
    publish(dev, dataclasses.replace(build(dev.project / "app"), tag=tag))
    ready = project.run("create", "dev", "--dry-run")
    assert ready.code == 0, ready.err
    assert "make create ENV=dev DIGEST=" in ready.err


@pytest.mark.scenario
def test_a_version_that_does_not_answer_is_undone(project: Any, created: Any) -> None:
    before = running_version(project)
    project.set("service", "LogLevel", "debug")
    options = ["-p", "smoke_path=/nothing", "-p", "smoke_timeout_s=1"]
    failed = project.run("run", "10", *options, "--runs", str(project.root / "runs"))
    assert failed.code == 2
    assert "The deployment to local was undone" in failed.err
    assert running_version(project) == before
    assert project.run("test", "local").code == 0
    project.set("service", "LogLevel", "info")


@pytest.mark.scenario
def test_back_to_the_revision_before(project: Any, created: Any) -> None:
    before = running_version(project)
    project.set("service", "LogLevel", "warning")
    root = ["--runs", str(project.root / "runs")]
    assert project.run("run", "10", *root).code == 0
    assert running_version(project) != before
    back = project.run("run", "90", *root)
    assert back.code == 0, back.err
    assert running_version(project) == before
    assert project.run("diff", "local", "service").code == 0, "the configuration says it, too"


def test_plain_sceptre_is_guarded(project: Any) -> None:
    variables = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    variables |= {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x"}
    refused = subprocess.run(
        [Path(sys.executable).with_name("sceptre"), "launch", "-y", "local/network.yaml"],
        cwd=project.root / "sceptre",
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert refused.returncode != 0
    assert "local is not written to AWS" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr


def test_another_account_is_refused_before_anything_is_written(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By this name it is not known as this machine: it might be AWS. Its account is 000000000000.
    endpoint = project.state()["endpoint_url"].replace("127.0.0.1", "127.1")
    project.replace(
        "sceptre/config/staging/config.yaml", 'account_id: ""', 'account_id: "999988887777"'
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    for verb in (["create", "staging", "network"], ["change", "staging", "x", "network"]):
        refused = project.run(*verb)
        assert refused.code == 2
        assert "staging is not written to account 000000000000: it belongs to 9" in refused.err
    plain = subprocess.run(
        [Path(sys.executable).with_name("sceptre"), "launch", "-y", "staging/network.yaml"],
        cwd=project.root / "sceptre",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert plain.returncode != 0
    assert "staging is not written to account 000000000000" in plain.stdout + plain.stderr
    assert "Traceback" not in plain.stdout + plain.stderr
    staging = load_environment("staging", project.root)
    assert not aws.client(staging, "ssm").describe_parameters()["Parameters"], "no lock either"
    assert set(json.loads(project.run("status", "staging", "--json").out).values()) == {None}


def test_delete_says_what_goes_and_then_nothing_is_left(project: Any) -> None:
    dry = project.run("delete", "local", "--dry-run")
    assert "delete stack shop-local-network" in dry.out
    assert "Dry run: nothing was deleted" in dry.err
    started = time.monotonic()
    gone = project.run("delete", "local", "--json")
    assert gone.code == 0, gone.err
    assert {item["result"] for item in json.loads(gone.out)} == {"deleted"}
    # Tasks that nobody asks anything are not drained for the five minutes of the target group.
    assert time.monotonic() - started < 120
    assert json.loads(project.run("outputs", "local").out) == []
