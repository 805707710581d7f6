"""Deliberate failures before anything runs: a clear message and the right exit code.

Failing stacks and services are in tests/stacks/e2e.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def test_a_taken_port_names_who_has_it_and_what_to_do(project: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = project.run("local", "up", "--port", str(port))
    assert answer.returncode == 2
    assert f"Port {port} is taken" in answer.stderr
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


def test_the_record_of_a_failed_run_says_so(project: Any, tmp_path: Path) -> None:
    runs = tmp_path / "records"
    answer = project.run("run", "20_load_test", "--runs", str(runs))
    assert answer.returncode == 2
    for result in runs.glob("local/*/20_load_test/result.json"):
        assert json.loads(result.read_text())["verdict"] == "error"
