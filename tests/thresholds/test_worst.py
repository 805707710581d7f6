"""The worst bound over the counts that may run, also where nobody measured them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runbook.capacity.curve import CapacityCurve, ModelReport, PredictedCount
from runbook.capacity.scalability import Scalability, fit_usl
from runbook.errors import InputInvalid
from runbook.thresholds import Constraints, recommend
from runbook.thresholds.worst import worst_bound

CURRENT = {"MinTasks": 1.0, "MaxTasks": 4.0}
EXAMPLE = Path(__file__).parents[2] / "examples" / "capacity_curve.json"


@pytest.fixture
def falling() -> CapacityCurve:
    """The shipped curve under a law that falls: contention 5 %, coherency 0.2 %, at best 22."""
    law = Scalability(60.0, 0.05, 0.002, 0.0, 1.0, (1, 3))
    return replace(CapacityCurve.load(EXAMPLE), scalability=law)


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


def test_no_contention_is_claimed_only_where_the_counts_show_it(curve: CapacityCurve) -> None:
    def assumed(given: CapacityCurve) -> str:
        _, _, findings = worst_bound(given, Constraints(), CURRENT)
        (line,) = (line for line in findings if "is assumed not to fall" in line)
        return line

    flat = replace(curve, scalability=fit_usl({1: 75.0, 3: 89.0}))
    assert assumed(flat).endswith("and the counts measured show no contention")
    lone = replace(curve, counts=curve.counts[:1])
    # The other count is a lower bound, which the law leaves out.
    bounded = replace(curve, counts=(curve.counts[0], replace(curve.counts[1], censored=True)))
    for given in (lone, bounded):
        assert "contention cannot be told from one count: measure another count" in assumed(given)
        assert "show no contention" not in assumed(given)
    never = replace(curve, counts=tuple(replace(c, censored=True) for c in curve.counts))
    assert "contention cannot be told from lower bounds" in assumed(never)
    # A curve of before has counts and no law.
    assert "no scalability law, so contention cannot be told" in assumed(curve)


def test_beyond_what_was_measured_contention_goes_on(curve: CapacityCurve) -> None:
    law = fit_usl({1: 100.0, 3: 86.0})
    contended = replace(curve, scalability=law)
    few = Constraints(min_tasks=3, max_tasks=12)
    worst, most, findings = worst_bound(contended, few, CURRENT)
    assert law is not None
    assert worst.lo_per_task_rps == pytest.approx(86.0 * (law.total_rps(12) / 12) / 86.0)
    assert most.tasks == 12
    assert any("by the scalability law each of 12 carries" in line for line in findings)


@pytest.mark.parametrize("peak_rps", [100, 300, 400])
def test_what_a_peak_needs_follows_from_what_so_many_tasks_carry(
    falling: CapacityCurve, peak_rps: float
) -> None:
    """Each larger MaxTasks lowers the bound: the one recommended still carries the peak."""
    constraints = Constraints(expected_peak_rps=peak_rps)
    headroom = constraints.headroom(falling.period_s)
    worst, most, findings = worst_bound(falling, constraints, CURRENT)
    assert most.tasks * worst.lo_per_task_rps * headroom >= peak_rps
    assert not any("cannot be carried" in line for line in findings)
    # One fewer would not.
    fewer = replace(constraints, expected_peak_rps=None, max_tasks=most.tasks - 1)
    worst, most, _ = worst_bound(falling, fewer, CURRENT)
    assert most.tasks * worst.lo_per_task_rps * headroom < peak_rps


@pytest.mark.parametrize(("connections", "tasks"), [(None, 22), (600, 22), (100, 10)])
def test_a_peak_that_no_number_of_tasks_carries_is_a_finding(
    falling: CapacityCurve, connections: int | None, tasks: int
) -> None:
    """Beyond the law's best, 22, more tasks carry less: MaxTasks stays there, or at what fits."""
    constraints = Constraints(expected_peak_rps=1000, database_connections=connections)
    worst, most, findings = worst_bound(falling, constraints, CURRENT)
    total_rps = tasks * worst.lo_per_task_rps * constraints.headroom(falling.period_s)
    assert most.tasks == tasks
    assert "is more than any number of tasks carries" in most.why
    (line,) = (line for line in findings if "cannot be carried" in line)
    assert line.startswith("A peak of 1000 requests/s cannot be carried by more tasks")
    assert f"{tasks} tasks carry {total_rps:.0f} requests/s" in line
    assert "never more than 408" in line
    assert "runbook run 20_load_test" in line


def test_a_peak_that_fewer_tasks_carry_than_were_measured_is_no_finding(
    curve: CapacityCurve,
) -> None:
    """Twenty carry 200 requests/s in all and the law falls from there; four carry 360."""
    rates_rps = {1: 100.0, 4: 90.0, 20: 10.0}
    counts = tuple(
        replace(curve.counts[0], tasks=tasks, lo_per_task_rps=rate)
        for tasks, rate in rates_rps.items()
    )
    retrograde = replace(curve, counts=counts, scalability=fit_usl(rates_rps))
    worst, most, findings = worst_bound(retrograde, Constraints(expected_peak_rps=250), CURRENT)
    assert (most.tasks, worst.lo_per_task_rps) == (4, 90.0)
    assert not any("cannot be carried" in line for line in findings)
    _, most, findings = worst_bound(retrograde, Constraints(expected_peak_rps=900), CURRENT)
    assert most.tasks == 4
    assert any("cannot be carried" in line for line in findings)


def test_contention_alone_has_no_best_count_and_an_end(falling: CapacityCurve) -> None:
    """Without coherency more tasks always carry more, but never the limit: as configured."""
    law = Scalability(60.0, 0.3, 0.0, 0.0, 1.0, (1, 3))
    limited = replace(falling, scalability=law)
    _, most, findings = worst_bound(limited, Constraints(expected_peak_rps=280), CURRENT)
    assert most.tasks == 4
    assert any("more of them never more than 264" in line for line in findings)
    _, most, _ = worst_bound(limited, Constraints(expected_peak_rps=260), CURRENT)
    assert most.tasks == 140


def test_a_doubted_model_predicts_nothing(curve: CapacityCurve) -> None:
    predicted = (PredictedCount(2, 82.0, 80.0, 84.0),)
    doubted = ModelReport(1.0, 0.2, {}, 1.0, "it contradicts the steps", (), predicted)
    worst, _, _ = worst_bound(replace(curve, model=doubted), Constraints(min_tasks=2), CURRENT)
    assert worst.lo_per_task_rps == 70.0
