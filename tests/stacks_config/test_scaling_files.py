"""The runbook rewrites `scaling.yaml`: it survives that, and says where numbers come from."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from runbook.stacks.edit import read_parameter, write_parameter

CONFIG = Path(__file__).parents[2] / "sceptre" / "config"
FILES = sorted(CONFIG.glob("*/scaling.yaml"))
NUMBERS = [
    "MinTasks",
    "MaxTasks",
    "RequestsPerTarget",
    "CpuTarget",
    "MemoryTarget",
    "EcsMetricPeriodS",
    "P95StepThresholdS",
    "P95CpuFloor",
    "StepAdjustment",
    "StepCooldownS",
    "ScaleOutCooldownS",
    "ScaleInCooldownS",
    "StepEvaluationPeriods",
    "StepDatapointsToAlarm",
]

each_file = pytest.mark.parametrize("path", FILES, ids=[path.parent.name for path in FILES])


def origin(text: str, name: str) -> str | None:
    """The comment `# from: ...` in the block of lines that ends with a parameter."""
    block = re.search(rf"(?:^  [^\n]+\n)*^  {name}: ", text, re.MULTILINE)
    found = re.search(r"^  # from: (.+)$", block[0], re.MULTILINE) if block else None
    return found[1] if found else None


@each_file
@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_says_where_it_comes_from(path: Path, name: str) -> None:
    assert origin(path.read_text(encoding="utf-8"), name)


def test_an_origin_belongs_to_its_own_number() -> None:
    assert origin("  # from: a\n  One: 1\n\n  # what\n  Two: 2\n", "Two") is None


@each_file
def test_a_round_trip_changes_nothing(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    round_trip = YAML()
    round_trip.preserve_quotes = True
    round_trip.width = 4096
    written = io.StringIO()
    round_trip.dump(round_trip.load(text), written)
    assert written.getvalue() == text


@each_file
def test_numbers_are_literals_of_this_file(path: Path, stacks: dict[Any, Any]) -> None:
    values = stacks[path.parent.name, "scaling"].values
    assert set(NUMBERS) <= set(values)
    assert all(float(values[name]) >= 0 for name in NUMBERS)


def test_local_starts_unmeasured() -> None:
    # Otherwise the demonstration would have nothing to improve.
    text = (CONFIG / "local" / "scaling.yaml").read_text(encoding="utf-8")
    for name in ("RequestsPerTarget", "CpuTarget"):
        assert "not measured" in (origin(text, name) or "")


def test_a_deployment_can_write_its_image(tmp_path: Path) -> None:
    for source in sorted(CONFIG.glob("*/service.yaml")):
        copy = tmp_path / source.name
        copy.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
        reference = "@sha256:" + "a" * 64
        assert write_parameter(copy, "ImageReference", reference)
        assert read_parameter(copy, "ImageReference") == reference


def test_steps_of_its_own_leave_a_stack_its_environments_data(
    tmp_path: Path, stacks: dict[Any, Any], stacks_of: Callable[[Path], dict[Any, Any]]
) -> None:
    # Without the account id the guard of the account would let any account pass.
    shutil.copytree(CONFIG, tmp_path / "config")
    path = tmp_path / "config" / "prod" / "scaling.yaml"
    steps = "{cpu_steps: {steps: [[60, 10]]}}"
    path.write_text(f"{path.read_text()}\nsceptre_user_data:\n  policy_lab: {steps}\n")
    data = stacks_of(tmp_path)["prod", "scaling"].user_data
    assert data["policy_lab"] == {"cpu_steps": {"steps": [[60, 10]]}}
    before = stacks["prod", "scaling"].user_data
    assert {key: data[key] for key in before} == before
    assert "account_id" in before
