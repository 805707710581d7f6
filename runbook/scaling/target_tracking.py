"""Target tracking: the two alarms of a policy and the capacity it asks for.

Sources: Application Auto Scaling user guide, "How target tracking scaling works"; Amazon ECS
developer guide, "Automatically scale your Amazon ECS service" and "Use a target metric to scale
Amazon ECS services". The numbers of periods are reported (aws/containers-roadmap#1208) and coded
in moto, not documented; users cannot change them, the alarms are AWS's.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from runbook.scaling import arithmetic
from runbook.scaling.alarms import AlarmRule
from runbook.scaling.errors import PolicyError
from runbook.scaling.semantics import DEFAULT, Semantics

Direction = Literal["out", "in"]
DEFAULT_COOLDOWN_S = 300.0
"""Scale-out and scale-in cooldown of an ECS service, seconds; same page, "Default values"."""


@dataclass(frozen=True, slots=True)
class TargetTrackingPolicy:
    """A TargetTrackingScaling policy.

    ``target`` is in the metric's unit: percent for CPU and memory, requests per target per
    *minute* for ALBRequestCountPerTarget. ``metric`` is a label only.

    Raises:
        PolicyError: if the target is not a positive finite number or a cooldown is negative.
    """

    name: str
    target: float
    scale_out_cooldown_s: float = DEFAULT_COOLDOWN_S
    scale_in_cooldown_s: float = DEFAULT_COOLDOWN_S
    disable_scale_in: bool = False
    metric: str = ""

    def __post_init__(self) -> None:
        """Check the values."""
        if not (math.isfinite(self.target) and self.target > 0):
            raise PolicyError(
                f"policy {self.name!r} refused: target {self.target} cannot be tracked; "
                "give a positive number in the metric's unit"
            )
        for label in ("scale_out_cooldown_s", "scale_in_cooldown_s"):
            value = getattr(self, label)
            if not (math.isfinite(value) and value >= 0):
                raise PolicyError(
                    f"policy {self.name!r} refused: {label} is {value}; give 0 or more seconds"
                )

    @classmethod
    def from_api(cls, name: str, configuration: Mapping[str, Any]) -> "TargetTrackingPolicy":
        """From a TargetTrackingScalingPolicyConfiguration; omitted cooldowns are 300 s (ECS)."""
        predefined = configuration.get("PredefinedMetricSpecification") or {}
        customized = configuration.get("CustomizedMetricSpecification") or {}
        out_s = configuration.get("ScaleOutCooldown")
        in_s = configuration.get("ScaleInCooldown")
        return cls(
            name=name,
            target=float(configuration["TargetValue"]),
            scale_out_cooldown_s=DEFAULT_COOLDOWN_S if out_s is None else float(out_s),
            scale_in_cooldown_s=DEFAULT_COOLDOWN_S if in_s is None else float(in_s),
            disable_scale_in=bool(configuration.get("DisableScaleIn", False)),
            metric=str(
                predefined.get("PredefinedMetricType") or customized.get("MetricName") or ""
            ),
        )


@dataclass(frozen=True, slots=True)
class AlarmSettings:
    """How Application Auto Scaling sets up the alarms of a policy.

    ``period_s``: seconds per datapoint (60; 20 for high-resolution metrics; the compressed local
    region uses 10). ``high_periods``/``low_periods``: N = M of the two alarms, 1 to 1440.
    ``low_factor``: AlarmLow's threshold as a fraction of the target, 0.5 to 1 ("usually more than
    10% lower").

    Raises:
        PolicyError: outside those ranges.
    """

    period_s: int = 60
    high_periods: int = 3
    low_periods: int = 15
    low_factor: float = 0.9

    def __post_init__(self) -> None:
        """Check the ranges."""
        ranges: dict[str, tuple[float, float]] = {
            "period_s": (1, 86_400),
            "high_periods": (1, 1440),
            "low_periods": (1, 1440),
            "low_factor": (0.5, 1.0),
        }
        for label, (low, high) in ranges.items():
            value = getattr(self, label)
            if not low <= value <= high:
                raise PolicyError(
                    f"alarm settings refused: {label} is {value}; use {low} to {high}"
                )


STANDARD_60S = AlarmSettings()
"""3 and 15 datapoints of 60 s: what is reported for the standard ECS and ALB metrics."""

HIGH_RESOLUTION_20S = AlarmSettings(period_s=20, high_periods=3, low_periods=45)
"""20 s metrics. Unconfirmed: 3 datapoints out fits AWS's benchmark (363 s -> 86 s to trigger,
aws/containers-roadmap#2113); for scale-in the same 15 minutes are assumed (range 3 to 45)."""


@dataclass(frozen=True, slots=True)
class AlarmSpec:
    """One of the alarms of a policy: its side, its rule and the period it evaluates, seconds."""

    side: Literal["high", "low"]
    rule: AlarmRule
    period_s: int


def alarms_for(
    policy: TargetTrackingPolicy, settings: AlarmSettings = STANDARD_60S
) -> tuple[AlarmSpec, ...]:
    """AlarmHigh, then AlarmLow unless scale-in is disabled (assumed: it would have no use).

    Missing data are treated as missing: without datapoints the state is INSUFFICIENT_DATA.
    """
    high = AlarmSpec(
        "high",
        AlarmRule("GreaterThanThreshold", policy.target, settings.high_periods),
        settings.period_s,
    )
    if policy.disable_scale_in:
        return (high,)
    low = AlarmSpec(
        "low",
        AlarmRule("LessThanThreshold", policy.target * settings.low_factor, settings.low_periods),
        settings.period_s,
    )
    return (high, low)


def desired_for(
    policy: TargetTrackingPolicy,
    side: Direction,
    metric_value: float | None,
    running: int,
    desired: int,
    semantics: Semantics = DEFAULT,
    *,
    base: int | None = None,
) -> int | None:
    """The desired count this policy asks for once its alarm is in ALARM; None for no change.

    Out: proportional to the metric, rounded up, only if more than ``desired``. In: proportional,
    rounded up (so that the predicted metric stays at or below the target), only if less than
    ``desired``. The caller clamps to the scalable target's bounds.

    Args:
        policy: the policy.
        side: "out" for AlarmHigh, "in" for AlarmLow.
        metric_value: newest datapoint in the metric's unit; None or not finite means no data.
        running: running tasks, during a deployment those of both revisions.
        desired: the service's current desired count.
        semantics: the undocumented choices.
        base: tasks to multiply the metric with; None takes running or desired by the semantics.
    """
    if metric_value is None or not math.isfinite(metric_value):
        return None
    if side == "out":
        if base is None:
            base = running if semantics.scale_out_base == "running" else desired
        wanted = arithmetic.tracked_scale_out(base, metric_value, policy.target)
        return wanted if wanted > desired else None
    if policy.disable_scale_in:
        return None
    if base is None:
        base = running if semantics.scale_in_base == "running" else desired
    if base <= 0:
        return None
    wanted = arithmetic.tracked_scale_in(
        base,
        metric_value,
        policy.target,
        semantics.scale_in_margin,
        semantics.max_scale_in_fraction,
    )
    return wanted if wanted < desired else None
