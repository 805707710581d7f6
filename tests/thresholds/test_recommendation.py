"""Thresholds from a curve: the worst bound in range, headroom, bounds on MaxTasks, reasons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runbook.capacity.curve import CapacityCurve, ModelReport, PredictedCount
from runbook.errors import InputInvalid, MeasurementVoid
from runbook.thresholds import Constraints, Recommendation, diff, recommend, story

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
    assert found.values()["P95CpuFloor"] == 48
    # The calmest step, 40 requests/s, had 42 %, the next one 62 %.
    assert _reasons(found)["P95CpuFloor"].startswith(
        "80% of CpuTarget: below it p95 was at most 4.0 ms"
    )


def test_only_counts_that_can_run_decide(curve: CapacityCurve) -> None:
    found = recommend(curve, Constraints(min_tasks=3), CURRENT)
    assert found.values()["RequestsPerTarget"] == pytest.approx(86 * 60 / 1.2, abs=10)
    assert "c_SLO(3)" in str(found.thresholds[0].evidence)


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


@pytest.mark.parametrize(
    ("constraints", "maximum", "words"),
    [
        (Constraints(memory_mib=8192, memory_per_task_mib=1024), 4, "8192 MiB"),
        (Constraints(subnet_addresses=25), 12, "25 free subnet addresses"),
        (Constraints(vcpu_quota=6), 12, "quota of 6 vCPU, 0.25 a task"),
        (Constraints(vcpu_quota=6, subnet_addresses=14, max_tasks=9), 7, "14 free subnet"),
    ],
)
def test_memory_addresses_and_quota_bound_the_maximum(
    curve: CapacityCurve, constraints: Constraints, maximum: int, words: str
) -> None:
    found = recommend(curve, constraints, CURRENT)
    item = {t.name: t for t in found.thresholds}["MaxTasks"]
    assert item.value == maximum
    assert words in item.reason
    # The bounds that did not decide are reported with the recommendation.
    assert sum("would be bounded to" in line for line in found.findings) == len(
        [v for v in (constraints.vcpu_quota, constraints.max_tasks) if v]
    ) - (words == "quota of 6 vCPU, 0.25 a task")


def test_what_was_only_read_lowers_the_maximum_and_never_raises_it(curve: CapacityCurve) -> None:
    read = frozenset({"subnet_addresses", "vcpu_quota"})
    roomy = Constraints(subnet_addresses=250, vcpu_quota=60, read=read)
    found = recommend(curve, roomy, CURRENT)
    assert found.values()["MaxTasks"] == 4
    assert any("125 tasks would fit: 250 free subnet addresses" in f for f in found.findings)
    # With the database's connections asked for, too, those decide as before.
    asked = replace(roomy, database_connections=100)
    assert recommend(curve, asked, CURRENT).values()["MaxTasks"] == 10
    tight = Constraints(subnet_addresses=6, read=read)
    assert recommend(curve, tight, CURRENT).values()["MaxTasks"] == 3


def test_a_bound_below_the_minimum_is_refused(curve: CapacityCurve) -> None:
    with pytest.raises(InputInvalid, match="only 0 can: 8 database connections"):
        recommend(curve, Constraints(database_connections=8), CURRENT)


def test_slow_starters_need_more_headroom(curve: CapacityCurve) -> None:
    found = recommend(curve, Constraints(startup_s=50), CURRENT)
    # 3 periods to the alarm and 5 to start: 70 x 60 / 1.4
    assert found.values()["RequestsPerTarget"] == 3000


def test_a_predicted_count_within_the_range_can_be_the_worst(curve: CapacityCurve) -> None:
    predicted = (PredictedCount(2, 82.0, 80.0, 84.0),)
    model = ModelReport(1.0, 0.2, {}, 1.0, "", (), predicted)
    found = recommend(replace(curve, model=model), Constraints(min_tasks=2), CURRENT)
    assert found.values()["RequestsPerTarget"] == 4000
    assert any("c_SLO(2) was not measured" in line for line in found.findings)
    how_sure = story(replace(curve, model=model), found).set_index("threshold")["how sure"]
    assert "a prediction" in how_sure["RequestsPerTarget"]


@pytest.mark.parametrize("low", [0.0, -20.0, float("nan"), 0.01])
def test_an_absurd_capacity_recommends_nothing(curve: CapacityCurve, low: float) -> None:
    counts = tuple(replace(count, lo_per_task_rps=low) for count in curve.counts)
    with pytest.raises(MeasurementVoid, match="No threshold can be recommended"):
        recommend(replace(curve, counts=counts), Constraints(), CURRENT)


def test_a_service_that_cpu_does_not_limit_keeps_a_sane_cpu_target(curve: CapacityCurve) -> None:
    idle = tuple(replace(c, cpu_s_per_request=1e-5, cpu_idle_pct=1.0) for c in curve.counts)
    found = recommend(replace(curve, counts=idle), Constraints(), CURRENT)
    assert found.values()["CpuTarget"] == 10
    assert any("CPU does not limit this service" in line for line in found.findings)
    costly = tuple(replace(c, cpu_s_per_request=0.01) for c in curve.counts)
    found = recommend(replace(curve, counts=costly), Constraints(), CURRENT)
    assert (found.values()["CpuTarget"], found.values()["P95CpuFloor"]) == (90, 72)
    reason = _reasons(found)["CpuTarget"]
    assert reason.startswith("the most that makes sense; the CPU measured at that rate is 235.3 %")


def test_the_step_can_fire_where_cpu_does_not_limit_the_service(curve: CapacityCurve) -> None:
    """The floor lies below the CPU at c_SLO, whatever CpuTarget is kept at."""
    light = tuple(replace(c, cpu_s_per_request=1.2e-4, cpu_idle_pct=0.5) for c in curve.counts)
    light_curve = replace(curve, counts=light)
    at_c_slo_pct = light[0].cpu_pct_at(light[0].lo_per_task_rps, curve.share_cores)
    assert 3.5 < at_c_slo_pct < 4.5
    found = recommend(light_curve, Constraints(), CURRENT)
    assert found.values()["CpuTarget"] == 10
    # 0.5 % + 58.33 requests/s x 0.12 ms / 0.25 cores = 3.3 %, of that 80 %
    assert found.values()["P95CpuFloor"] == 2 < at_c_slo_pct
    reasons = _reasons(found)
    assert reasons["CpuTarget"].startswith(
        "the least that makes sense; the CPU measured at that rate is 3.3 %: 0.12 ms a request"
    )
    assert reasons["P95CpuFloor"].startswith("80% of the CPU at that rate, 3.3 %")
    # The calmest step had 40 requests/s, 2.4 %: nothing is claimed of what lies below 2 %.
    assert "not for want of tasks" not in reasons["P95CpuFloor"]
    assert "no step of the load test was less busy" in reasons["P95CpuFloor"]


def test_a_floor_of_nothing_says_so(curve: CapacityCurve) -> None:
    tiny = tuple(replace(c, cpu_s_per_request=1e-6, cpu_idle_pct=0.5) for c in curve.counts)
    tiny_curve = replace(curve, counts=tiny)
    found = recommend(tiny_curve, Constraints(), CURRENT)
    assert found.values()["P95CpuFloor"] == 0
    assert "too little to tell busy from idle" in _reasons(found)["P95CpuFloor"]
    told = story(tiny_curve, found).set_index("threshold")["how it came to be"]["P95CpuFloor"]
    assert "adds no tasks" not in told


def _reasons(found: Recommendation) -> dict[str, str]:
    return {item.name: item.reason for item in found.thresholds}


def test_a_wide_interval_is_called_weak(curve: CapacityCurve) -> None:
    wide = (replace(curve.counts[0], lo_per_task_rps=35.6, hi_per_task_rps=69.8),)
    found = recommend(replace(curve, counts=wide), Constraints(), CURRENT)
    assert any(line.startswith("weak: c_SLO(1)") for line in found.findings)


def test_the_story_tells_in_words_where_each_number_comes_from(curve: CapacityCurve) -> None:
    told = story(curve, recommend(curve, Constraints(), CURRENT)).set_index("threshold")
    came = told["how it came to be"]["RequestsPerTarget"]
    assert "95 of 100 requests are answered within 20 ms up to" in came
    assert told["how sure"]["RequestsPerTarget"].startswith("sure: c_SLO is known to within ±6%")
    assert told["how sure"]["MaxTasks"] == "not measured: it is a decision"


def test_the_story_tells_how_the_interval_was_made(curve: CapacityCurve) -> None:
    """Blocks are named where blocks were drawn, and the model's error where it has weight."""
    drawn = _how_sure(curve)
    assert "by the logistic fit: steps and the blocks of time within them drawn again" in drawn
    assert "40 blocks near it" in drawn
    model = ModelReport(1.0, 0.2, {}, 1.0, "", (), (), error_pct=9.9)
    counts = tuple(replace(c, method="logistic fit and queueing model") for c in curve.counts)
    both = _how_sure(replace(curve, counts=counts, model=model))
    assert "an error of 10 %, which it had in predicting task counts that were held back" in both
    # A curve of before: its interval was made by drawing whole steps, whatever its blocks.
    older = tuple(replace(c, method="queueing model") for c in curve.counts)
    told = _how_sure(replace(curve, counts=older, model=replace(model, error_pct=None)))
    assert "whole steps drawn" in told
    assert "blocks" not in told


def _how_sure(curve: CapacityCurve) -> str:
    told = story(curve, recommend(curve, Constraints(), CURRENT)).set_index("threshold")
    return str(told["how sure"]["RequestsPerTarget"])
