"""Every number that AWS's documentation works out, in one table: source, what it says, both sides.

CW: CloudWatch user guide. AAS: Application Auto Scaling user guide. API: its API reference. ECS:
Amazon ECS developer guide. Drawings are oldest first: 0 within, X breaching, - no datapoint.
"""

from dataclasses import replace

import pytest

from runbook.scaling.alarms import AlarmRule, evaluate_alarm, evaluation_range, minimum_samples
from runbook.scaling.arithmetic import percent_change, tracked_scale_in, tracked_scale_out
from runbook.scaling.decision import ScalableTarget, apply_decision, decide
from runbook.scaling.predictive import PredictivePolicy, apply_forecast, forecast_tasks
from runbook.scaling.scheduled import ScheduledAction, apply_scheduled
from runbook.scaling.signals import StepSignal, TargetTrackingSignal
from runbook.scaling.state import ScalingState, observe
from runbook.scaling.step_scaling import (
    StepAdjustment,
    StepScalingPolicy,
    capacity_after,
    select_step,
)
from runbook.scaling.target_tracking import (
    HIGH_RESOLUTION_20S,
    STANDARD_60S,
    TargetTrackingPolicy,
    alarms_for,
)

OK, ALARM, NONE = "OK", "ALARM", "INSUFFICIENT_DATA"
ABOVE, BELOW = "GreaterThanThreshold", "LessThanThreshold"
MODES = ("missing", "ignore", "breaching", "notBreaching")


# -- alarms


def points(drawing):
    return [{"0": 10.0, "X": 90.0, "-": None}[letter] for letter in drawing.split()]


def state(needed, drawing, mode="missing", previous=OK, n=3):
    return evaluate_alarm(AlarmRule(ABOVE, 50.0, n, needed, mode), points(drawing), previous).state


def in_all_modes(needed, drawing):
    """The state in the four modes; "kept" where it is that of before, whatever it was."""
    found = [
        {previous: state(needed, drawing, mode, previous) for previous in (OK, ALARM, NONE)}
        for mode in MODES
    ]
    kept = {OK: OK, ALARM: ALARM, NONE: NONE}
    return ["kept" if states == kept else states[OK] for states in found]


MISSING = "CW, How alarm state is evaluated when data is missing"
PREMATURE = "CW, Avoiding premature transitions to alarm state"
ALARMS = [
    (f"{MISSING}, 3 of 3", f"row {row!r}", lambda row=row: in_all_modes(3, row), states)
    for row, states in {
        "0 - X - X": [OK, OK, OK, OK],
        "0 - - - -": [OK, OK, OK, OK],
        "- - - - -": [NONE, "kept", ALARM, OK],
        "0 X X - X": [ALARM, ALARM, ALARM, ALARM],
        "- - X - -": [ALARM, "kept", ALARM, OK],
        "- - - - X": [NONE, "kept", ALARM, OK],  # editions of 2018 and 2019
        "X - - - -": [ALARM, "kept", ALARM, OK],  # edition of 2019
    }.items()
]
ALARMS += [
    (f"{MISSING}, 2 of 3", f"row {row!r}", lambda row=row: in_all_modes(2, row), states)
    for row, states in {
        "0 - X - X": [ALARM, ALARM, ALARM, ALARM],
        "0 0 X 0 X": [ALARM, ALARM, ALARM, ALARM],
        "0 - X - -": [OK, OK, ALARM, OK],
        "- - - - 0": [OK, OK, ALARM, OK],
        "- - - X -": [ALARM, "kept", ALARM, OK],
    }.items()
]
ALARMS += [
    (PREMATURE, f"row {row!r}", lambda row=row: state(3, row), expected)
    for row, expected in {
        "- - - - X": NONE,
        "- - - X -": NONE,
        "- - - X 0": OK,
        "- - X - 0": OK,
        "- - X - -": ALARM,
    }.items()
]
FIGURE = [1.0, 2.0, 4.0, 5.0, 4.0, 2.0, 1.0, 2.0, 4.0, 2.0]
ALARMS += [
    (
        "CW, Evaluating an alarm, figure",
        "threshold 3, 3 of 3: alarm in period five, OK at six, a single breach at nine is none",
        lambda: [
            evaluate_alarm(AlarmRule(ABOVE, 3.0, 3), FIGURE[:end]).state for end in range(3, 11)
        ],
        [OK, OK, ALARM, OK, OK, OK, OK, OK],
    ),
    (
        MISSING,
        "retrieves the 5 most recent data points with 3 evaluation periods",
        lambda: evaluation_range(AlarmRule(ABOVE, 50.0, 3)),
        5,
    ),
    (
        MISSING,
        "second row, a minute later: the non-breaching point has left the range",
        lambda: state(3, "0 - - - - -", "breaching"),
        ALARM,
    ),
    *(
        (
            "CW, Percentile-based alarms and low data samples",
            f"p{percentile:g}: 10/(1-percentile) from the median up, 10/percentile below",
            lambda percentile=percentile: round(minimum_samples(percentile), 6),
            samples,
        )
        for percentile, samples in ((99.0, 1000), (95.0, 200), (50.0, 20), (10.0, 100))
    ),
]

