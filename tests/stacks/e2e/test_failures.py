"""A bad day, in its order: a first deployment fails in every known way until it succeeds.

Each test mends what the one before it broke, and starts from the stacks that it left.
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from runbook import aws
from runbook.environment import load_environment
from runbook.runs import record

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

#: A scaling policy of a target that nobody registered: the service refuses it.
ORPHAN = """
  Orphan:
    Type: AWS::ApplicationAutoScaling::ScalingPolicy
    Properties:
      PolicyName: orphan
      PolicyType: StepScaling
      ScalingTargetId: service/no/no|ecs:service:DesiredCount|ecs
      StepScalingPolicyConfiguration:
        AdjustmentType: ChangeInCapacity
        StepAdjustments:
          - MetricIntervalLowerBound: 0
            ScalingAdjustment: 1
"""
NONSENSE = "  Nonsense:\n    Type: AWS::Nothing::Thing\n"
CRASHING = ("  LogLevel: info\n", '  LogLevel: info\n  ContainerCommand: "python,-c,1/0"\n')
SERVICE = "sceptre/config/local/service.yaml"
RESOURCES = "\nResources:\n"


def test_a_dry_run_creates_nothing(project: Any) -> None:
    dry = project.run("run", "10", "--dry-run")
    assert dry.code == 0, dry.err
    assert "Next: runbook run 10_deploy --env local" in dry.err
    assert set(project.statuses().values()) == {None}


def test_a_template_that_cloudformation_refuses(project: Any) -> None:
    project.replace("sceptre/templates/network.yaml", RESOURCES, f"{RESOURCES}{NONSENSE}")
    answer = project.run("create", "local")
    project.replace("sceptre/templates/network.yaml", NONSENSE, "")
    assert answer.code == 2
    assert "CloudFormation refuses the change of shop-local-network" in answer.err
    assert "AWS::Nothing::Thing" in answer.err
    assert set(project.statuses().values()) <= {None, "REVIEW_IN_PROGRESS"}


def test_an_image_nobody_pushed_stops_before_anything_is_made(project: Any) -> None:
    answer = project.run("create", "local", "--image", ":2024.10")
    assert answer.code == 2
    assert "Image :2024.10 is not in the registry" in answer.err
    assert set(project.statuses().values()) <= {None, "REVIEW_IN_PROGRESS"}


def test_a_resource_that_cannot_be_created(project: Any) -> None:
    project.replace("sceptre/templates/cluster.yaml", RESOURCES, f"{RESOURCES}{ORPHAN}")
    answer = project.run("run", "10")
    project.replace("sceptre/templates/cluster.yaml", ORPHAN, "")
    assert answer.code == 2
    assert "Layer cluster failed, shop-local-cluster is ROLLBACK_COMPLETE" in answer.err
    assert "Orphan (AWS::ApplicationAutoScaling::ScalingPolicy)" in answer.err
    statuses = project.statuses()
    assert statuses["balancer"] == "CREATE_COMPLETE"
    assert statuses["service"] is None, "later layers were not started"
    failure = project.run("last-create-failure", "local").out.splitlines()
    assert "cluster: the last create that failed" in failure
    assert "Orphan" in failure[failure.index("cluster: the last create that failed") + 1]


def test_a_service_that_never_becomes_healthy(project: Any) -> None:
    project.replace(SERVICE, *CRASHING)
    answer = project.run("create", "local")
    project.replace(SERVICE, *reversed(CRASHING))
    assert answer.code == 2
    assert "Layer service failed, shop-local-service is ROLLBACK_COMPLETE" in answer.err
    assert "circuit breaker" in answer.err
    assert "To undo: make delete ENV=local" in answer.err
    statuses = project.statuses()
    assert statuses["cluster"] == "CREATE_COMPLETE", "mended, it went on where it had stopped"
    assert statuses["scaling"] is None


def test_a_run_that_was_killed_is_finished_by_another(project: Any) -> None:
    project.kill_when("shop-local-service Service CREATE_IN_PROGRESS", "10")
    again = project.run("run", "10", "--json")
    assert (again.code, json.loads(again.out)["verdict"]) == (0, "pass"), again.err
    run_dir = record.run_dirs(project.root / "runs")[0]
    events = (run_dir / "10_deploy" / "events.log").read_text()
    assert "shop-local-service Service" not in events, "what the dead run began was waited for"
    assert "shop-local-scaling shop-local-scaling CREATE_COMPLETE" in events
    assert project.run("diff", "local").code == 0


def test_then_there_is_nothing_to_do(project: Any) -> None:
    again = project.run("run", "10", "--json")
    assert (again.code, json.loads(again.out)["verdict"]) == (0, "no_change"), again.err


def test_an_approval_that_was_killed_amid_its_update_is_finished_by_another(project: Any) -> None:
    project.set("service", "LogLevel", "debug")
    assert project.run("change", "local", "louder").code == 0
    project.kill_saying("Service UPDATE_IN_PROGRESS", "approve", "local", "louder")
    again = project.run("approve", "local", "louder", "--json")
    assert again.code == 0, again.err
    assert "Took over the lock of local" in again.err
    results = {item["layer"]: item["result"] for item in json.loads(again.out)["outcomes"]}
    assert results["service"] == "no_change", "what the dead run began was waited for"
    assert running_log_level(project) == "debug"
    assert project.run("diff", "local").code == 0


def test_what_a_killed_run_has_not_asked_the_next_one_asks_and_undoes(project: Any) -> None:
    before = (project.root / SERVICE).read_text()
    project.set("service", "LogLevel", "warning")
    silent = ["-p", "smoke_path=/nothing", "-p"]
    project.kill_when(
        "shop-local-service shop-local-service UPDATE_COMPLETE",
        "10",
        *silent,
        "smoke_timeout_s=60",
    )
    assert running_log_level(project) == "warning"
    again = project.run("run", "10", *silent, "smoke_timeout_s=1")
    assert again.code == 2
    assert "The deployment to local was undone" in again.err
    assert running_log_level(project) == "debug"
    assert project.run("diff", "local", "service").code == 0, "the configuration says it, too"
    assert project.run("test", "local").code == 0
    (project.root / SERVICE).write_text(before.replace('"debug"', "info"))


def running_log_level(project: Any) -> str:
    """The parameter that the service's stack was last given."""
    return aws.parameters(load_environment("local", project.root), "service")["LogLevel"]


def test_an_update_that_fails_leaves_the_old_version_serving(project: Any) -> None:
    project.replace(SERVICE, *CRASHING)
    assert project.run("change", "local", "bad").code == 0
    answer = project.run("approve", "local", "bad")
    project.replace(SERVICE, *reversed(CRASHING))
    assert answer.code == 2
    assert "Layer service failed, shop-local-service is UPDATE_ROLLBACK_COMPLETE" in answer.err
    assert "It stopped before any layer was changed." in answer.err
    assert "90_rollback" not in answer.err, "CloudFormation has put it back already"
    with urllib.request.urlopen(f"{project.url()}/products", timeout=10) as served:
        assert json.load(served)["count"] == 100
    assert "service: the last update that failed" in project.run("last-update-failure", "local").out


def test_teardown_leaves_nothing(project: Any) -> None:
    gone = project.run("run", "99", "--json")
    assert (gone.code, json.loads(gone.out)["verdict"]) == (0, "pass"), gone.err
    assert set(project.statuses().values()) == {None}
