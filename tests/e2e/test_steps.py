"""A proposal with steps on CPU: adopted, launched, and played by the region both ways."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook.load.plan import LoadPlan
from runbook.load.run import run_driver
from runbook.load.schedule import constant

pytestmark = [pytest.mark.e2e, pytest.mark.scenario, pytest.mark.timeout(420)]

# CPU is up to 10 % when idle, about 75 % of one task at this load and 40 % of two. The steps act
# first: a period of 20 s with 5 s of load in it is beyond 18 %, while target tracking needs three
# periods of 10 s beyond 37 % to add a task, and six below 33 % to remove one.
PROPOSAL = """parameters:
  # from: policy lab, a test
  MinTasks: 1
  # from: policy lab, a test
  MaxTasks: 300
  # from: policy lab, a test
  RequestsPerTarget: 100000
  # from: policy lab, a test
  CpuTarget: 37
  # from: policy lab, a test
  EcsMetricPeriodS: 20
sceptre_user_data:
  policy_lab:
    cpu_steps:
      period_s: 20
      periods: 1
      cooldown_s: 60
      steps: [[18, 100], [80, 200]]
    cpu_steps_in:
      period_s: 20
      periods: 1
      cooldown_s: 10
      steps: [[14, 40]]
"""
LOAD_RPS, LOAD_S = 45.0, 45.0


def wait_for(what: Callable[[], Any], timeout_s: float) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (answer := what()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s} s in vain; last answer: {answer!r}")
        time.sleep(1)
    return answer


def test_steps_on_cpu_add_and_remove_tasks(project: Any, tmp_path: Path) -> None:
    proposal = tmp_path / "proposal.yaml"
    proposal.write_text(PROPOSAL)
    project.set_parameters("service", MetricResolutionS=20)
    # p95 of a machine under tests may well be over the SLO: the safety net is kept out of this.
    project.set_parameters("scaling", P95CpuFloor=100, MaxTasks=2)
    adopted = project.run("lab", "adopt", str(proposal), "--json")
    assert adopted.returncode == 0, adopted.stderr
    assert json.loads(adopted.stdout)["next"] == "runbook change local policy service scaling"
    project.up()
    deployed = project.run("run", "10_deploy", "--json")
    assert deployed.returncode == 0, deployed.stderr
    cluster, service = project.outputs("cluster"), project.outputs("service")
    ecs = project.client("ecs")

    def desired() -> int:
        found = ecs.describe_services(
            cluster=cluster["ClusterName"], services=[service["ServiceName"]]
        )["services"][0]
        return int(found["desiredCount"])

    wait_for(lambda: desired() == 1, 60)
    url = project.outputs("balancer")["ServiceUrl"] + "/products"
    run_driver(LoadPlan(url=url, segments=constant(LOAD_RPS, LOAD_S)), tmp_path / "load")
    assert desired() == 2
    wait_for(lambda: desired() == 1, 100)
    activities = project.client("application-autoscaling").describe_scaling_activities(
        ServiceNamespace="ecs", ResourceId=service["ScalableResourceId"]
    )["ScalingActivities"]
    told = [(item["Description"], item["Cause"]) for item in reversed(activities)]
    (out, why_out), (back, why_back) = told[-2:]
    assert (out, back) == ("Setting desired count to 2.", "Setting desired count to 1.")
    assert "CpuStepsAlarm" in why_out
    assert "CpuStepsInAlarm" in why_back
    # What is deployed is what is configured, also after a second look.
    assert project.run("diff", "local", "scaling").returncode == 0
    # The metrics they act on are not taken from them.
    project.set_parameters("service", MetricResolutionS=60)
    refused = project.run("change", "local", "off", "service")
    assert refused.returncode == 2
    assert "acts on them: EcsMetricPeriodS, CpuStepsAlarm, CpuStepsInAlarm" in refused.stderr
