"""The verification's load: beyond what one task fewer carries, within what all carry."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from runbook.capacity.curve import CapacityCurve, CountCurve
from runbook.environment import Environment
from runbook.errors import InputInvalid
from runbook.verify import plan_verification
from runbook.verify.plan import carried_rps


def count(tasks: int, rate: float) -> CountCurve:
    return CountCurve(tasks, (), (), rate, rate, rate, False, 0.7, 70, 0.0025, 1, 40, None)


CURVE = CapacityCurve(
    "shop", "local", "r", datetime(2026, 1, 1, tzinfo=UTC), 256, 20.0, 10, "x", 0.95,
    (count(1, 70.0), count(3, 90.0)),
)  # fmt: skip
LOCAL = Environment("local", "shop", "eu-west-1", "", 10, Path(), Path())


@pytest.mark.parametrize("tasks", [2, 3, 4])
def test_the_highest_rate_needs_exactly_that_many_tasks(tasks: int) -> None:
    plan = plan_verification(LOCAL, CURVE, tasks_needed=tasks)
    assert carried_rps(CURVE, tasks - 1) < plan.highest_rps < carried_rps(CURVE, tasks)


def test_between_measured_counts_the_rate_per_task_is_interpolated() -> None:
    assert carried_rps(CURVE, 2) == pytest.approx(2 * 80.0)
    assert carried_rps(CURVE, 5) == pytest.approx(5 * 90.0)


def test_it_begins_and_ends_within_one_task() -> None:
    plan = plan_verification(LOCAL, CURVE)
    assert plan.segments[0].start_rps < 70.0
    assert plan.segments[-1].end_rps < 70.0
    assert plan.rise_at_s == 20.0
    assert plan.fall_at_s < plan.duration_s


def test_the_rise_and_the_fall_lie_on_period_boundaries() -> None:
    plan = plan_verification(LOCAL, CURVE)
    assert plan.rise_at_s % 10 == plan.fall_at_s % 10 == 0


def test_one_task_needs_no_verification() -> None:
    with pytest.raises(InputInvalid, match="choose at least 2"):
        plan_verification(LOCAL, CURVE, tasks_needed=1)


def test_the_plan_reads_as_lines() -> None:
    lines = plan_verification(LOCAL, CURVE).describe()
    assert lines[1] == "base: 42 requests/s for 20 s"
    assert lines[-1].endswith("until the service has scaled in")
