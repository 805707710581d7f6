"""Step scaling: from the size of an alarm's breach to a capacity.

Sources: Application Auto Scaling user guide, "How step scaling for Application Auto Scaling
works"; API reference, StepScalingPolicyConfiguration and StepAdjustment.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, cast, get_args

from runbook.scaling import arithmetic
from runbook.scaling.alarms import Comparison
from runbook.scaling.errors import PolicyError
from runbook.scaling.semantics import DEFAULT, Semantics

AdjustmentType = Literal["ChangeInCapacity", "PercentChangeInCapacity", "ExactCapacity"]
Aggregation = Literal["Average", "Minimum", "Maximum"]
DEFAULT_COOLDOWN_S = 300.0
"""Cooldown where the policy names none, seconds; API reference."""


@dataclass(frozen=True, slots=True)
class StepAdjustment:
    """One step: an interval of the breach and what to do in it.

    ``lower`` and ``upper`` are offsets from the alarm's threshold in the metric's unit, None for
    minus or plus infinity. ``adjustment`` is tasks, percent or the exact count, by type.
    """

    lower: float | None
    upper: float | None
    adjustment: int


@dataclass(frozen=True, slots=True)
class StepScalingPolicy:
    """A StepScaling policy; steps may come in any order and are kept sorted by lower bound.

    ``min_adjustment_magnitude`` is tasks and only counts for PercentChangeInCapacity.

    Raises:
        PolicyError: gaps, overlaps, missing open ends, a bound pair that is null twice or out of
            order, a negative exact capacity or minimum magnitude.
    """

    name: str
    steps: tuple[StepAdjustment, ...]
    adjustment_type: AdjustmentType = "ChangeInCapacity"
    cooldown_s: float = DEFAULT_COOLDOWN_S
    min_adjustment_magnitude: int | None = None
    aggregation: Aggregation = "Average"

    def __post_init__(self) -> None:
        """Sort and check the steps."""
        ordered = sorted(self.steps, key=_low)
        object.__setattr__(self, "steps", tuple(ordered))
        problem = _problem(self)
        if problem:
            raise PolicyError(f"policy {self.name!r} refused: {problem}")

    @classmethod
    def from_api(cls, name: str, configuration: Mapping[str, Any]) -> "StepScalingPolicy":
        """From a StepScalingPolicyConfiguration."""
        cooldown = configuration.get("Cooldown")
        magnitude = configuration.get("MinAdjustmentMagnitude")
        steps = tuple(
            StepAdjustment(
                _optional(step.get("MetricIntervalLowerBound")),
                _optional(step.get("MetricIntervalUpperBound")),
                int(step["ScalingAdjustment"]),
            )
            for step in configuration.get("StepAdjustments") or ()
        )
        return cls(
            name=name,
            steps=steps,
            adjustment_type=cast(
                AdjustmentType, configuration.get("AdjustmentType") or "ChangeInCapacity"
            ),
            cooldown_s=DEFAULT_COOLDOWN_S if cooldown is None else float(cooldown),
            min_adjustment_magnitude=None if magnitude is None else int(magnitude),
            aggregation=cast(Aggregation, configuration.get("MetricAggregationType") or "Average"),
        )


def select_step(
    policy: StepScalingPolicy, metric_value: float, threshold: float, comparison: Comparison
) -> StepAdjustment | None:
    """The step whose interval holds the metric, or None.

    A metric exactly on the threshold counts as above it for a Greater… alarm and as below it for a
    Less… alarm, so that a lower bound of 0 or an upper bound of 0 includes it.
    """
    index = arithmetic.step_index(
        metric_value,
        threshold,
        [_low(step) for step in policy.steps],
        [_high(step) for step in policy.steps],
        comparison.startswith("Greater"),
    )
    return None if index < 0 else policy.steps[index]


def capacity_after(
    policy: StepScalingPolicy,
    metric_value: float,
    threshold: float,
    comparison: Comparison,
    capacity: int,
) -> int | None:
    """Tasks after applying the fitting step to ``capacity`` tasks; None if no step fits.

    Never negative; the caller clamps to the scalable target's bounds.
    """
    step = select_step(policy, metric_value, threshold, comparison)
    if step is None:
        return None
    if policy.adjustment_type == "ExactCapacity":
        return step.adjustment
    if policy.adjustment_type == "ChangeInCapacity":
        return max(0, capacity + step.adjustment)
    minimum = policy.min_adjustment_magnitude or 0
    change = arithmetic.percent_change(capacity, step.adjustment, minimum)
    return max(0, capacity + change)


def aggregate(
    policy: StepScalingPolicy, evaluated: Sequence[float], semantics: Semantics = DEFAULT
) -> float | None:
    """The metric value compared with the steps: MetricAggregationType over recent datapoints.

    ``evaluated`` are the real datapoints the alarm rests on, oldest first; none gives None.
    """
    if not evaluated:
        return None
    values = evaluated if semantics.step_aggregation_window == "evaluated" else evaluated[-1:]
    if policy.aggregation == "Minimum":
        return min(values)
    if policy.aggregation == "Maximum":
        return max(values)
    return math.fsum(values) / len(values)


def _problem(policy: StepScalingPolicy) -> str | None:
    """The first rule of the API reference that the policy breaks, as "why; what to do"."""
    magnitude = policy.min_adjustment_magnitude
    if policy.adjustment_type not in get_args(AdjustmentType):
        return f"adjustment type {policy.adjustment_type!r}; use {get_args(AdjustmentType)}"
    if policy.aggregation not in get_args(Aggregation):
        return f"aggregation {policy.aggregation!r}; use {get_args(Aggregation)}"
    if not (math.isfinite(policy.cooldown_s) and policy.cooldown_s >= 0):
        return f"cooldown of {policy.cooldown_s} s; give 0 or more seconds"
    if magnitude is not None and magnitude < 0:
        return f"minimum magnitude {magnitude} is negative; give a number of tasks"
    if policy.adjustment_type == "ExactCapacity" and any(s.adjustment < 0 for s in policy.steps):
        return "an exact capacity is negative; give 0 or more tasks"
    return _interval_problem(policy.steps)


def _interval_problem(steps: tuple[StepAdjustment, ...]) -> str | None:
    """What is wrong with the intervals of steps sorted by lower bound."""
    if not steps:
        return "it has no step; give at least one step adjustment"
    for step in steps:
        if (step.lower is None and step.upper is None) or not _low(step) < _high(step):
            return (
                f"step {step.lower}..{step.upper} is no interval; give at least one bound, the "
                "lower below the upper"
            )
    for before, after in pairwise(steps):
        if _high(before) != _low(after):
            fault = "overlap" if _high(before) > _low(after) else "leave a gap"
            return f"steps {fault} at {after.lower}; let each start where the one before ends"
    if steps[0].lower is not None and steps[0].lower < 0:
        return f"the lowest bound {steps[0].lower} is negative; leave it out in the lowest step"
    if steps[-1].upper is not None and steps[-1].upper > 0:
        return f"the highest bound {steps[-1].upper} is positive; leave it out in the highest step"
    return None


def _low(step: StepAdjustment) -> float:
    return -math.inf if step.lower is None else step.lower


def _high(step: StepAdjustment) -> float:
    return math.inf if step.upper is None else step.upper


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)
