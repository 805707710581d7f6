"""What each scaling policy asks for on its own, before the policies are combined.

A signal is a policy with the present state of its alarms; a wish is the capacity it asks for.
"""

from dataclasses import dataclass

from runbook.scaling.alarms import AlarmState, Comparison
from runbook.scaling.semantics import Semantics
from runbook.scaling.state import ScalingState, is_cooling
from runbook.scaling.step_scaling import StepScalingPolicy, capacity_after
from runbook.scaling.target_tracking import Direction, TargetTrackingPolicy, desired_for


@dataclass(frozen=True, slots=True)
class TargetTrackingSignal:
    """A target tracking policy and its alarms now.

    ``low`` is None if there is no AlarmLow. ``metric_value`` is the newest datapoint, None without
    data. ``running_at_datapoint`` is the running count when that datapoint was taken; it is used
    only if the semantics say so.
    """

    policy: TargetTrackingPolicy
    high: AlarmState
    low: AlarmState | None
    metric_value: float | None
    high_alarm: str = ""
    low_alarm: str = ""
    running_at_datapoint: int | None = None


@dataclass(frozen=True, slots=True)
class StepSignal:
    """A step policy and its alarm now; ``metric_value`` is the aggregated metric."""

    policy: StepScalingPolicy
    state: AlarmState
    metric_value: float | None
    threshold: float
    comparison: Comparison
    alarm: str = ""


Signal = TargetTrackingSignal | StepSignal


@dataclass(frozen=True, slots=True)
class Wish:
    """What one policy in ALARM asks for; ``capacity`` None if it asks for no change."""

    policy: str
    alarm: str
    capacity: int | None
    cooldown_s: float
    base: int
    has_metric: bool

    @property
    def grows(self) -> bool:
        """Whether the policy asks for more than it counted from."""
        return self.capacity is not None and self.capacity > self.base

    @property
    def shrinks(self) -> bool:
        """Whether the policy asks for less than it counted from."""
        return self.capacity is not None and self.capacity < self.base

    @property
    def cause(self) -> str:
        """The Cause of a scaling activity, in the words of DescribeScalingActivities."""
        return f"monitor alarm {self.alarm} in state ALARM triggered policy {self.policy}"


def tracking_wish(
    signal: TargetTrackingSignal,
    side: Direction,
    state: ScalingState,
    now_s: float,
    semantics: Semantics,
) -> Wish:
    """What a target tracking policy asks for on one side; its alarm is known to be in ALARM."""
    policy = signal.policy
    base = _base(side, state, semantics)
    if semantics.running_count_at == "datapoint" and signal.running_at_datapoint is not None:
        base = signal.running_at_datapoint
    if side == "out" and semantics.scale_out_cooldown_base == "before_activity":
        base = _burst_base(base, state, now_s, semantics)
    capacity = desired_for(
        policy, side, signal.metric_value, state.running, state.desired, semantics, base=base
    )
    default = f"{policy.name}-Alarm{'High' if side == 'out' else 'Low'}"
    return Wish(
        policy=policy.name,
        alarm=(signal.high_alarm if side == "out" else signal.low_alarm) or default,
        capacity=capacity,
        cooldown_s=policy.scale_out_cooldown_s if side == "out" else policy.scale_in_cooldown_s,
        base=base,
        has_metric=signal.metric_value is not None,
    )


def step_wish(
    signal: StepSignal, state: ScalingState, now_s: float, semantics: Semantics
) -> Wish | None:
    """What a step policy asks for; None if it is not in ALARM, has no metric or no step fits."""
    metric_value = signal.metric_value
    if signal.state != "ALARM" or metric_value is None:
        return None

    def after(base: int) -> int | None:
        return capacity_after(
            signal.policy, metric_value, signal.threshold, signal.comparison, base
        )

    base = _base("out", state, semantics)
    capacity = after(base)
    if capacity is None:
        return None
    if capacity > base:
        base = _burst_base(base, state, now_s, semantics)
    else:
        base = _base("in", state, semantics)
    alarm = signal.alarm or f"{signal.policy.name}-Alarm"
    return Wish(signal.policy.name, alarm, after(base), signal.policy.cooldown_s, base, True)


def _base(side: Direction, state: ScalingState, semantics: Semantics) -> int:
    choice = semantics.scale_out_base if side == "out" else semantics.scale_in_base
    return state.running if choice == "running" else state.desired


def _burst_base(base: int, state: ScalingState, now_s: float, semantics: Semantics) -> int:
    """During a scale-out cooldown the tasks before the activity that began it, else ``base``.

    After a start from zero tasks there is nothing to count from: AWS "then resumes scaling based
    on the actual running task count" (ECS developer guide).
    """
    last = state.last_out
    if last is None or last.base == 0 or not is_cooling(last, now_s, semantics):
        return base
    return last.base
