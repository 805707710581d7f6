"""scaling.yaml: only numbers and their evidence change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runbook.capacity.curve import CapacityCurve
from runbook.environment import Environment
from runbook.errors import InputInvalid
from runbook.thresholds import (
    Constraints,
    Recommendation,
    current_thresholds,
    current_values,
    recommend,
    scaling_file,
    write_back,
)

FILE = """# Kept: the head of the file.
template:
  type: file

parameters:
  # Tasks at least.
  # from: convention
  MinTasks: 1
  MaxTasks: "4"   # kept: quoted, and a comment behind it

  # Requests per task and MINUTE.
  # from: convention, not measured
  RequestsPerTarget: 12000

  CpuTarget: '70'
  # from: the SLO
  P95StepThresholdS: 0.020
  # from: convention, not measured
  P95CpuFloor: 50
  MetricPeriodS: "{{ sceptre_user_data.metric_period_s }}"
  ScalableResourceId: !stack_output local/service.yaml::ScalableResourceId
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "config" / "local" / "scaling.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(FILE)
    return file


@pytest.fixture
def recommendation(curve: CapacityCurve, path: Path) -> Recommendation:
    return recommend(curve, Constraints(), current_values(path))


def test_numbers_change_with_their_evidence_and_nothing_else_does(
    path: Path, recommendation: Recommendation
) -> None:
    diff = write_back(path, recommendation, dry_run=False)
    evidence = "# from: run 20261123-120000, 2026-11-23: c_SLO(1) 70.0-79.0 requests/s per task"
    after = path.read_text()
    expected = FILE.replace("  RequestsPerTarget: 12000", "  RequestsPerTarget: 3500")
    expected = expected.replace("CpuTarget: '70'", f"{evidence} (95%)\n  CpuTarget: '60'")
    expected = expected.replace("P95CpuFloor: 50", "P95CpuFloor: 48")
    expected = expected.replace("# from: convention, not measured", f"{evidence} (95%)")
    assert after == expected
    assert "-  RequestsPerTarget: 12000" in diff
    assert "+  RequestsPerTarget: 3500" in diff
    assert not [line for line in diff.split("\n") if line[:1] in "+-" and "StepThreshold" in line]


def test_writing_twice_changes_nothing_more(path: Path, recommendation: Recommendation) -> None:
    write_back(path, recommendation, dry_run=False)
    once = path.read_text()
    assert write_back(path, recommendation, dry_run=False) == ""
    assert path.read_text() == once


def test_a_dry_run_shows_the_same_diff_and_writes_nothing(
    path: Path, recommendation: Recommendation
) -> None:
    shown = write_back(path, recommendation, dry_run=True)
    assert path.read_text() == FILE
    assert write_back(path, recommendation, dry_run=False) == shown


def test_what_is_configured_is_told_with_its_origin(
    path: Path, recommendation: Recommendation
) -> None:
    before = {item.name: item for item in current_thresholds(path)}
    assert list(before)[:3] == ["MinTasks", "MaxTasks", "RequestsPerTarget"]
    assert before["RequestsPerTarget"].provenance == "convention, not measured"
    assert before["MaxTasks"].provenance == "not stated"
    assert before["MaxTasks"].value == 4
    assert "MetricPeriodS" not in before
    write_back(path, recommendation, dry_run=False)
    after = {item.name: item for item in current_thresholds(path)}
    assert after["RequestsPerTarget"].measured
    assert after["RequestsPerTarget"].unit == "requests/min per task"
    assert not after["MinTasks"].measured


def test_a_changed_number_without_measurement_tells_its_reason(
    path: Path, curve: CapacityCurve
) -> None:
    two = recommend(curve, Constraints(min_tasks=1, max_tasks=3), current_values(path))
    write_back(path, two, dry_run=False)
    text = path.read_text()
    assert '  # from: the bound asked for\n  MaxTasks: "3"   # kept: quoted' in text


@pytest.mark.parametrize("name", ["local", "dev"])
def test_the_projects_own_files_can_be_read_and_written(
    name: str, tmp_path: Path, curve: CapacityCurve
) -> None:
    project = Path(__file__).resolve().parents[2]
    own = Environment(name, "shop", "eu-west-1", "", 10, project, project / "sceptre")
    copy = Environment(name, "shop", "eu-west-1", "", 10, tmp_path, tmp_path)
    file = scaling_file(copy)
    file.parent.mkdir(parents=True)
    shutil.copy(scaling_file(own), file)
    found = recommend(curve, Constraints(), current_values(copy))
    write_back(file, found, dry_run=False)
    values = current_values(file)
    assert {key: values[key] for key in found.values()} == pytest.approx(found.values())
    assert "!stack_output" in file.read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("parameters: [", "is no YAML"),
        ("template: x\n", "holds no thresholds"),
        ("parameters:\n  MinTasks: 1\n", "has no such parameter"),
        ("parameters:\n  RequestsPerTarget: many\n", "has no number"),
        ("parameters:\n  RequestsPerTarget: 1.2.3\n", "is no number"),
    ],
)
def test_files_that_cannot_be_used_are_refused_and_left_alone(
    path: Path, curve: CapacityCurve, text: str, words: str
) -> None:
    path.write_text(text)
    with pytest.raises(InputInvalid, match=words):
        write_back(path, recommend(curve, Constraints(), {}), dry_run=False)
    assert path.read_text() == text


def test_a_missing_file_is_an_error_with_advice(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="cannot be read"):
        current_thresholds(tmp_path / "nothing.yaml")
