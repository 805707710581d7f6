"""Step scaling beyond the documentation's examples (see test_documentation); validation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.scaling.errors import PolicyError
from runbook.scaling.semantics import Semantics
from runbook.scaling.step_scaling import (
    StepAdjustment,
    StepScalingPolicy,
    aggregate,
    capacity_after,
    select_step,
)

# Application Auto Scaling user guide, "How step scaling works": threshold 50 percent.
OUT = StepScalingPolicy(
    "out",
    (StepAdjustment(0, 10, 0), StepAdjustment(10, 20, 10), StepAdjustment(20, None, 30)),
    "PercentChangeInCapacity",
)
IN = StepScalingPolicy(
    "in",
    (StepAdjustment(-10, 0, 0), StepAdjustment(-20, -10, -10), StepAdjustment(None, -20, -30)),
    "PercentChangeInCapacity",
)


@pytest.mark.parametrize("metric", [50.0, 55.0, 59.999])
def test_capacity_is_kept_between_the_thresholds_above(metric):
    assert capacity_after(OUT, metric, 50.0, "GreaterThanThreshold", 10) == 10


@pytest.mark.parametrize("metric", [50.0, 45.0, 40.001])
def test_capacity_is_kept_between_the_thresholds_below(metric):
    assert capacity_after(IN, metric, 50.0, "LessThanThreshold", 10) == 10


@pytest.mark.parametrize(
    ("kind", "adjustment", "capacity"),
    [
        ("ChangeInCapacity", 5, 8),
        ("ChangeInCapacity", -5, 0),
        ("ExactCapacity", 5, 5),
        ("PercentChangeInCapacity", 100, 6),
    ],
)
def test_adjustment_types(kind, adjustment, capacity):
    policy = StepScalingPolicy("p", (StepAdjustment(0, None, adjustment),), kind)
    assert capacity_after(policy, 51.0, 50.0, "GreaterThanThreshold", 3) == capacity


def test_minimum_magnitude_only_counts_for_percent():
    steps = (StepAdjustment(0, None, 25),)
    percent = StepScalingPolicy("p", steps, "PercentChangeInCapacity", min_adjustment_magnitude=2)
    assert capacity_after(percent, 51.0, 50.0, "GreaterThanThreshold", 4) == 6
    plain = StepScalingPolicy("p", (StepAdjustment(0, None, 1),), min_adjustment_magnitude=2)
    assert capacity_after(plain, 51.0, 50.0, "GreaterThanThreshold", 4) == 5


def test_no_step_fits_below_the_lowest_bound():
    assert capacity_after(OUT, 49.0, 50.0, "GreaterThanThreshold", 10) is None


@pytest.mark.parametrize(
    ("kind", "value"), [("Average", 30.0), ("Minimum", 20.0), ("Maximum", 40.0)]
)
def test_aggregation(kind, value):
    policy = StepScalingPolicy("p", (StepAdjustment(0, None, 1),), aggregation=kind)
    assert aggregate(policy, (20.0, 40.0)) == value
    assert aggregate(policy, ()) is None
    assert aggregate(policy, (20.0, 40.0), Semantics(step_aggregation_window="newest")) == 40.0


def test_policy_from_an_api_answer():
    policy = StepScalingPolicy.from_api(
        "p95",
        {
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
            "Cooldown": 30,
            "MetricAggregationType": "Maximum",
        },
    )
    assert policy == StepScalingPolicy(
        "p95", (StepAdjustment(0.0, None, 1),), cooldown_s=30.0, aggregation="Maximum"
    )
    bare = StepScalingPolicy.from_api(
        "bare",
        {
            "AdjustmentType": "PercentChangeInCapacity",
            "StepAdjustments": [{"MetricIntervalUpperBound": 0, "ScalingAdjustment": -10}],
            "MinAdjustmentMagnitude": 1,
        },
    )
    assert (bare.cooldown_s, bare.aggregation, bare.min_adjustment_magnitude) == (300, "Average", 1)


@pytest.mark.parametrize(
    ("steps", "changes", "named"),
    [
        ([], {}, "no step"),
        ([(None, None)], {}, "no interval"),
        ([(10, 0)], {}, "no interval"),
        ([(0, 10), (20, None)], {}, "gap"),
        ([(0, 20), (10, None)], {}, "overlap"),
        ([(None, 0), (None, 10)], {}, "overlap"),
        ([(0, None), (10, None)], {}, "overlap"),
        ([(-10, 0)], {}, "negative"),
        ([(0, 10)], {}, "positive"),
        ([(0, None)], {"adjustment_type": "ExactCapacity"}, "exact capacity"),
        ([(0, None)], {"adjustment_type": "Percent"}, "adjustment type"),
        ([(0, None)], {"aggregation": "Sum"}, "aggregation"),
        ([(0, None)], {"cooldown_s": -1.0}, "cooldown"),
        ([(0, None)], {"min_adjustment_magnitude": -1}, "magnitude"),
    ],
)
def test_refused_policies_say_why(steps, changes, named):
    adjustments = tuple(StepAdjustment(low, high, -1) for low, high in steps)
    with pytest.raises(PolicyError, match=named):
        StepScalingPolicy("p", adjustments, **changes)


@st.composite
def step_policies(draw):
    """A scale-out policy whose adjustments grow with the breach."""
    inner = sorted(draw(st.sets(st.integers(1, 100), max_size=4)))
    sizes = sorted(draw(st.lists(st.integers(0, 50), min_size=len(inner) + 1, max_size=5)))
    bounds = [0, *inner, None]
    steps = tuple(
        StepAdjustment(low, high, size)
        for low, high, size in zip(bounds, bounds[1:], sizes, strict=False)
    )
    kind = draw(st.sampled_from(["ChangeInCapacity", "PercentChangeInCapacity"]))
    return StepScalingPolicy("p", steps, kind)


@given(step_policies(), st.floats(0, 200), st.floats(0, 200), st.integers(0, 100))
def test_a_larger_breach_never_gives_fewer_tasks(policy, one, other, capacity):
    low, high = (50.0 + breach for breach in sorted((one, other)))
    before = capacity_after(policy, low, 50.0, "GreaterThanThreshold", capacity)
    after = capacity_after(policy, high, 50.0, "GreaterThanThreshold", capacity)
    assert before is not None
    assert after is not None
    assert capacity <= before <= after


@given(step_policies(), st.floats(0, 1e6))
def test_above_the_threshold_exactly_one_step_fits(policy, breach):
    chosen = select_step(policy, 50.0 + breach, 50.0, "GreaterThanThreshold")
    fitting = [
        step
        for step in policy.steps
        if 50.0 + (step.lower or 0) <= 50.0 + breach
        and (step.upper is None or 50.0 + breach < 50.0 + step.upper)
    ]
    assert [chosen] == fitting
