"""Several policies on one scalable target: what Application Auto Scaling does now, and why.

The rules, Application Auto Scaling user guide, "How target tracking scaling works" and "How step
scaling works"; Amazon ECS developer guide, "Automatically scale your Amazon ECS service":

- any policy may scale out; the largest capacity wins;
- target tracking scales in only if every target tracking policy with scale-in enabled is ready;
  a step policy's scale-in is not held back by them; again the largest capacity wins;
- during a scale-out cooldown only a larger scale-out acts, a step counting from the capacity
  before the initiating activity; during a scale-in cooldown no scale-in; a scale-out ends it;
- no scale-in while a deployment is in progress; nothing beyond min and max; suspension is obeyed;
- without data there is no scaling: such an alarm is in INSUFFICIENT_DATA, not in ALARM.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from runbook.scaling.errors import PolicyError
from runbook.scaling.semantics import DEFAULT, Semantics
from runbook.scaling.signals import (
    Signal,
    StepSignal,
    TargetTrackingSignal,
    Wish,
    step_wish,
    tracking_wish,
)
from runbook.scaling.state import Activity, ScalingState, is_cooling
from runbook.scaling.target_tracking import Direction

NotScaledCode = Literal[
    "NothingToDo",
    "AutoScalingAnticipatedFlapping",
    "AlreadyAtMaxCapacity",
    "AlreadyAtMinCapacity",
    "AlreadyAtDesiredCapacity",
    "DeploymentInProgress",
    "ScalingSuspended",
    "CooldownInProgress",
    "OtherPolicyNotReady",
    "OtherPolicyWithoutData",
    "NoMetricValue",
]
_AWS_CODES = frozenset(
    {
        "AutoScalingAnticipatedFlapping",
        "AlreadyAtMaxCapacity",
        "AlreadyAtMinCapacity",
        "AlreadyAtDesiredCapacity",
    }
)


@dataclass(frozen=True, slots=True)
class ScalableTarget:
    """Bounds in tasks, and the SuspendedState flags of a scalable target.

    Raises:
        PolicyError: if the bounds are negative or crossed.
    """

    min_capacity: int
    max_capacity: int
    scale_out_suspended: bool = False
    scale_in_suspended: bool = False
    scheduled_suspended: bool = False

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not 0 <= self.min_capacity <= self.max_capacity:
            raise PolicyError(
                f"scalable target refused: bounds {self.min_capacity} to {self.max_capacity} "
                "tasks are not possible; give 0 <= min <= max"
            )


@dataclass(frozen=True, slots=True)
class NotScaled:
    """Why nothing happened. ``detail`` is a sentence for people."""

    code: NotScaledCode
    detail: str

    @property
    def aws_code(self) -> str | None:
        """The Code of a NotScaledReason in DescribeScalingActivities, where AWS has one."""
        return self.code if self.code in _AWS_CODES else None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now: a new desired count with its cause, or the reason for leaving it.

    ``base`` is the capacity the winning policy counted from, ``cooldown_s`` its cooldown.
    """

    new_desired: int | None
    direction: Direction | None
    policy: str | None
    alarm: str | None
    cause: str
    not_scaled: NotScaled | None
    cooldown_s: float
    base: int


def decide(
    target: ScalableTarget,
    signals: Sequence[Signal],
    state: ScalingState,
    now_s: float,
    semantics: Semantics = DEFAULT,
) -> Decision:
    """Decide once; AWS does so for every period in which an alarm stays in ALARM.

    Args:
        target: bounds and suspension.
        signals: every scaling policy of the target with its alarms, in any order.
        state: counts and cooldowns, refreshed by ``observe``.
        now_s: now, in the seconds of the state's activities.
        semantics: the undocumented choices.
    """
    outs = _out_wishes(signals, state, now_s, semantics)
    if outs:
        return _scale_out(target, outs, state, now_s, semantics)
    return _scale_in(target, signals, state, now_s, semantics)


def apply_decision(
    state: ScalingState, decision: Decision, now_s: float, semantics: Semantics = DEFAULT
) -> ScalingState:
    """The state after the service accepted the decision's desired count; else unchanged."""
    if decision.new_desired is None:
        return state
    base = decision.base
    if decision.direction == "in":
        activity = Activity(now_s, decision.new_desired, base, decision.cooldown_s)
        return replace(state, desired=decision.new_desired, last_in=activity)
    if state.last_out is not None and is_cooling(state.last_out, now_s, semantics):
        # Still the same burst: later steps keep counting from where it began.
        base = state.last_out.base
    activity = Activity(now_s, decision.new_desired, base, decision.cooldown_s)
    return replace(state, desired=decision.new_desired, last_out=activity, last_in=None)


def _out_wishes(
    signals: Sequence[Signal], state: ScalingState, now_s: float, semantics: Semantics
) -> list[Wish]:
    """One wish for each policy whose alarm calls for more capacity."""
    wishes = []
    for signal in signals:
        if isinstance(signal, TargetTrackingSignal):
            if signal.high == "ALARM":
                wishes.append(tracking_wish(signal, "out", state, now_s, semantics))
        elif (wish := step_wish(signal, state, now_s, semantics)) and wish.grows:
            wishes.append(wish)
    return wishes


