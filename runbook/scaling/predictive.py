"""Predictive scaling: a forecast of the capacity is a floor under what other policies ask for.

The forecast itself is AWS's own model and comes from the caller; this is its effect. Sources:
Application Auto Scaling user guide, "How predictive scaling works" and "Override forecast values
using scheduled actions"; API reference, PredictiveScalingPolicyConfiguration ("supported on
Amazon ECS services"):

- at the start of each hour, or earlier by the buffer time, the capacity rises to the forecast;
- a falling forecast removes nothing: that is left to target tracking and step policies;
- a higher minimum, by a scheduled action for one, is honoured;
- the maximum is a hard limit unless the policy may raise it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

from runbook.scaling.decision import ScalableTarget
from runbook.scaling.errors import PolicyError

Mode = Literal["ForecastOnly", "ForecastAndScale"]
BreachBehaviour = Literal["HonorMaxCapacity", "IncreaseMaxCapacity"]

INTERVAL_S = 3600
"""Seconds that one value of the forecast is for."""
LEARNS_FROM_H = (24, 14 * 24)
"""Hours of data a forecast needs at least, and uses at most."""
HORIZON_H, REFRESH_H = 48, 6
"""How far a forecast reaches and how often it is made anew, hours."""
DEFAULT_BUFFER_S = 300.0
"""SchedulingBufferTime where the policy names none, seconds; API reference."""


@dataclass(frozen=True, slots=True)
class PredictivePolicy:
    """A PredictiveScaling policy.

    ``buffer_s``: SchedulingBufferTime. ``max_buffer_pct``: MaxCapacityBuffer, how far the maximum
    may be raised beyond the forecast; given with IncreaseMaxCapacity and only then.

    Raises:
        PolicyError: on values PutScalingPolicy refuses.
    """

    name: str
    mode: Mode = "ForecastOnly"
    buffer_s: float = DEFAULT_BUFFER_S
    on_breach: BreachBehaviour = "HonorMaxCapacity"
    max_buffer_pct: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        problem = _problem(self)
        if problem:
            raise PolicyError(f"policy {self.name!r} refused: {problem}")

    @classmethod
    def from_api(cls, name: str, configuration: Mapping[str, Any]) -> "PredictivePolicy":
        """From a PredictiveScalingPolicyConfiguration."""
        buffer_s = configuration.get("SchedulingBufferTime")
        beyond = configuration.get("MaxCapacityBuffer")
        return cls(
            name,
            cast(Mode, configuration.get("Mode") or "ForecastOnly"),
            DEFAULT_BUFFER_S if buffer_s is None else float(buffer_s),
            cast(
                BreachBehaviour,
                configuration.get("MaxCapacityBreachBehavior") or "HonorMaxCapacity",
            ),
            None if beyond is None else int(beyond),
        )


def forecast_tasks(policy: PredictivePolicy, hourly: Sequence[int], at_s: float) -> int:
    """The floor in tasks at ``at_s`` seconds after the start of the first hour of ``hourly``.

    The present hour's forecast, or the next one's where that is higher and its buffer has begun;
    0 outside of the forecast.
    """

    def hour(moment_s: float) -> int:
        index = math.floor(moment_s / INTERVAL_S)
        return hourly[index] if 0 <= index < len(hourly) else 0

    return max(hour(at_s), hour(at_s + policy.buffer_s))


def apply_forecast(
    target: ScalableTarget, policy: PredictivePolicy, forecast: int
) -> ScalableTarget:
    """The bounds while ``forecast`` tasks are foreseen.

    The minimum rises to the forecast, at most to the maximum; ForecastOnly changes nothing.
    With IncreaseMaxCapacity the maximum rises first, to the forecast and the buffer (rounded up,
    which is not documented). AWS does not lower a raised maximum by itself: a caller who wants
    that behaviour keeps the target that is returned.
    """
    if policy.mode == "ForecastOnly":
        return target
    most = target.max_capacity
    if policy.on_breach == "IncreaseMaxCapacity":
        most = max(most, -(-forecast * (100 + (policy.max_buffer_pct or 0)) // 100))
    least = max(target.min_capacity, min(forecast, most))
    return replace(target, min_capacity=least, max_capacity=most)


def _problem(policy: PredictivePolicy) -> str | None:
    """The first rule of the API reference that the policy breaks, as "why; what to do"."""
    raises = policy.on_breach == "IncreaseMaxCapacity"
    if policy.mode not in get_args(Mode):
        return f"mode {policy.mode!r}; use {get_args(Mode)}"
    if policy.on_breach not in get_args(BreachBehaviour):
        return f"breach behaviour {policy.on_breach!r}; use {get_args(BreachBehaviour)}"
    if not 0 <= policy.buffer_s < INTERVAL_S:
        return f"buffer time of {policy.buffer_s} s; give 0 or more, less than {INTERVAL_S} s"
    if raises != (policy.max_buffer_pct is not None):
        return (
            f"{policy.on_breach} with a maximum buffer of {policy.max_buffer_pct}; give one with "
            "IncreaseMaxCapacity, none with HonorMaxCapacity"
        )
    if policy.max_buffer_pct is not None and not 0 <= policy.max_buffer_pct <= 100:
        return f"maximum buffer of {policy.max_buffer_pct} %; give 0 to 100"
    return None
