"""The scalar core against AWS's worked numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.scaling.arithmetic import (
    percent_change,
    step_index,
    tracked_scale_in,
    tracked_scale_out,
)

counts = st.integers(1, 5000)
metrics = st.floats(0, 1e6)
targets = st.floats(0.001, 1e6)


@pytest.mark.parametrize(
    ("base", "metric", "target", "wanted"),
    [
        # "adding 1.5 instances will decrease the CPU utilization to close to 50 percent ... two"
        (3, 75.0, 50.0, 5),
        (1, 150.0, 50.0, 3),
        (4, 50.0, 50.0, 4),
        (10, 50.001, 50.0, 11),
        (0, 80.0, 50.0, 1),
        # 10 * 1.1 * 50 / 50 is 11.000000000000002 in binary: no twelfth task for that.
        (10, 1.1 * 50.0, 50.0, 11),
    ],
)
def test_scale_out_is_proportional_and_rounds_up(base, metric, target, wanted):
    assert tracked_scale_out(base, metric, target) == wanted


@pytest.mark.parametrize(
    ("base", "metric", "target", "wanted"),
    [
        # "removing 0.5 instances increases your CPU utilization to above 50 percent, we will
        # choose not to scale-in"
        (2, 37.5, 50.0, 2),
        (2, 25.0, 50.0, 1),
        (10, 25.0, 50.0, 5),
        (10, 26.0, 50.0, 6),
        (5, 0.0, 50.0, 0),
        (3, 60.0, 50.0, 3),
    ],
)
def test_scale_in_keeps_the_metric_at_or_below_the_target(base, metric, target, wanted):
    assert tracked_scale_in(base, metric, target, 0.0, 1.0) == wanted


def test_scale_in_can_be_capped_and_kept_off_the_target():
    assert tracked_scale_in(40, 5.0, 50.0, 0.0, 0.1) == 36
    assert tracked_scale_in(3, 5.0, 50.0, 0.0, 0.1) == 2
    assert tracked_scale_in(10, 25.0, 50.0, 0.1, 1.0) == 6


@pytest.mark.parametrize(
    ("capacity", "percent", "minimum", "change"),
    [
        (4, 25, 0, 1),
        (4, -25, 2, -2),
        (10, 0, 2, 0),
        (0, 50, 0, 0),
        (0, 50, 2, 2),
    ],
)
def test_percent_rounding_and_minimum_magnitude(capacity, percent, minimum, change):
    assert percent_change(capacity, percent, minimum) == change


def test_bounds_include_the_threshold_on_the_side_of_the_breach():
    lowers, uppers = [-10.0, 0.0, 10.0], [0.0, 10.0, math.inf]
    at = [step_index(50.0 + d, 50.0, lowers, uppers, True) for d in (-10, -9.9, 0, 9.9, 10)]
    assert at == [-1, 0, 1, 1, 2]
    assert step_index(50.0, 50.0, lowers, uppers, False) == 0


def test_bounds_are_added_to_the_threshold_before_comparing():
    # 0.030 - 0.020 is 0.009999999999999998; the threshold plus the bound is what counts.
    assert step_index(0.03, 0.02, [0.0, 0.01], [0.01, math.inf], True) == 1


@given(counts, metrics, metrics, targets)
def test_a_larger_metric_never_gives_fewer_tasks(base, one, other, target):
    low, high = sorted((one, other))
    assert tracked_scale_out(base, low, target) <= tracked_scale_out(base, high, target)
    assert tracked_scale_in(base, low, target, 0.0, 1.0) <= tracked_scale_in(
        base, high, target, 0.0, 1.0
    )


@given(counts, metrics, targets)
def test_scale_out_suffices_and_wastes_less_than_one_task(base, metric, target):
    wanted = tracked_scale_out(base, metric, target)
    load = base * metric
    # The smallest floats round to zero tasks; that much load is none.
    assert load <= wanted * target * (1 + 1e-8) + 1e-300
    assert (wanted - 1) * target <= load * (1 + 1e-8)


@given(counts, metrics, targets, st.floats(0, 0.2), st.floats(0.01, 1))
def test_scale_in_never_pushes_the_metric_above_the_target(base, metric, target, margin, fraction):
    wanted = tracked_scale_in(base, metric, target, margin, fraction)
    assert 0 <= wanted <= base
    assert base - wanted <= max(1, math.floor(base * fraction + 1e-6))
    if wanted < base and wanted > 0:
        assert base * metric / wanted <= target * (1 - margin) * (1 + 1e-8)
    if wanted == 0:
        assert metric <= target * 1e-8


@given(st.integers(0, 10_000), st.integers(-100, 400), st.integers(0, 20))
def test_percent_change_is_close_to_the_exact_percentage(capacity, percent, minimum):
    change = percent_change(capacity, percent, minimum)
    exact = capacity * percent / 100
    assert change * percent >= 0
    assert abs(change) <= max(abs(exact), 1, minimum)
    if percent and abs(exact) > minimum:
        assert abs(abs(change) - abs(exact)) < 1
