"""Thresholds from a curve: the worst bound in range, headroom, bounds on MaxTasks, reasons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runbook.capacity.curve import CapacityCurve
from runbook.errors import InputInvalid
from runbook.thresholds import Constraints, Recommendation, diff, recommend

CURRENT = {"RequestsPerTarget": 12000.0, "CpuTarget": 70.0, "MinTasks": 1.0, "MaxTasks": 4.0}


def test_requests_per_target_is_the_worst_bound_a_minute_with_headroom(
    curve: CapacityCurve,
) -> None:
    found = recommend(curve, Constraints(growth_pct_per_period=5, reaction_periods=4), CURRENT)
    # 70 requests/s x 60 s / (1 + 4 x 5 %) = 3500
    assert found.values()["RequestsPerTarget"] == 3500
    # 2 % idle + 58.33 requests/s x 2.5 ms / 0.25 cores = 60.3 %
    assert found.values()["CpuTarget"] == 60
    assert found.values()["P95StepThresholdS"] == pytest.approx(0.020)
    assert found.values()["P95CpuFloor"] < found.values()["CpuTarget"]


def test_only_counts_that_can_run_decide(curve: CapacityCurve) -> None:
    found = recommend(curve, Constraints(min_tasks=2), CURRENT)
    assert found.values()["RequestsPerTarget"] == pytest.approx(86 * 60 / 1.2, abs=10)
    assert "c_SLO(3)" in str(found.thresholds[0].evidence)
    with pytest.raises(InputInvalid, match="none within"):
        recommend(curve, Constraints(min_tasks=4), CURRENT)


def test_every_number_has_a_reason_and_measured_ones_their_run(curve: CapacityCurve) -> None:
    found = recommend(curve, Constraints(), CURRENT)
    assert all(item.reason for item in found.thresholds)
    by_name = {item.name: item for item in found.thresholds}
    for name in ("RequestsPerTarget", "CpuTarget", "P95CpuFloor"):
        assert str(by_name[name].evidence).startswith("run 20261123-120000, 2026-11-23: c_SLO(1) ")
    assert by_name["RequestsPerTarget"].changed
    assert not by_name["MaxTasks"].changed
    assert by_name["P95StepThresholdS"].before is None
    assert any(line.startswith("RequestsPerTarget 3500") for line in found.findings)


@pytest.mark.parametrize(
    ("constraints", "maximum", "words"),
    [
        (Constraints(), 4, "kept as configured"),
        (Constraints(max_tasks=3), 3, "the bound asked for"),
        (Constraints(expected_peak_rps=290), 5, "needs 5 tasks"),
        (Constraints(database_connections=100, connections_per_task=5), 10, "100 database"),
        (Constraints(database_connections=100, max_tasks=6), 6, "asked for"),
    ],
)
def test_max_tasks_is_bounded(
    curve: CapacityCurve, constraints: Constraints, maximum: int, words: str
) -> None:
    item = {t.name: t for t in recommend(curve, constraints, CURRENT).thresholds}["MaxTasks"]
    assert item.value == maximum
    assert words in item.reason


def test_a_peak_beyond_the_stores_connections_is_said(curve: CapacityCurve) -> None:
    tight = Constraints(expected_peak_rps=1000, database_connections=60)
    found = recommend(curve, tight, CURRENT)
    assert found.values()["MaxTasks"] == 6
    assert any("needs 18 tasks, but MaxTasks is bounded to 6" in line for line in found.findings)


def test_a_lower_bound_is_called_one(curve: CapacityCurve) -> None:
    count = replace(curve.counts[0], censored=True, hi_per_task_rps=None)
    found = recommend(replace(curve, counts=(count,)), Constraints(), CURRENT)
    assert any("is a lower bound" in line for line in found.findings)
    assert ">= 70.0" in str(found.thresholds[0].evidence)


@pytest.mark.parametrize("bad", [{"max_tasks": 0}, {"min_tasks": 3, "max_tasks": 2}])
def test_constraints_that_contradict_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(InputInvalid, match="cannot be met"):
        Constraints(**bad)


def test_the_file_and_the_table(curve: CapacityCurve, tmp_path: Path) -> None:
    found = recommend(curve, Constraints(), CURRENT)
    assert Recommendation.load(found.save(tmp_path / "recommendation.json")) == found
    table = diff(found).split("\n")
    assert table[0].split()[:3] == ["threshold", "before", "after"]
    assert table[1].split()[:3] == ["RequestsPerTarget", "12000", "3500"]
    (tmp_path / "recommendation.json").write_text("{}")
    with pytest.raises(InputInvalid, match="is no recommendation"):
        Recommendation.load(tmp_path / "recommendation.json")
