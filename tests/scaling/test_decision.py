"""Several policies on one target: each documented rule, then invariants over random histories."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.scaling.decision import (
    ScalableTarget,
    apply_decision,
    decide,
)
from runbook.scaling.errors import PolicyError
from runbook.scaling.semantics import DEFAULT, Semantics
from runbook.scaling.signals import StepSignal, TargetTrackingSignal
from runbook.scaling.state import Activity, ScalingState, is_cooling, observe
from runbook.scaling.step_scaling import StepAdjustment, StepScalingPolicy
from runbook.scaling.target_tracking import TargetTrackingPolicy

TARGET = ScalableTarget(1, 20)
NOW_S = 1000.0
NO_DATA = "INSUFFICIENT_DATA"


def tracking(metric, high="OK", low="OK", name="cpu", **policy):
    return TargetTrackingSignal(
        TargetTrackingPolicy(name, 50.0, **policy), high, low, metric, f"{name}-hi", f"{name}-lo"
    )


def step(change, metric=60.0, state="ALARM", **policy):
    steps = (StepAdjustment(0, None, change),)
    return StepSignal(
        StepScalingPolicy("p95", steps, **policy), state, metric, 50.0, "GreaterThanThreshold", "s"
    )


def at(count, **changes):
    return replace(ScalingState(count, count), **changes)


def code(decision):
    assert decision.new_desired is None
    assert decision.not_scaled is not None
    return decision.not_scaled.code


def test_scale_out_names_its_cause_as_aws_does():
    decision = decide(TARGET, [tracking(100.0, "ALARM")], at(2), NOW_S)
    assert (decision.new_desired, decision.direction, decision.policy) == (4, "out", "cpu")
    assert decision.cause == "monitor alarm cpu-hi in state ALARM triggered policy cpu"
    assert decision.not_scaled is None
    assert decision.cooldown_s == 300.0


def test_alarms_without_names_get_one():
    signal = replace(tracking(100.0, "ALARM"), high_alarm="")
    assert decide(TARGET, [signal], at(2), NOW_S).alarm == "cpu-AlarmHigh"


def test_the_largest_scale_out_wins():
    signals = [
        tracking(100.0, "ALARM", name="cpu"),
        step(5),
        tracking(75.0, "ALARM", name="memory"),
    ]
    decision = decide(TARGET, signals, at(2), NOW_S)
    assert (decision.new_desired, decision.policy) == (7, "p95")


def test_one_policy_may_scale_out_while_another_wants_in():
    signals = [tracking(100.0, "ALARM", name="cpu"), tracking(1.0, low="ALARM", name="memory")]
    assert decide(TARGET, signals, at(2), NOW_S).new_desired == 4


def test_all_must_agree_to_scale_in_and_the_largest_capacity_wins():
    cpu = tracking(10.0, low="ALARM", name="cpu")
    memory = tracking(30.0, low="ALARM", name="memory")
    decision = decide(TARGET, [cpu, memory], at(10), NOW_S)
    assert (decision.new_desired, decision.direction, decision.policy) == (6, "in", "memory")
    assert decision.alarm == "memory-lo"
    not_ready = replace(memory, low="OK")
    assert code(decide(TARGET, [cpu, not_ready], at(10), NOW_S)) == "OtherPolicyNotReady"


def test_a_policy_with_scale_in_disabled_has_no_vote():
    cpu = tracking(10.0, low="ALARM", name="cpu")
    other = tracking(49.0, low=None, name="requests", disable_scale_in=True)
    assert decide(TARGET, [cpu, other], at(10), NOW_S).new_desired == 2


def test_a_policy_without_data_blocks_scale_in_unless_told_otherwise():
    cpu = tracking(10.0, low="ALARM", name="cpu")
    silent = tracking(None, NO_DATA, NO_DATA, name="requests")
    assert code(decide(TARGET, [cpu, silent], at(10), NOW_S)) == "OtherPolicyWithoutData"
    lenient = Semantics(missing_data_blocks_scale_in=False)
    assert decide(TARGET, [cpu, silent], at(10), NOW_S, lenient).new_desired == 2
    # A scale-out by another policy is never held back by missing data.
    busy = tracking(100.0, "ALARM", name="cpu")
    assert decide(TARGET, [busy, silent], at(2), NOW_S).new_desired == 4


def test_without_data_nothing_happens():
    silent = tracking(None, NO_DATA, NO_DATA)
    assert code(decide(TARGET, [silent], at(3), NOW_S)) == "NothingToDo"
    assert code(decide(TARGET, [], at(3), NOW_S)) == "NothingToDo"


def test_an_alarm_that_outlives_its_metric_does_nothing():
    assert code(decide(TARGET, [tracking(None, high="ALARM")], at(3), NOW_S)) == "NoMetricValue"
    assert code(decide(TARGET, [tracking(None, low="ALARM")], at(3), NOW_S)) == "NoMetricValue"
    assert code(decide(TARGET, [step(1, metric=None)], at(3), NOW_S)) == "NothingToDo"


def test_no_scale_in_that_would_flap():
    decision = decide(TARGET, [tracking(44.0, low="ALARM")], at(3), NOW_S)
    assert code(decision) == "AutoScalingAnticipatedFlapping"
    assert decision.not_scaled.aws_code == "AutoScalingAnticipatedFlapping"
    # ... and one flapping policy keeps the others from scaling in.
    idle = tracking(1.0, low="ALARM", name="memory")
    both = [idle, tracking(44.0, low="ALARM")]
    assert code(decide(TARGET, both, at(3), NOW_S)) == "AutoScalingAnticipatedFlapping"


def test_a_step_policy_scales_in_although_target_tracking_is_not_ready():
    """How target tracking scaling works: "the scale-in activity will not be blocked"."""
    decision = decide(TARGET, [tracking(48.0), step(-1)], at(3), NOW_S)
    assert (decision.new_desired, decision.direction, decision.policy) == (2, "in", "p95")


def test_step_and_tracking_scale_in_together_keep_the_larger_capacity():
    signals = [tracking(10.0, low="ALARM"), step(-1)]
    assert decide(TARGET, signals, at(10), NOW_S).new_desired == 9


@pytest.mark.parametrize(
    ("target", "state", "signal", "expected"),
    [
        (ScalableTarget(1, 3), at(2), tracking(100.0, "ALARM"), 3),
        (ScalableTarget(1, 3), at(3), tracking(100.0, "ALARM"), "AlreadyAtMaxCapacity"),
        (ScalableTarget(2, 3), at(2), tracking(1.0, low="ALARM"), "AlreadyAtMinCapacity"),
        (ScalableTarget(2, 9), at(6), tracking(1.0, low="ALARM"), 2),
        (ScalableTarget(0, 9), at(2), tracking(0.0, low="ALARM"), 0),
        # ECS developer guide: a desired count set outside the bounds by hand.
        (ScalableTarget(4, 9), at(1), tracking(60.0, "ALARM"), 4),
        (ScalableTarget(4, 9), at(1), tracking(1.0, low="ALARM"), "AlreadyAtMinCapacity"),
        (ScalableTarget(1, 5), at(9), tracking(100.0, "ALARM"), "AlreadyAtMaxCapacity"),
        (ScalableTarget(1, 5), at(9), tracking(40.0, low="ALARM"), 5),
    ],
)
def test_bounds(target, state, signal, expected):
    decision = decide(target, [signal], state, NOW_S)
    got = code(decision) if decision.new_desired is None else decision.new_desired
    assert got == expected


def test_suspension():
    out, into = [tracking(100.0, "ALARM")], [tracking(1.0, low="ALARM")]
    no_out = ScalableTarget(1, 9, scale_out_suspended=True)
    no_in = ScalableTarget(1, 9, scale_in_suspended=True)
    assert code(decide(no_out, out, at(3), NOW_S)) == "ScalingSuspended"
    assert decide(no_out, into, at(3), NOW_S).new_desired == 1
    assert code(decide(no_in, into, at(3), NOW_S)) == "ScalingSuspended"
    assert decide(no_in, out, at(3), NOW_S).new_desired == 6


def test_a_deployment_stops_scale_in_only():
    state = at(4, deployment_in_progress=True)
    assert (
        code(decide(TARGET, [tracking(1.0, low="ALARM")], state, NOW_S)) == "DeploymentInProgress"
    )
    assert code(decide(TARGET, [step(-1)], state, NOW_S)) == "DeploymentInProgress"
    assert decide(TARGET, [tracking(100.0, "ALARM")], state, NOW_S).new_desired == 8


def test_a_deployment_counts_running_tasks_of_both_revisions():
    """The reported surprise of containers-roadmap#525: twice the tasks, twice the scale-out."""
    state = ScalingState(desired=2, running=4, deployment_in_progress=True)
    assert decide(TARGET, [tracking(75.0, "ALARM")], state, NOW_S).new_desired == 6


