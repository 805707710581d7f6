"""Who may call the balancer is changed while the service runs: balancer and tasks move together."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from runbook import aws
from runbook.environment import load_environment

pytestmark = [pytest.mark.e2e, pytest.mark.scenario, pytest.mark.timeout(600)]


def target_group(project: Any) -> str:
    environment = load_environment("local", project.root)
    return aws.outputs(environment, "balancer")["TargetGroupArn"]


def test_another_exposure_moves_the_tasks_to_the_new_balancer(project: Any, created: Any) -> None:
    assert created.code == 0, created.err
    before = target_group(project)
    project.set("balancer", "Exposure", "vpc-origin")
    layers = ("balancer", "service", "scaling", "monitoring")
    reviewed = project.run("change", "local", "internal", *layers, "--json")
    assert reviewed.code == 0, reviewed.err
    (balancer,) = (x for x in json.loads(reviewed.out)["layers"] if x["layer"] == "balancer")
    replaced = {c["logical_id"] for c in balancer["changes"] if c["replacement"] == "True"}
    assert {"Balancer", "Targets", "HttpListener"} <= replaced
    # The service follows in the same run, with outputs that no review could have known.
    approved = project.run("approve", "local", "internal", "--json")
    assert approved.code == 0, approved.err
    assert target_group(project) != before
    # In AWS only CloudFront could ask now; in the local region networks are records.
    with urllib.request.urlopen(f"{project.url()}/products", timeout=10) as answer:
        assert answer.status == 200
