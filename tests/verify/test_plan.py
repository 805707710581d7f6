"""The verification's load: beyond what one task fewer carries, within what all carry."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from runbook.capacity.curve import CapacityCurve, CountCurve
from runbook.errors import InputInvalid
from runbook.load.schedule import rate_at
from runbook.metrics.history import ScalingAlarm
from runbook.verify import VerificationPlan, shape


def count(tasks: int, rate: float) -> CountCurve:
    return CountCurve(tasks, (), (), rate, rate, rate, False, 0.7, 70, 0.0025, 1, 40, None)


CURVE = CapacityCurve(
    "shop", "local", "r", datetime(2026, 1, 1, tzinfo=UTC), 256, 20.0, 10, "x", 0.95,
    (count(1, 70.0), count(3, 90.0)),
)  # fmt: skip
ALARMS = (
    ScalingAlarm("high", "shop-requests", "TargetTrackingScaling", "out", 3500.0, 10, 3),
    ScalingAlarm("low", "shop-requests", "TargetTrackingScaling", "in", 3150.0, 10, 6),
    ScalingAlarm("p95", "shop-p95", "StepScaling", "out", 0.02, 10, 3),
)
VALUES = {"MinTasks": 1.0, "MaxTasks": 4.0, "RequestsPerTarget": 3500.0}


def shaped(tasks_needed: int = 3, load_shape: Any = "rise", **values: float) -> VerificationPlan:
    return shape(
        CURVE,
        {**VALUES, **values},
        ALARMS,
        period_s=10,
        tasks_needed=tasks_needed,
        load_shape=load_shape,
    )


@pytest.mark.parametrize("tasks", [2, 3, 4])
def test_the_peak_asks_for_exactly_that_many_tasks(tasks: int) -> None:
    plan = shaped(tasks)
    assert (tasks - 1) * plan.target_rps < plan.peak_rps < tasks * plan.target_rps


def test_one_task_fewer_would_miss_the_slo_where_the_policy_leaves_room() -> None:
    # Two tasks keep the SLO up to 2 x 80 requests/s (between 70 alone and 90 of three).
    assert shaped(3, RequestsPerTarget=3600).peak_rps > 160


def test_it_begins_and_ends_within_one_task() -> None:
    plan = shaped()
    assert plan.segments[0].start_rps < 58.3
    assert plan.segments[-1].end_rps < 58.3
    assert plan.fall_at_s < plan.duration_s


def test_the_rise_and_the_fall_lie_on_period_boundaries_and_leave_alarms_their_time() -> None:
    plan = shaped()
    assert plan.rise_at_s % 10 == plan.fall_at_s % 10 == 0
    assert plan.fall_at_s - plan.rise_at_s >= 3 * 30
    assert plan.duration_s - plan.fall_at_s > 60
    assert plan.duration_s <= 200


@pytest.mark.parametrize(
    ("tasks", "values", "words"),
    [
        (1, {}, "choose tasks_needed above MinTasks"),
        (5, {}, "choose tasks_needed above MinTasks"),
        (3, {"RequestsPerTarget": 12000.0}, "apply the recommended thresholds first"),
    ],
)
def test_a_load_that_proves_nothing_is_refused(
    tasks: int, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputInvalid, match=words):
        shaped(tasks, **values)


def test_without_policies_there_is_nothing_to_verify() -> None:
    with pytest.raises(InputInvalid, match="0 alarms that scale out"):
        shape(CURVE, VALUES, (), period_s=10, tasks_needed=3)


def test_the_plan_reads_as_lines() -> None:
    lines = shaped().describe()
    assert lines[1] == "hold 41 requests/s, which one task carries, for 10 s"
    assert lines[-1].startswith("take about 3")


@pytest.mark.parametrize("load_shape", ["rise", "surge", "wave"])
def test_every_shape_begins_at_the_base_reaches_the_peak_and_falls(load_shape: str) -> None:
    plan = shaped(load_shape=load_shape)
    at = np.arange(0.0, plan.duration_s, 0.5)
    rates = rate_at(plan.segments, at)
    assert rates.max() == pytest.approx(plan.peak_rps, rel=0.01)
    assert rates[at < plan.rise_at_s].max() == rates[at > plan.fall_at_s].max() == plan.base_rps
    assert plan.fall_at_s - plan.rise_at_s >= 3 * 30
    assert plan.duration_s < 360


def test_a_surge_is_there_at_once_and_a_wave_swings_twice() -> None:
    surge, wave = shaped(load_shape="surge"), shaped(load_shape="wave")
    assert surge.segments[1].start_rps == surge.peak_rps
    rising = [s.end_rps > s.start_rps for s in wave.segments[1:-1]]
    assert sum(now and not before for before, now in pairwise([False, *rising])) == 2
    assert "jump to and hold" in surge.describe()[2]
    assert "swing twice" in wave.describe()[2]


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(InputInvalid, match="choose rise, surge, wave"):
        shaped(load_shape="square")