def test_steps_in_a_cooldown_count_from_before_it():
    """Guide: +2, then a more aggressive +3 in the cooldown: "only 1 is added to the capacity"."""
    state = at(10)
    first = decide(TARGET, [step(2)], state, NOW_S)
    assert first.new_desired == 12
    state = apply_decision(state, first, NOW_S)
    state = observe(state, running=12, now_s=NOW_S + 30)
    again = decide(TARGET, [step(2)], state, NOW_S + 60)
    assert code(again) == "CooldownInProgress"
    larger = decide(TARGET, [step(3)], state, NOW_S + 60)
    assert larger.new_desired == 13
    state = observe(apply_decision(state, larger, NOW_S + 60), running=13, now_s=NOW_S + 90)
    assert code(decide(TARGET, [step(3)], state, NOW_S + 120)) == "CooldownInProgress"
    after = decide(TARGET, [step(3)], state, NOW_S + 90 + 300)
    assert after.new_desired == 16


def test_tracking_in_a_cooldown_counts_from_before_it():
    state = apply_decision(at(2), decide(TARGET, [tracking(100.0, "ALARM")], at(2), 0.0), 0.0)
    state = observe(state, running=4, now_s=40.0)
    stale, worse = [tracking(100.0, "ALARM")], [tracking(150.0, "ALARM")]
    assert code(decide(TARGET, stale, state, 60.0)) == "CooldownInProgress"
    assert decide(TARGET, worse, state, 60.0).new_desired == 6
    # The other reading multiplies the stale metric with the new count.
    now = Semantics(scale_out_cooldown_base="now")
    assert decide(TARGET, stale, state, 60.0, now).new_desired == 8
    # After the cooldown the running count is the base again.
    assert decide(TARGET, stale, state, 40.0 + 300.0).new_desired == 8