def _scale_out(
    target: ScalableTarget,
    wishes: list[Wish],
    state: ScalingState,
    now_s: float,
    semantics: Semantics,
) -> Decision:
    best = max(wishes, key=_capacity)
    wanted = max(target.min_capacity, min(_capacity(best), target.max_capacity))
    obstacle: tuple[NotScaledCode, str] | None = None
    if target.scale_out_suspended:
        obstacle = "ScalingSuspended", "dynamic scaling out is suspended"
    elif state.desired >= target.max_capacity:
        obstacle = "AlreadyAtMaxCapacity", f"the maximum is {target.max_capacity}"
    elif not any(wish.has_metric for wish in wishes):
        obstacle = "NoMetricValue", "the metric has no recent datapoint"
    elif wanted <= state.desired and is_cooling(state.last_out, now_s, semantics):
        obstacle = (
            "CooldownInProgress",
            f"during the scale-out cooldown no policy asks for more than {state.desired}",
        )
    elif wanted <= state.desired or best.capacity is None:
        obstacle = "AlreadyAtDesiredCapacity", f"no policy asks for more than {state.desired}"
    return _stay(best, *obstacle) if obstacle else _go(best, wanted, "out")


def _scale_in(
    target: ScalableTarget,
    signals: Sequence[Signal],
    state: ScalingState,
    now_s: float,
    semantics: Semantics,
) -> Decision:
    voters = _voters(signals, semantics)
    ready = [tracking_wish(v, "in", state, now_s, semantics) for v in voters if v.low == "ALARM"]
    steps = [
        wish
        for signal in signals
        if isinstance(signal, StepSignal)
        and (wish := step_wish(signal, state, now_s, semantics))
        and wish.shrinks
    ]
    if not ready and not steps:
        nothing = NotScaled("NothingToDo", "no policy asks for a change")
        return Decision(None, None, None, None, "", nothing, 0.0, state.desired)
    refusal = _refusal(voters, ready)
    asking = steps if refusal else [*steps, *ready]
    best = max(asking or ready, key=_capacity)
    wanted = min(target.max_capacity, max(_capacity(best), target.min_capacity))
    obstacle: tuple[NotScaledCode, str] | None = None
    if state.desired <= target.min_capacity:
        obstacle = "AlreadyAtMinCapacity", f"the minimum is {target.min_capacity}"
    elif not asking:
        obstacle = refusal
    elif state.deployment_in_progress:
        obstacle = "DeploymentInProgress", "scale-in is off during a deployment"
    elif target.scale_in_suspended:
        obstacle = "ScalingSuspended", "dynamic scaling in is suspended"
    elif is_cooling(state.last_in, now_s, semantics):
        obstacle = "CooldownInProgress", "the scale-in cooldown is running"
    elif semantics.scale_out_cooldown_blocks_scale_in and is_cooling(
        state.last_out, now_s, semantics
    ):
        obstacle = "CooldownInProgress", "the scale-out cooldown is running"
    elif wanted >= state.desired:
        obstacle = "AlreadyAtDesiredCapacity", f"no policy asks for fewer than {state.desired}"
    return _stay(best, *obstacle) if obstacle else _go(best, wanted, "in")


def _voters(signals: Sequence[Signal], semantics: Semantics) -> list[TargetTrackingSignal]:
    """The target tracking policies that must agree before one of them scales in."""
    return [
        signal
        for signal in signals
        if isinstance(signal, TargetTrackingSignal)
        and not signal.policy.disable_scale_in
        and signal.low is not None
        and (semantics.missing_data_blocks_scale_in or signal.low != "INSUFFICIENT_DATA")
    ]


def _refusal(
    voters: list[TargetTrackingSignal], ready: list[Wish]
) -> tuple[NotScaledCode, str] | None:
    """Why the target tracking policies do not agree to scale in; None if they do."""
    for voter in voters:
        if voter.low == "INSUFFICIENT_DATA":
            return "OtherPolicyWithoutData", f"policy {voter.policy.name} has no data to agree on"
        if voter.low != "ALARM":
            return "OtherPolicyNotReady", f"policy {voter.policy.name} is not ready to scale in"
    for wish in ready:
        if not wish.has_metric:
            return "NoMetricValue", f"the metric of policy {wish.policy} has no recent datapoint"
        if wish.capacity is None:
            return (
                "AutoScalingAnticipatedFlapping",
                f"with fewer tasks the metric of policy {wish.policy} would pass its target",
            )
    return None


def _capacity(wish: Wish) -> int:
    """What a wish asks for, below any count if it asks for no change."""
    return -1 if wish.capacity is None else wish.capacity


def _stay(wish: Wish, code: NotScaledCode, detail: str) -> Decision:
    not_scaled = NotScaled(code, detail)
    return Decision(
        None, None, wish.policy, wish.alarm, wish.cause, not_scaled, wish.cooldown_s, wish.base
    )


def _go(wish: Wish, wanted: int, direction: Direction) -> Decision:
    return Decision(
        wanted,
        direction,
        wish.policy,
        wish.alarm,
        wish.cause,
        None,
        wish.cooldown_s,
        wish.base,
    )
