"""Target tracking: the policy's alarms and the capacity it asks for."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.scaling.alarms import AlarmRule, evaluate_alarm
from runbook.scaling.errors import PolicyError
from runbook.scaling.semantics import Semantics
from runbook.scaling.target_tracking import (
    HIGH_RESOLUTION_20S,
    STANDARD_60S,
    AlarmSettings,
    TargetTrackingPolicy,
    alarms_for,
    desired_for,
)

CPU = TargetTrackingPolicy("cpu", 70.0)


def test_a_policy_gets_the_two_reported_alarms():
    high, low = alarms_for(CPU)
    assert (high.side, high.period_s) == ("high", 60)
    assert high.rule == AlarmRule("GreaterThanThreshold", 70.0, 3)
    assert (low.side, low.period_s) == ("low", 60)
    assert low.rule == AlarmRule("LessThanThreshold", 63.0, 15)


def test_alarm_settings_change_period_and_counts():
    high, low = alarms_for(CPU, AlarmSettings(period_s=10, low_periods=6))
    assert (high.period_s, high.rule.evaluation_periods) == (10, 3)
    assert (low.period_s, low.rule.evaluation_periods) == (10, 6)
    assert alarms_for(CPU, HIGH_RESOLUTION_20S)[0].period_s == 20
    assert AlarmSettings() == STANDARD_60S


def test_without_scale_in_there_is_no_low_alarm():
    policy = TargetTrackingPolicy("cpu", 70.0, disable_scale_in=True)
    assert [spec.side for spec in alarms_for(policy)] == ["high"]
    assert desired_for(policy, "in", 1.0, 5, 5) is None


def test_alarms_of_a_silent_metric_have_insufficient_data():
    for spec in alarms_for(CPU):
        assert evaluate_alarm(spec.rule, [None] * 20, "OK").state == "INSUFFICIENT_DATA"


@pytest.mark.parametrize(
    ("side", "metric", "running", "desired", "wanted"),
    [
        ("out", 105.0, 2, 2, 3),
        ("out", 105.0, 2, 3, None),  # what it needs is already on its way
        ("out", 70.0, 2, 2, None),
        ("out", 80.0, 0, 0, 1),
        ("out", 80.0, 0, 3, None),
        ("out", None, 2, 2, None),
        ("out", math.nan, 2, 2, None),
        ("out", math.inf, 2, 2, None),
        ("in", 20.0, 4, 4, 2),
        ("in", 60.0, 4, 4, None),
        ("in", 0.0, 4, 4, 0),
        ("in", None, 4, 4, None),
        ("in", 0.0, 0, 4, None),
    ],
)
def test_desired_count(side, metric, running, desired, wanted):
    assert desired_for(CPU, side, metric, running, desired) == wanted


def test_the_base_is_the_running_count_unless_told_otherwise():
    assert desired_for(CPU, "out", 140.0, 2, 3) == 4
    semantics = Semantics(scale_out_base="desired", scale_in_base="desired")
    assert desired_for(CPU, "out", 140.0, 2, 3, semantics) == 6
    assert desired_for(CPU, "in", 35.0, 2, 4, semantics) == 2
    assert desired_for(CPU, "in", 35.0, 2, 4) == 1
    assert desired_for(CPU, "out", 140.0, 2, 3, base=5) == 10


def test_scale_in_may_be_capped():
    assert desired_for(CPU, "in", 7.0, 20, 20, Semantics(max_scale_in_fraction=0.1)) == 18


def test_policy_from_an_api_answer():
    policy = TargetTrackingPolicy.from_api(
        "requests",
        {
            "TargetValue": 900,
            "ScaleOutCooldown": 20,
            "ScaleInCooldown": 0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ALBRequestCountPerTarget"},
        },
    )
    assert policy == TargetTrackingPolicy(
        "requests", 900.0, 20.0, 0.0, metric="ALBRequestCountPerTarget"
    )
    bare = TargetTrackingPolicy.from_api(
        "own",
        {
            "TargetValue": 5,
            "DisableScaleIn": True,
            "CustomizedMetricSpecification": {"MetricName": "Backlog"},
        },
    )
    assert bare == TargetTrackingPolicy("own", 5.0, 300.0, 300.0, True, "Backlog")


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: TargetTrackingPolicy("p", 0.0), "target"),
        (lambda: TargetTrackingPolicy("p", math.inf), "target"),
        (lambda: TargetTrackingPolicy("p", 1.0, scale_in_cooldown_s=-1), "scale_in_cooldown_s"),
        (lambda: AlarmSettings(low_factor=0.2), "low_factor"),
        (lambda: AlarmSettings(high_periods=0), "high_periods"),
    ],
)
def test_refusals_name_what_is_wrong(build, named):
    with pytest.raises(PolicyError, match=named):
        build()


@given(
    st.floats(0.1, 1000),
    st.none() | st.floats(),
    st.integers(0, 500),
    st.integers(0, 500),
)
def test_out_only_grows_and_in_only_shrinks(target, metric, running, desired):
    policy = TargetTrackingPolicy("p", target)
    out = desired_for(policy, "out", metric, running, desired)
    into = desired_for(policy, "in", metric, running, desired)
    assert out is None or out > desired
    assert into is None or 0 <= into < desired


@given(st.floats(0.1, 1000), st.floats(0, 1000), st.integers(1, 500))
def test_scaling_in_does_not_set_off_the_high_alarm(target, metric, running):
    policy = TargetTrackingPolicy("p", target)
    wanted = desired_for(policy, "in", metric, running, running)
    if wanted:
        assert running * metric / wanted <= target * (1 + 1e-8)