def test_from_zero_the_first_task_is_only_a_starting_point():
    state = at(0)
    first = decide(ScalableTarget(0, 9), [tracking(100.0, "ALARM")], state, 0.0)
    assert first.new_desired == 1
    state = observe(apply_decision(state, first, 0.0), running=1, now_s=30.0)
    assert decide(ScalableTarget(0, 9), [tracking(200.0, "ALARM")], state, 60.0).new_desired == 4


def test_a_scale_in_cooldown_blocks_scale_in_until_a_scale_out_ends_it():
    idle, busy = [tracking(10.0, low="ALARM")], [tracking(100.0, "ALARM")]
    state = apply_decision(at(10), decide(TARGET, idle, at(10), 0.0), 0.0)
    assert state.desired == 2
    state = observe(state, running=2, now_s=10.0)
    assert code(decide(TARGET, [step(-1)], state, 309.0)) == "CooldownInProgress"
    assert decide(TARGET, [step(-1)], state, 310.0).new_desired == 1
    out = decide(TARGET, busy, state, 20.0)
    assert out.new_desired == 4
    state = observe(apply_decision(state, out, 20.0), running=4, now_s=30.0)
    assert state.last_in is None
    assert decide(TARGET, idle, state, 40.0).new_desired == 1
    strict = Semantics(scale_out_cooldown_blocks_scale_in=True)
    assert code(decide(TARGET, idle, state, 40.0, strict)) == "CooldownInProgress"


def test_the_initiating_policy_sets_the_cooldown():
    signals = [tracking(100.0, "ALARM", scale_out_cooldown_s=20.0), step(9, cooldown_s=77.0)]
    assert decide(TARGET, signals, at(2), NOW_S).cooldown_s == 77.0
    assert decide(TARGET, signals[:1], at(2), NOW_S).cooldown_s == 20.0
    idle = tracking(1.0, low="ALARM", scale_in_cooldown_s=33.0)
    assert decide(TARGET, [idle], at(2), NOW_S).cooldown_s == 33.0


def test_tasks_on_their_way_are_not_asked_for_twice():
    state = ScalingState(desired=4, running=2)
    assert code(decide(TARGET, [tracking(100.0, "ALARM")], state, NOW_S)) == (
        "AlreadyAtDesiredCapacity"
    )
    # A step counts from the running tasks too: runaway scaling is prevented (ECS guide).
    assert code(decide(TARGET, [step(2)], state, NOW_S)) == "AlreadyAtDesiredCapacity"


def test_the_running_count_may_be_that_of_the_datapoint():
    signal = replace(tracking(100.0, "ALARM"), running_at_datapoint=2)
    state = at(4)
    assert decide(TARGET, [signal], state, NOW_S).new_desired == 8
    then = Semantics(running_count_at="datapoint")
    assert code(decide(TARGET, [signal], state, NOW_S, then)) == "AlreadyAtDesiredCapacity"


def test_an_exact_step_goes_either_way():
    assert decide(TARGET, [step(5, adjustment_type="ExactCapacity")], at(3), 0.0).new_desired == 5
    down = decide(TARGET, [step(5, adjustment_type="ExactCapacity")], at(8), 0.0)
    assert (down.new_desired, down.direction) == (5, "in")
    same = decide(TARGET, [step(5, adjustment_type="ExactCapacity")], at(5), 0.0)
    assert code(same) == "NothingToDo"


def test_applying_a_decision_without_change_changes_nothing():
    state = at(3)
    assert apply_decision(state, decide(TARGET, [], state, NOW_S), NOW_S) is state


def test_crossed_bounds_are_refused():
    with pytest.raises(PolicyError, match="5 to 3"):
        ScalableTarget(5, 3)


