"""Delivery on a real local region: deploy, deploy again, fail in known ways, tear down."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from runbook.runs import record

PROJECT = Path(__file__).parent.parent.parent

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


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A local region of its own; yields the environment that finds it."""
    folder = tmp_path_factory.mktemp("region")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {**os.environ, "RUNBOOK_LOCAL_REGION_DIR": str(folder)}
    variables.pop("AWS_ENDPOINT_URL", None)
    command = [sys.executable, "-m", "runbook", "local"]
    subprocess.run([*command, "up", "--port", str(port)], env=variables, cwd=PROJECT, check=True)
    yield variables
    subprocess.run([*command, "down"], env=variables, cwd=PROJECT, check=True)


@pytest.fixture
def sceptre(tmp_path: Path) -> Path:
    """A copy of the stacks, to be spoilt."""
    return Path(shutil.copytree(PROJECT / "sceptre", tmp_path / "sceptre"))


@pytest.fixture
def runbook(region: dict[str, str], sceptre: Path, tmp_path: Path) -> Callable[..., Answer]:
    def call(*arguments: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "runbook", *arguments],
            env=region,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def run(notebook: str, *arguments: str) -> Answer:
        where = ["-p", f"sceptre_dir={sceptre}", "--runs", str(tmp_path / "runs")]
        return call("run", notebook, *where, *arguments)

    return lambda name, *rest: run(name, *rest) if name[0].isdigit() else call(name, *rest)


@pytest.fixture
def empty(runbook: Callable[..., Answer]) -> Iterator[None]:
    """Leaves the environment as it was found: without a stack."""
    yield
    assert runbook("99").code == 0


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.e2e
def test_deploy_then_nothing_to_do_then_a_change(
    runbook: Callable[..., Answer], sceptre: Path, tmp_path: Path, empty: None
) -> None:
    dry = runbook("10", "--dry-run")
    assert dry.code == 0
    assert "Next: runbook run 10_deploy --env local" in dry.err
    status = json.loads(runbook("stacks", "status", "local", "--json").out)
    assert set(status.values()) == {None}, "a dry run creates nothing"

    first = runbook("10", "--json")
    assert (first.code, json.loads(first.out)["verdict"]) == (0, "pass")
    url = json.loads(runbook("stacks", "outputs", "local", "balancer", "--json").out)["ServiceUrl"]
    with urllib.request.urlopen(f"{url}/products", timeout=10) as answer:
        assert json.load(answer)["count"] == 100

    again = runbook("10", "--json")
    assert (again.code, json.loads(again.out)["verdict"]) == (0, "no_change")

    replace(sceptre / "config/local/scaling.yaml", "CpuTarget: 70", "CpuTarget: 55")
    changed = runbook("10", "--json")
    assert (changed.code, json.loads(changed.out)["verdict"]) == (0, "pass")
    run_dir = record.run_dirs(tmp_path / "runs")[0]
    review = record.read_json(run_dir / "10_deploy" / "review.json")
    changed_layers = [x["layer"] for x in review["layers"] if x["operation"] != "none"]
    assert changed_layers == ["scaling"]
    assert runbook("failures", "local").out == ""


@pytest.mark.e2e
def test_a_stack_that_cannot_be_created(
    runbook: Callable[..., Answer], sceptre: Path, empty: None
) -> None:
    template = sceptre / "templates/cluster.yaml"
    original = template.read_text()
    replace(template, "\nResources:\n", f"\nResources:\n{ORPHAN}")
    answer = runbook("10")
    assert answer.code == 2
    assert "Layer cluster failed, shop-local-cluster is ROLLBACK_COMPLETE" in answer.err
    assert "Orphan (AWS::ApplicationAutoScaling::ScalingPolicy)" in answer.err
    status = json.loads(runbook("stacks", "status", "local", "--json").out)
    assert status["balancer"]["status"] == "CREATE_COMPLETE"
    assert status["service"] is None, "later layers were not started"
    failures = runbook("failures", "local")
    assert "cluster: the last create that failed" in failures.out
    assert "root cause" in failures.out

    template.write_text(original)
    assert runbook("10").code == 0, "mended, it goes on where it stopped"


@pytest.mark.e2e
def test_a_template_that_cloudformation_refuses(
    runbook: Callable[..., Answer], sceptre: Path, empty: None
) -> None:
    nonsense = "\nResources:\n  Nonsense:\n    Type: AWS::Nothing::Thing\n"
    replace(sceptre / "templates/network.yaml", "\nResources:\n", nonsense)
    answer = runbook("10")
    assert answer.code == 2
    assert "CloudFormation refuses the change of shop-local-network" in answer.err
    assert "AWS::Nothing::Thing" in answer.err


@pytest.mark.e2e
@pytest.mark.scenario
def test_a_service_that_never_becomes_healthy(
    runbook: Callable[..., Answer], sceptre: Path, empty: None
) -> None:
    config = sceptre / "config/local/service.yaml"
    replace(config, "  LogLevel: info\n", '  LogLevel: info\n  ContainerCommand: "python,-c,1/0"\n')
    answer = runbook("10")
    assert answer.code == 2
    assert "Layer service failed" in answer.err
    assert "circuit breaker" in answer.err


@pytest.mark.e2e
@pytest.mark.scenario
def test_an_update_that_fails_leaves_the_old_version_serving(
    runbook: Callable[..., Answer], sceptre: Path, empty: None
) -> None:
    assert runbook("10").code == 0
    url = json.loads(runbook("stacks", "outputs", "local", "balancer", "--json").out)["ServiceUrl"]
    config = sceptre / "config/local/service.yaml"
    replace(config, "  LogLevel: info\n", '  LogLevel: info\n  ContainerCommand: "python,-c,1/0"\n')
    answer = runbook("10")
    assert answer.code == 2
    assert "UPDATE_ROLLBACK_COMPLETE" in answer.err
    with urllib.request.urlopen(f"{url}/products", timeout=10) as served:
        assert served.status == 200
    assert "service: the last update that failed" in runbook("failures", "local").out


@pytest.mark.e2e
def test_an_image_nobody_pushed_stops_before_the_service(
    runbook: Callable[..., Answer], empty: None
) -> None:
    started = time.monotonic()
    answer = runbook("10", "-p", "image=:2024.10")
    assert answer.code == 2
    assert "Image :2024.10 is not in the registry" in answer.err
    assert time.monotonic() - started < 60


@pytest.mark.e2e
@pytest.mark.scenario
def test_a_run_that_was_killed_can_be_started_again(
    runbook: Callable[..., Answer],
    region: dict[str, str],
    sceptre: Path,
    tmp_path: Path,
    empty: None,
) -> None:
    command = [sys.executable, "-m", "runbook", "run", "10", "-p", f"sceptre_dir={sceptre}"]
    killed = subprocess.Popen(
        [*command, "--runs", str(tmp_path / "runs")],
        env=region,
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    events = tmp_path / "runs" / "local"
    deadline = time.monotonic() + 60
    while not any("balancer" in path.read_text() for path in events.glob("*/10_deploy/events.log")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    killed.kill()
    killed.wait(10)
    answer = runbook("10", "--json")
    assert (answer.code, json.loads(answer.out)["verdict"]) == (0, "pass")
