"""Predictive scaling: what a forecast does to the bounds, and what it never does."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.scaling.decision import ScalableTarget, decide
from runbook.scaling.errors import PolicyError
from runbook.scaling.predictive import PredictivePolicy, apply_forecast, forecast_tasks
from runbook.scaling.scheduled import capacity_within
from runbook.scaling.signals import TargetTrackingSignal
from runbook.scaling.state import ScalingState
from runbook.scaling.target_tracking import TargetTrackingPolicy

SCALES = PredictivePolicy("forecast", "ForecastAndScale")
HOUR_S = 3600.0


def test_the_next_hour_counts_from_its_buffer_on():
    hourly = [2, 6, 3]
    moments = [0.0, HOUR_S - 301, HOUR_S - 300, HOUR_S, 2 * HOUR_S - 1, 2 * HOUR_S, 3 * HOUR_S]
    assert [forecast_tasks(SCALES, hourly, at) for at in moments] == [2, 2, 6, 6, 6, 3, 0]


def test_the_floor_holds_a_scale_in_and_lets_a_scale_out_pass():
    target = apply_forecast(ScalableTarget(1, 20), SCALES, 6)
    policy = TargetTrackingPolicy("cpu", 50.0)
    calm = TargetTrackingSignal(policy, "OK", "ALARM", 5.0)
    busy = TargetTrackingSignal(policy, "ALARM", "OK", 100.0)
    assert decide(target, [calm], ScalingState(9, 9), 0.0).new_desired == 6
    assert decide(target, [busy], ScalingState(9, 9), 0.0).new_desired == 18


def test_policy_from_an_api_answer():
    bare = PredictivePolicy.from_api("p", {"MetricSpecifications": []})
    assert bare == PredictivePolicy("p", "ForecastOnly", 300.0, "HonorMaxCapacity", None)
    full = {
        "Mode": "ForecastAndScale",
        "SchedulingBufferTime": 0,
        "MaxCapacityBreachBehavior": "IncreaseMaxCapacity",
        "MaxCapacityBuffer": 0,
    }
    made = PredictivePolicy.from_api("p", full)
    assert made == PredictivePolicy("p", "ForecastAndScale", 0.0, "IncreaseMaxCapacity", 0)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"mode": "Scale"}, "mode"),
        ({"on_breach": "Ignore"}, "breach behaviour"),
        ({"buffer_s": 3600.0}, "buffer time"),
        ({"buffer_s": -1.0}, "buffer time"),
        ({"max_buffer_pct": 10}, "HonorMaxCapacity"),
        ({"on_breach": "IncreaseMaxCapacity"}, "IncreaseMaxCapacity"),
        ({"on_breach": "IncreaseMaxCapacity", "max_buffer_pct": 101}, "0 to 100"),
    ],
)
def test_refused_policies_say_why(changes, named):
    with pytest.raises(PolicyError, match=named):
        replace(SCALES, **changes)


targets = st.tuples(st.integers(0, 50), st.integers(0, 50)).map(
    lambda drawn: ScalableTarget(drawn[0], drawn[0] + drawn[1])
)
policies = st.one_of(
    st.builds(PredictivePolicy, st.just("p"), st.sampled_from(["ForecastOnly", SCALES.mode])),
    st.builds(
        PredictivePolicy,
        st.just("p"),
        st.just("ForecastAndScale"),
        st.floats(0, 3599),
        st.just("IncreaseMaxCapacity"),
        st.integers(0, 100),
    ),
)


@given(targets, policies, st.integers(0, 200), st.integers(0, 200), st.integers(0, 100))
def test_a_forecast_never_removes_and_more_never_gives_less(target, policy, one, other, desired):
    low, high = (apply_forecast(target, policy, n) for n in sorted((one, other)))
    assert target.min_capacity <= low.min_capacity <= high.min_capacity <= high.max_capacity
    assert target.max_capacity <= low.max_capacity <= high.max_capacity
    inside = min(desired, target.max_capacity)
    moved = capacity_within(low, inside)
    assert moved is None or moved > inside
    if policy.on_breach == "HonorMaxCapacity":
        assert high.max_capacity == target.max_capacity
    elif policy.mode == "ForecastAndScale":
        assert high.min_capacity >= max(one, other)


@given(policies, st.lists(st.integers(0, 99), max_size=5), st.floats(0, 6 * HOUR_S))
def test_the_floor_is_this_hours_or_the_next_ones(policy, hourly, at_s):
    hour = int(at_s // HOUR_S)
    near = [hourly[n] if n < len(hourly) else 0 for n in (hour, hour + 1)]
    assert forecast_tasks(policy, hourly, at_s) in near
    assert forecast_tasks(policy, hourly, at_s) >= near[0]