alarm_states = st.sampled_from(["OK", "ALARM", NO_DATA])
maybe_metric = st.none() | st.floats(0, 500)


@st.composite
def tracking_signals(draw, name):
    return TargetTrackingSignal(
        TargetTrackingPolicy(
            name,
            draw(st.floats(1, 200)),
            draw(st.sampled_from([0.0, 60.0, 300.0])),
            draw(st.sampled_from([0.0, 60.0, 300.0])),
            draw(st.booleans()),
        ),
        draw(alarm_states),
        draw(st.none() | alarm_states),
        draw(maybe_metric),
        running_at_datapoint=draw(st.none() | st.integers(0, 30)),
    )


@st.composite
def step_signals(draw):
    low = draw(st.integers(-5, 5))
    policy = StepScalingPolicy(
        "step",
        (StepAdjustment(0, 20, low), StepAdjustment(20, None, draw(st.integers(-5, 9)))),
        draw(st.sampled_from(["ChangeInCapacity", "PercentChangeInCapacity"])),
    )
    return StepSignal(policy, draw(alarm_states), draw(maybe_metric), 50.0, "GreaterThanThreshold")


signal_lists = st.tuples(
    tracking_signals("a"), tracking_signals("b"), step_signals(), st.integers(0, 3)
).map(lambda drawn: list(drawn[: drawn[3]]))
activities = st.none() | st.builds(
    Activity,
    st.floats(0, 1000),
    st.integers(0, 30),
    st.integers(0, 30),
    st.sampled_from([0.0, 60.0, 300.0]),
    st.none(),
)
scaling_states = st.builds(
    ScalingState,
    st.integers(0, 30),
    st.integers(0, 30),
    st.booleans(),
    activities,
    activities,
)
targets = st.tuples(st.integers(0, 10), st.integers(0, 20), st.booleans(), st.booleans()).map(
    lambda drawn: ScalableTarget(drawn[0], drawn[0] + drawn[1], drawn[2], drawn[3])
)
semantics_of_any_kind = st.builds(
    Semantics,
    scale_out_base=st.sampled_from(["running", "desired"]),
    scale_in_base=st.sampled_from(["running", "desired"]),
    running_count_at=st.sampled_from(["decision", "datapoint"]),
    scale_in_margin=st.floats(0, 0.2),
    max_scale_in_fraction=st.floats(0.01, 1),
    missing_data_blocks_scale_in=st.booleans(),
    scale_out_cooldown_base=st.sampled_from(["before_activity", "now"]),
    scale_out_cooldown_blocks_scale_in=st.booleans(),
    cooldown_starts_at=st.sampled_from(["completion", "request"]),
)


@given(targets, signal_lists, scaling_states, st.floats(0, 2000), semantics_of_any_kind)
def test_every_decision_obeys_the_rules(target, signals, state, now_s, semantics):
    decision = decide(target, signals, state, now_s, semantics)
    assert (decision.new_desired is None) == (decision.not_scaled is not None)
    if decision.new_desired is None:
        return
    assert target.min_capacity <= decision.new_desired <= target.max_capacity
    assert decision.new_desired != state.desired
    grew = decision.new_desired > state.desired
    assert decision.direction == ("out" if grew else "in")
    if grew:
        assert not target.scale_out_suspended
    else:
        assert not target.scale_in_suspended
        assert not state.deployment_in_progress
        assert not is_cooling(state.last_in, now_s, semantics)
        assert not any(isinstance(s, TargetTrackingSignal) and s.high == "ALARM" for s in signals)
    assert decision.policy in {signal.policy.name for signal in signals}
    # The same alarms right afterwards do not shrink what was just added or grow what was cut.
    after = apply_decision(state, decision, now_s, semantics)
    assert after.desired == decision.new_desired
    follow = decide(target, signals, after, now_s, semantics)
    assert follow.direction in (None, decision.direction)


@given(targets, signal_lists, scaling_states, st.floats(0, 2000), st.floats(0, 500))
def test_more_load_never_gives_fewer_tasks(target, signals, state, now_s, more):
    busier = [
        replace(s, metric_value=s.metric_value + more)
        if isinstance(s, TargetTrackingSignal) and s.metric_value is not None
        else s
        for s in signals
    ]
    before = decide(target, signals, state, now_s).new_desired
    after = decide(target, busier, state, now_s).new_desired
    assert (state.desired if before is None else before) <= (
        state.desired if after is None else after
    )


@given(signal_lists, scaling_states, st.floats(0, 2000))
def test_the_order_of_policies_does_not_matter(signals, state, now_s):
    target = ScalableTarget(1, 25)
    forward = decide(target, signals, state, now_s, DEFAULT)
    backward = decide(target, signals[::-1], state, now_s, DEFAULT)
    assert forward.new_desired == backward.new_desired