# -- target tracking

CPU = TargetTrackingPolicy("cpu", 50.0)
TARGET = ScalableTarget(1, 20)
TRACKING = "AAS, How target tracking scaling works"


def tracked(metric, high=OK, low=OK, name="cpu", **changes):
    return TargetTrackingSignal(replace(CPU, name=name, **changes), high, low, metric)


def after(*signals, desired=4, running=None, target=TARGET, **changes):
    """The desired count after one decision."""
    before = ScalingState(desired, desired if running is None else running, **changes)
    wanted = decide(target, signals, before, 0.0).new_desired
    return desired if wanted is None else wanted


OUT, IN = tracked(100.0, high=ALARM), tracked(10.0, low=ALARM)
TRACKED = [
    (
        TRACKING,
        "adding 1.5 instances brings CPU close to 50 %: rounded up, two are added",
        lambda: tracked_scale_out(3, 75.0, 50.0) - 3,
        2,
    ),
    (
        TRACKING,
        "removing 0.5 instances brings CPU above 50 %: no scale-in",
        lambda: tracked_scale_in(2, 37.5, 50.0, 0.0, 1.0),
        2,
    ),
    (
        TRACKING,
        "scales in only if all policies with scale-in enabled are ready",
        lambda: (after(IN, tracked(10.0, name="b")), after(IN, tracked(20.0, low=ALARM, name="b"))),
        (4, 2),
    ),
    (
        TRACKING,
        "scales out if any policy is ready; the largest capacity wins",
        lambda: after(OUT, tracked(150.0, high=ALARM, name="b"), tracked(1.0, low=ALARM, name="c")),
        12,
    ),
    (
        TRACKING,
        "a policy with scale-in disabled has no say in it",
        lambda: after(IN, tracked(49.0, low=None, name="b", disable_scale_in=True)),
        1,
    ),
    (TRACKING, "no scale-in in INSUFFICIENT_DATA", lambda: after(tracked(None, NONE, NONE)), 4),
    (
        "CW, alarm state without data",
        "no data: both alarms of the policy are in INSUFFICIENT_DATA",
        lambda: {evaluate_alarm(spec.rule, [None] * 17, OK).state for spec in alarms_for(CPU)},
        {NONE},
    ),
    (
        "aws/containers-roadmap#1208",
        "3 of 3 minutes for scale out, 15 of 15 for scale in",
        lambda: [(s.period_s, s.rule.evaluation_periods) for s in alarms_for(CPU, STANDARD_60S)],
        [(60, 3), (60, 15)],
    ),
    (
        "ECS, Faster auto scaling with high-resolution metrics",
        "evaluated every 20 seconds",
        lambda: {s.period_s for s in alarms_for(CPU, HIGH_RESOLUTION_20S)},
        {20},
    ),
    (
        "API, TargetTrackingScalingPolicyConfiguration",
        "cooldowns of an ECS service are 300 s by default",
        lambda: (CPU.scale_out_cooldown_s, CPU.scale_in_cooldown_s),
        (300.0, 300.0),
    ),
    (
        "ECS, Troubleshooting service auto scaling",
        "scale-in is off while a deployment is in progress, scale-out is not",
        lambda: [after(s, deployment_in_progress=True) for s in (IN, OUT)],
        [4, 8],
    ),
    (
        "ECS, Automatically scale your service",
        "the running task count is the starting point",
        lambda: after(OUT, desired=4, running=3),
        6,
    ),
    (
        "ECS, Automatically scale your service",
        "from zero tasks it scales out by the minimum possible amount",
        lambda: after(OUT, desired=0, target=ScalableTarget(0, 20)),
        1,
    ),
    (
        "ECS, Automatically scale your service",
        "a desired count below the minimum: out goes to it and beyond, in does nothing",
        lambda: [after(s, desired=2, target=ScalableTarget(5, 20)) for s in (OUT, IN)],
        [5, 2],
    ),
    (
        "ECS, Automatically scale your service",
        "a desired count above the maximum: in goes to it and beyond, out does nothing",
        lambda: [
            after(s, desired=9, target=ScalableTarget(1, 6))
            for s in (tracked(40.0, low=ALARM), IN, OUT)
        ],
        [6, 2, 9],
    ),
]

