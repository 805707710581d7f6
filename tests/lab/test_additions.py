"""What stands below `policy_lab`: read into policies, or refused."""

import dataclasses
from datetime import time
from functools import partial
from typing import Any

import pytest

from runbook.errors import InputInvalid
from runbook.lab.additions import Additions, cpu_steps_in, read_additions
from runbook.lab.policy import Policy, Predictive, Scheduled
from runbook.lab.words import words
from runbook.scaling.alarms import AlarmRule
from runbook.scaling.step_scaling import capacity_after


def test_nothing_adds_nothing() -> None:
    assert read_additions("mine", {}) == Additions()


def test_a_forecast_and_a_schedule_are_read() -> None:
    found = read_additions(
        "mine",
        {
            "predictive": {"requests_per_target": 2400, "buffer_s": 600},
            "schedule": [{"at": "07:30", "weekdays": [0, 4], "min_tasks": 3}],
        },
    )
    assert found.predictive == Predictive(2400.0, 600.0)
    assert found.schedule == (Scheduled(time(7, 30), (0, 4), 3, None),)
    assert found.stepped == ()


@pytest.mark.parametrize("period_s", [25, 30, 90])
def test_a_period_that_ecs_has_no_metric_of_is_refused(period_s: int) -> None:
    extra = {"cpu_steps": {"period_s": period_s, "steps": [[60, 10]]}}
    with pytest.raises(InputInvalid, match="give 20 or a multiple of 60"):
        read_additions("mine", extra)


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        # Without quotes YAML reads 22:00 as 1320.
        ({"schedule": [{"at": 1320, "min_tasks": 1}]}, "at is 1320; give a time of day in UTC, q"),
        ({"schedule": [{"at": "07:00+02:00", "min_tasks": 1}]}, "at is '07:00.02:00'"),
        ({"schedule": [{"at": "07:00:45", "min_tasks": 1}]}, "at is '07:00:45'"),
        ({"schedule": [{"at": "07:00"}]}, "give one of them or both"),
        ({"schedule": [{"at": "07:00", "min_tasks": 9, "max_tasks": 3}]}, "not above the maximum"),
        ({"schedule": [{"at": "07:00", "min_tasks": 9, "weekdays": []}]}, "weekdays is ."),
        ({"cpu_steps": {"steps": ["61"]}}, "give 1 to 20 pairs"),
        ({"cpu_steps": {}}, "steps is None"),
        ({"predictive": {}}, "requests_per_target is None"),
        ({"cpu_steps": {"period_s": 3540, "periods": 30, "steps": [[60, 10]]}}, "86400 s at most"),
        ({"cpu_steps": {"steps": [[60, 1e300]]}}, "add_pct is 1e.300"),
        ({"cpu_steps": {"steps": [[60, 10**400]]}}, "add_pct is 1000"),
        ({"cpu_steps": {"steps": [[60, 10], [60.00000001, 20]]}}, "no interval"),
        ({"cpu_steps": {"cooldown_s": 40.7, "steps": [[60, 10]]}}, "give a whole number"),
        ({"predictive": {"requests_per_target": 9, "buffer_s": 0.5}}, "give a whole number"),
    ],
)
def test_what_would_launch_as_something_else_is_refused(extra: dict[str, Any], why: str) -> None:
    with pytest.raises(InputInvalid, match=why):
        read_additions("mine", extra)


def test_steps_at_the_same_edge_are_refused() -> None:
    with pytest.raises(InputInvalid, match="no interval"):
        read_additions("mine", {"cpu_steps": {"steps": [[60, 10], [60, 20]]}})


def test_steps_in_remove_tasks_below_and_say_so() -> None:
    extra = {"cpu_steps_in": {"period_s": 20, "periods": 6, "steps": [[30, 40], [55, 10]]}}
    (step,) = read_additions("mine", extra).stepped
    rule = step.rule
    assert (rule.comparison, rule.threshold, rule.evaluation_periods) == (
        "LessThanThreshold",
        55,
        6,
    )
    after = partial(
        capacity_after, step.policy, threshold=55.0, comparison=rule.comparison, capacity=20
    )
    assert [after(cpu) for cpu in (56.0, 54.0, 31.0, 30.0, 3.0)] == [None, 18, 18, 12, 12]
    told = words(Policy("in", stepped=(step,)))
    assert told == "-40 % tasks under CPU 30 %, -10 % tasks under CPU 55 % (20 s metrics)"


@pytest.mark.parametrize(
    "changes", [{"metric": "p95"}, {"rule": AlarmRule("GreaterThanThreshold", 55.0, 6)}]
)
def test_tasks_are_removed_by_low_cpu_alone(changes: dict[str, Any]) -> None:
    step = dataclasses.replace(cpu_steps_in(20, 6, 60.0, [[55, 10]]), **changes)
    with pytest.raises(InputInvalid, match="only removes some below one on CPU"):
        Policy("in", stepped=(step,))
