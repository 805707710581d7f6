"""The worst bound over the counts that may run, also where nobody measured them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runbook.capacity.curve import CapacityCurve, ModelReport, PredictedCount
from runbook.capacity.scalability import fit_usl
from runbook.errors import InputInvalid
from runbook.thresholds import Constraints, recommend
from runbook.thresholds.worst import worst_bound

CURRENT = {"MinTasks": 1.0, "MaxTasks": 4.0}
EXAMPLE = Path(__file__).parents[2] / "examples" / "capacity_curve.json"


def test_a_count_between_two_measured_ones_rests_on_the_worse_of_them(curve: CapacityCurve) -> None:
    """One and three were measured: two may be as bad as one, not as good as three."""
    worst, _, findings = worst_bound(curve, Constraints(min_tasks=2), CURRENT)
    assert (worst.count.tasks, worst.lo_per_task_rps) == (1, 70.0)
    assert any(line.startswith("2 tasks were neither measured nor predicted") for line in findings)
    # A service whose tasks hold each other back: then three are the worse.
    three = replace(curve.counts[1], lo_per_task_rps=50.0)
    held_back = replace(curve, counts=(curve.counts[0], three))
    worst, _, _ = worst_bound(held_back, Constraints(min_tasks=2), CURRENT)
    assert worst.lo_per_task_rps == 50.0


def test_the_shipped_curve_has_no_model_and_two_tasks_rest_on_one() -> None:
    found = recommend(CapacityCurve.load(EXAMPLE), Constraints(min_tasks=2), CURRENT)
    assert found.values()["RequestsPerTarget"] == 2140
    assert any("2 tasks were neither measured nor predicted" in line for line in found.findings)
    assert "the bound for 2 tasks" in found.thresholds[0].reason


def test_below_what_was_measured_nothing_is_recommended(curve: CapacityCurve) -> None:
    three = replace(curve, counts=(curve.counts[1],))
    with pytest.raises(InputInvalid, match="fewer than 3 were not measured"):
        recommend(three, Constraints(min_tasks=1), CURRENT)
    assert recommend(three, Constraints(min_tasks=3), CURRENT).values()["RequestsPerTarget"] == 4300


def test_beyond_what_was_measured_the_assumption_is_named(curve: CapacityCurve) -> None:
    worst, _, findings = worst_bound(curve, Constraints(min_tasks=3), CURRENT)
    assert worst.lo_per_task_rps == 86.0
    assert any(
        line.startswith("4 tasks were not measured: c_SLO is assumed not to fall beyond 3")
        for line in findings
    )


def test_beyond_what_was_measured_contention_goes_on(curve: CapacityCurve) -> None:
    law = fit_usl({1: 100.0, 3: 86.0})
    contended = replace(curve, scalability=law)
    few = Constraints(min_tasks=3, max_tasks=12)
    worst, most, findings = worst_bound(contended, few, CURRENT)
    assert law is not None
    assert worst.lo_per_task_rps == pytest.approx(86.0 * (law.total_rps(12) / 12) / 86.0)
    assert most.tasks == 12
    assert any("by the scalability law each of 12 carries" in line for line in findings)
    # What a peak needs follows from what so many tasks carry, not from what few do.
    peak = Constraints(min_tasks=3, expected_peak_rps=1500)
    assert (
        worst_bound(contended, peak, CURRENT)[1].tasks > worst_bound(curve, peak, CURRENT)[1].tasks
    )


def test_a_doubted_model_predicts_nothing(curve: CapacityCurve) -> None:
    predicted = (PredictedCount(2, 82.0, 80.0, 84.0),)
    doubted = ModelReport(1.0, 0.2, {}, 1.0, "it contradicts the steps", (), predicted)
    worst, _, _ = worst_bound(replace(curve, model=doubted), Constraints(min_tasks=2), CURRENT)
    assert worst.lo_per_task_rps == 70.0