# -- step scaling, cooldowns

STEPS = "AAS, How step scaling works"
STEP_OUT = StepScalingPolicy(
    "out",
    (StepAdjustment(0, 10, 0), StepAdjustment(10, 20, 10), StepAdjustment(20, None, 30)),
    "PercentChangeInCapacity",
)
STEP_IN = StepScalingPolicy(
    "in",
    (StepAdjustment(-10, 0, 0), StepAdjustment(-20, -10, -10), StepAdjustment(None, -20, -30)),
    "PercentChangeInCapacity",
)


def adds(tasks):
    policy = StepScalingPolicy("s", (StepAdjustment(0, None, tasks),))
    return StepSignal(policy, ALARM, 60.0, 50.0, ABOVE)


def in_cooldown(signal):
    """The count a minute after +2 on 10 tasks."""
    start = ScalingState(10, 10)
    grown = apply_decision(start, decide(TARGET, [adds(2)], start, 0.0), 0.0)
    grown = observe(grown, running=12, now_s=30.0)
    return decide(TARGET, [signal], grown, 60.0).new_desired


def out_ends_cooldown():
    """A scale-out right after a scale-in, and a scale-in after that."""
    start = ScalingState(4, 4)
    shrunk = apply_decision(start, decide(TARGET, [IN], start, 0.0), 0.0)
    shrunk = observe(shrunk, running=1, now_s=10.0)
    blocked = decide(ScalableTarget(0, 20), [IN], shrunk, 20.0).new_desired
    out = decide(TARGET, [OUT], shrunk, 20.0)
    grown = apply_decision(shrunk, out, 20.0)
    return blocked, out.new_desired, grown.last_in


def stepped(policy, metric, capacity, comparison=ABOVE):
    return capacity_after(policy, metric, 50.0, comparison, capacity)


def bound_of(metric, comparison):
    both = StepScalingPolicy(
        "both",
        (
            StepAdjustment(0, 10, 1),
            StepAdjustment(10, None, 2),
            StepAdjustment(-10, 0, -1),
            StepAdjustment(None, -10, -2),
        ),
    )
    chosen = select_step(both, metric, 50.0, comparison)
    return chosen and (chosen.lower, chosen.upper)


def changed(kind, adjustment, capacity, **more):
    policy = StepScalingPolicy("p", (StepAdjustment(0, None, adjustment),), kind, **more)
    return stepped(policy, 51.0, capacity)


STEPPED = [
    (STEPS, "60 %: 10 % of 10 are added", lambda: stepped(STEP_OUT, 60.0, 10), 11),
    (STEPS, "70 %: 30 % of 11, rounded down", lambda: stepped(STEP_OUT, 70.0, 11), 14),
    (STEPS, "40 %: 10 % of 14, rounded down", lambda: stepped(STEP_IN, 40.0, 14, BELOW), 13),
    (STEPS, "30 %: 30 % of 13, rounded down", lambda: stepped(STEP_IN, 30.0, 13, BELOW), 10),
    (
        STEPS,
        "unchanged while greater than 40 and less than 60",
        lambda: [stepped(STEP_OUT, 59.9, 10), stepped(STEP_IN, 40.1, 10, BELOW)],
        [10, 10],
    ),
    (
        "API, StepAdjustment",
        "above the threshold: greater than or equal to 50 and less than 60",
        lambda: [bound_of(m, "GreaterThanOrEqualToThreshold") for m in (50.0, 59.9, 60.0)],
        [(0, 10), (0, 10), (10, None)],
    ),
    (
        "API, StepAdjustment",
        "below the threshold: greater than 40 and less than or equal to 50",
        lambda: [bound_of(m, "LessThanOrEqualToThreshold") for m in (50.0, 40.1, 40.0)],
        [(-10, 0), (-10, 0), (None, -10)],
    ),
    (STEPS, "ChangeInCapacity of 5 on 3", lambda: changed("ChangeInCapacity", 5, 3), 8),
    (STEPS, "ExactCapacity of 5 on 3", lambda: changed("ExactCapacity", 5, 3), 5),
    (STEPS, "10 percent of 10", lambda: changed("PercentChangeInCapacity", 10, 10), 11),
    (
        STEPS,
        "25 percent of 4 is 1, with a minimum magnitude of 2 it is 2",
        lambda: changed("PercentChangeInCapacity", 25, 4, min_adjustment_magnitude=2),
        6,
    ),
    *(
        (STEPS, f"{exact:g} is rounded to {whole}", lambda c=c, p=p: percent_change(c, p, 0), whole)
        for exact, c, p, whole in (
            (12.7, 127, 10, 12),
            (0.67, 67, 1, 1),
            (-0.58, 58, -1, -1),
            (-6.67, 667, -1, -6),
        )
    ),
    (STEPS, "default cooldown 300 s", lambda: adds(1).policy.cooldown_s, 300.0),
    (STEPS, "default aggregation Average", lambda: adds(1).policy.aggregation, "Average"),
    (STEPS, "+3 in the cooldown of +2 adds 1", lambda: in_cooldown(adds(3)), 13),
    (STEPS, "+2 again in its cooldown adds nothing", lambda: in_cooldown(adds(2)), None),
    (
        f"{STEPS}; {TRACKING}",
        "a scale-in cooldown blocks scale-in; a scale-out acts at once and ends it",
        out_ends_cooldown,
        (None, 2, None),
    ),
    (
        TRACKING,
        "a step policy's scale-in is not blocked by a target tracking policy",
        lambda: after(
            tracked(48.0),
            StepSignal(
                StepScalingPolicy("in", (StepAdjustment(None, 0, -1),)), ALARM, 40.0, 45.0, BELOW
            ),
        ),
        3,
    ),
]

