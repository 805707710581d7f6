"""The load of a verification, shaped by the capacity curve and the policies in force."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from runbook import aws
from runbook.capacity.curve import CapacityCurve
from runbook.environment import Environment
from runbook.errors import InputInvalid
from runbook.load.schedule import Segment, constant, duration_s, ramp
from runbook.metrics.history import ScalingAlarm, scaling_alarms
from runbook.metrics.service import service_identity
from runbook.thresholds import current_values

#: The base load as a share of what one task is meant to carry.
_BASE_SHARE = 0.7
#: The highest load stays this far below what asks for one task more than needed.
_PEAK_SHARE = 0.95
#: One task fewer must not carry the highest load: it exceeds their capacity by this.
_BEYOND = 1.05
#: A wave is drawn by so many straight pieces.
_PIECES = 12

LoadShape = Literal["rise", "surge", "wave"]
_VERBS = {"rise": "rise to and hold", "surge": "jump to and hold", "wave": "swing twice, up to"}


@dataclass(frozen=True)
class VerificationPlan:
    """What will be driven. Rates are totals, in requests/s; times in seconds from the start.

    `target_rps` is the configured RequestsPerTarget a second; `rise_at_s` is when the load
    begins to rise, `fall_at_s` when it falls back to `base_rps`.
    """

    segments: tuple[Segment, ...]
    path: str
    slo_ms: float
    period_s: int
    tasks_needed: int
    min_tasks: int
    base_rps: float
    peak_rps: float
    target_rps: float
    rise_at_s: float
    fall_at_s: float
    alarms: tuple[ScalingAlarm, ...]
    load_shape: LoadShape = "rise"
    seed: int = 7
    timeout_s: float = 10.0

    @property
    def duration_s(self) -> float:
        """How long load is driven at most."""
        return duration_s(self.segments)

    def describe(self) -> list[str]:
        """What will happen, for a plan."""
        return [
            f"begin with {self.min_tasks} task(s), scaling as deployed",
            f"hold {self.base_rps:.0f} requests/s, which one task carries, "
            f"for {self.rise_at_s:.0f} s",
            f"{_VERBS[self.load_shape]} {self.peak_rps:.0f} requests/s, which needs"
            f" {self.tasks_needed} tasks, until {self.fall_at_s:.0f} s",
            f"fall back to {self.base_rps:.0f} requests/s until the service has scaled in",
            f"take about {self.duration_s / 60:.1f} minutes",
        ]


def plan_verification(
    environment: Environment,
    curve: CapacityCurve,
    *,
    tasks_needed: int = 3,
    load_shape: LoadShape = "rise",
    path: str = "/products",
    seed: int = 7,
) -> VerificationPlan:
    """Plan the verification of the policies that are deployed.

    Raises InputInvalid when no scaling policy is deployed or the load cannot be shaped.
    """
    values = current_values(environment)
    autoscaling = aws.client(environment, "application-autoscaling")
    cloudwatch = aws.client(environment, "cloudwatch")
    alarms = scaling_alarms(autoscaling, cloudwatch, service_identity(environment).resource_id)
    return shape(
        curve,
        values,
        alarms,
        period_s=environment.metric_period_s,
        tasks_needed=tasks_needed,
        load_shape=load_shape,
        path=path,
        seed=seed,
    )


def shape(
    curve: CapacityCurve,
    values: dict[str, float],
    alarms: tuple[ScalingAlarm, ...],
    *,
    period_s: int,
    tasks_needed: int,
    load_shape: LoadShape = "rise",
    path: str = "/products",
    seed: int = 7,
) -> VerificationPlan:
    """The plan for configured values and deployed alarms; pure. Raises InputInvalid.

    A rise takes as long as the alarms need to act more than once, so that one task is not
    buried under a backlog while they do; a surge is there at once; a wave rises and falls like
    the tide, twice, the second time higher. The fall is held until the slowest scale-in alarm
    has had its time.
    """
    if load_shape not in get_args(LoadShape):
        raise InputInvalid(
            "The load cannot be shaped",
            f"load_shape is {load_shape!r}",
            f"choose {', '.join(get_args(LoadShape))}",
        )
    out = [alarm for alarm in alarms if alarm.direction == "out"]
    into = [alarm for alarm in alarms if alarm.direction == "in"]
    if not out or not into:
        raise InputInvalid(
            "Scaling cannot be verified",
            f"the service has {len(out)} alarms that scale out and {len(into)} that scale in",
            "deploy the scaling stack: runbook run 50_apply",
        )
    minimum, maximum = int(values["MinTasks"]), int(values["MaxTasks"])
    if not minimum < tasks_needed <= maximum:
        raise InputInvalid(
            f"A load that needs {tasks_needed} tasks cannot be verified",
            f"the service runs {minimum} to {maximum} tasks",
            "choose tasks_needed above MinTasks and up to MaxTasks",
        )
    target = values["RequestsPerTarget"] / 60.0
    worst = min(count.lo_per_task_rps for count in curve.counts)
    base = _BASE_SHARE * min(target, worst) * minimum
    fewer = tasks_needed - 1
    peak = max(fewer * _capacity(curve, fewer) * _BEYOND, (fewer + 0.4) * target)
    peak = min(peak, _PEAK_SHARE * tasks_needed * target)
    affordable = tasks_needed * _capacity(curve, tasks_needed)
    if not fewer * target < peak <= affordable:
        raise InputInvalid(
            f"A load that needs {tasks_needed} tasks cannot be verified",
            f"with RequestsPerTarget at {60 * target:.0f} it would be {peak:.0f} requests/s, and "
            f"{tasks_needed} tasks keep the SLO up to {affordable:.0f}",
            "apply the recommended thresholds first: runbook run 30_analyse 50_apply",
        )
    high_s = max(alarm.reaction_s for alarm in out)
    low_s = max(alarm.reaction_s for alarm in into)
    middle = _middle(load_shape, base, peak, high_s, period_s)
    segments = (
        *constant(base, period_s, "base"),
        *middle,
        *constant(base, low_s + 1.5 * period_s, "base again"),
    )
    rise_at_s = segments[0].duration_s
    return VerificationPlan(
        segments=segments,
        path=path,
        slo_ms=curve.slo_ms,
        period_s=period_s,
        tasks_needed=tasks_needed,
        min_tasks=minimum,
        base_rps=base,
        peak_rps=peak,
        target_rps=target,
        rise_at_s=rise_at_s,
        fall_at_s=rise_at_s + duration_s(middle),
        alarms=alarms,
        load_shape=load_shape,
        seed=seed,
    )


def _middle(
    load_shape: LoadShape, base: float, peak: float, high_s: float, period_s: int
) -> tuple[Segment, ...]:
    """What happens between the base load and the base load again."""
    rising_s = 2 * high_s + 2 * period_s
    if load_shape == "rise":
        return (*ramp(base, peak, rising_s, "rise"), *constant(peak, high_s, "peak"))
    if load_shape == "surge":
        return constant(peak, rising_s + high_s, "peak")
    lower = base + 0.5 * (peak - base)
    return (*_hump(base, lower, rising_s, "wave"), *_hump(base, peak, 2 * rising_s, "wave"))


def _hump(base: float, top: float, lasting_s: float, label: str) -> tuple[Segment, ...]:
    at = np.sin(np.linspace(0.0, np.pi, _PIECES + 1)) ** 2
    rates = base + (top - base) * at
    return tuple(
        Segment(lasting_s / _PIECES, float(before), float(after), label)
        for before, after in pairwise(rates)
    )


def _capacity(curve: CapacityCurve, tasks: int) -> float:
    """c_SLO per task for a count, between measured counts by straight line."""
    counts = sorted(curve.counts, key=lambda count: count.tasks)
    return float(
        np.interp(
            tasks,
            [count.tasks for count in counts],
            [count.c_slo_per_task_rps for count in counts],
        )
    )
