"""Deliberate failures: each ends with a clear message and the right exit code."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def test_a_taken_port_names_who_has_it_and_what_to_do(project: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", project.port))
        taken.listen()
        answer = project.run("local", "up", "--port", str(project.port))
    assert answer.returncode == 2
    assert f"Port {project.port} is taken" in answer.stderr
    assert "--port" in answer.stderr
    assert project.processes() == []


def test_without_a_region_the_run_stops_and_says_how_to_start_one(project: Any) -> None:
    answer = project.run("run", "20_load_test")
    assert answer.returncode == 2
    assert "runbook local up" in answer.stderr


def test_a_misspelt_parameter_stops_before_anything_runs(project: Any) -> None:
    answer = project.run("run", "60_verify", "-p", "tasks_neded=3")
    assert answer.returncode == 2
    assert "tasks_needed" in answer.stderr
    assert not (project.root / "runs").exists()


def test_an_ill_typed_parameter_stops_before_anything_runs(project: Any) -> None:
    answer = project.run("run", "60_verify", "-p", "tasks_needed=three")
    assert answer.returncode == 2
    assert "tasks_needed" in answer.stderr
    assert not (project.root / "runs").exists()


def test_a_service_that_never_becomes_healthy_is_rolled_back(project: Any) -> None:
    health = project.root / "app" / "health.py"
    text = health.read_text()
    sick = text.replace('return {"status": "ready"}', 'return {"status": "sick"}, 503')
    assert sick != text
    health.write_text(sick)
    project.up()
    answer = project.run("run", "10_deploy", timeout_s=200)
    assert answer.returncode == 2
    assert "service" in answer.stderr
    failure = json.loads(project.run("failures", "local", "--json").stdout)[0]
    assert failure["layer"] == "service"
    assert "AWS::ECS::Service" in json.dumps(failure)


def test_a_stack_that_fails_names_its_root_cause_first(project: Any) -> None:
    template = project.root / "sceptre" / "templates" / "registry.yaml"
    text = template.read_text()
    template.write_text(text.replace("Resources:\n", _BROKEN_RESOURCE, 1))
    project.up()
    answer = project.run("run", "10_deploy")
    assert answer.returncode == 2
    assert "registry" in answer.stderr
    failures = json.loads(project.run("failures", "local", "--json").stdout)
    assert failures[0]["layer"] == "registry"
    assert "Broken" in json.dumps(failures[0])
    stacks = project.client("cloudformation").describe_stacks()["Stacks"]
    assert not [stack for stack in stacks if stack["StackName"].endswith("-cluster")]


_BROKEN_RESOURCE = """Resources:
  Broken:
    Type: AWS::ApplicationAutoScaling::ScalableTarget
    Properties:
      MaxCapacity: 1
      MinCapacity: 1
      ResourceId: service/no/such
      ScalableDimension: ecs:service:DesiredCount
      ServiceNamespace: ecs
"""


def test_the_record_of_a_failed_run_says_so(project: Any, tmp_path: Path) -> None:
    runs = tmp_path / "records"
    answer = project.run("run", "20_load_test", "--runs", str(runs))
    assert answer.returncode == 2
    for result in runs.glob("local/*/20_load_test/result.json"):
        assert json.loads(result.read_text())["verdict"] == "error"