# -- scheduled and predictive scaling

FORECAST = PredictivePolicy("forecast", "ForecastAndScale")
PREDICTIVE = "AAS, How predictive scaling works"
RAISING = PredictivePolicy("f", "ForecastAndScale", 300.0, "IncreaseMaxCapacity", 10)


def bounds(target):
    return target.min_capacity, target.max_capacity


PLANNED = [
    (
        "AAS, Scheduled scaling",
        "below the new minimum: scales out to it; above the new maximum: in to it",
        lambda: [
            apply_scheduled(TARGET, ScheduledAction("a", 5, 8), desired)[1] for desired in (2, 6, 9)
        ],
        [5, None, 8],
    ),
    (
        "API, PredictiveScalingPolicyConfiguration",
        "forecast 50, maximum 40, buffer 10 percent: the effective maximum is 55",
        lambda: bounds(apply_forecast(ScalableTarget(1, 40), RAISING, 50)),
        (50, 55),
    ),
    (
        "API, PredictiveScalingPolicyConfiguration",
        "HonorMaxCapacity is the default: the maximum is not exceeded",
        lambda: bounds(apply_forecast(ScalableTarget(1, 40), FORECAST, 50)),
        (40, 40),
    ),
    (
        "API, PredictiveScalingPolicyConfiguration",
        "ForecastOnly and a buffer of 300 s are the defaults",
        lambda: (PredictivePolicy("p").mode, PredictivePolicy("p").buffer_s),
        ("ForecastOnly", 300.0),
    ),
    (
        PREDICTIVE,
        "forecast only generates forecasts and does not scale",
        lambda: apply_forecast(TARGET, PredictivePolicy("p"), 9),
        TARGET,
    ),
    (
        "API (EC2), PredictiveScalingConfiguration",
        "capacity for 10:00 with a buffer of 5 minutes is launched at 9:55",
        lambda: [forecast_tasks(FORECAST, [1] * 10 + [7], 3600 * 10 - s) for s in (301, 300)],
        [1, 7],
    ),
    (
        PREDICTIVE,
        "a forecast of less load does not scale in",
        lambda: decide(apply_forecast(TARGET, FORECAST, 2), [], ScalingState(9, 9), 0).new_desired,
        None,
    ),
    (
        "AAS, Override forecast values using scheduled actions",
        "a minimum higher than the forecast is honoured",
        lambda: bounds(apply_forecast(ScalableTarget(8, 20), FORECAST, 5)),
        (8, 20),
    ),
]

TABLE = [*ALARMS, *TRACKED, *STEPPED, *PLANNED]


@pytest.mark.parametrize(
    ("source", "says", "ours", "documented"), TABLE, ids=[f"{row[0]}: {row[1]}" for row in TABLE]
)
def test_the_documentation(source, says, ours, documented):
    assert ours() == documented, f"{source}: {says}"
