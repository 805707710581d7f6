"""A policy of the lab: everything that decides a service's desired count, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from typing import Literal

from runbook.errors import InputInvalid
from runbook.scaling.alarms import AlarmRule
from runbook.scaling.predictive import DEFAULT_BUFFER_S, INTERVAL_S
from runbook.scaling.step_scaling import StepScalingPolicy
from runbook.scaling.target_tracking import AlarmSettings, TargetTrackingPolicy

Metric = Literal["cpu", "requests", "p95"]
_STANDARD_S = 60
METRICS: tuple[Metric, ...] = ("cpu", "requests", "p95")


@dataclass(frozen=True)
class Tracked:
    """A target tracking policy on `metric` with the alarms that come with it."""

    metric: Metric
    policy: TargetTrackingPolicy
    alarms: AlarmSettings


@dataclass(frozen=True)
class Stepped:
    """A step policy and its alarm on `metric` (p95 in seconds).

    It adds tasks above its threshold, or removes some below it; that on CPU alone.

    With `cpu_floor_pct` above 0 the metric counts as 0 in a period whose CPU is not above it:
    metric math `IF(cpu > floor, p95, 0)`.
    """

    metric: Metric
    policy: StepScalingPolicy
    rule: AlarmRule
    period_s: int = 60
    cpu_floor_pct: float = 0.0


@dataclass(frozen=True)
class Scheduled:
    """A recurring scheduled action: new bounds at a time of day (UTC) on some weekdays (0 Monday).

    None leaves a bound as the last action, or the policy, set it.
    """

    at: time
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    min_tasks: int | None = None
    max_tasks: int | None = None


@dataclass(frozen=True)
class Predictive:
    """A floor under the count from an hourly forecast of the load.

    `requests_per_target` is how many requests a minute each task shall have of the forecast
    (AWS: the target of the metric pair ALBRequestCount); `buffer_s` how long before the hour its
    tasks are started (AWS: 300 s unless set, below 3600).
    """

    requests_per_target: float
    buffer_s: float = DEFAULT_BUFFER_S


@dataclass(frozen=True)
class Policy:
    """What `replay` plays. `fixed_tasks` is a static service without scaling.

    `notes` say what was changed from how it was written.
    """

    name: str
    min_tasks: int = 1
    max_tasks: int = 1000
    tracked: tuple[Tracked, ...] = ()
    stepped: tuple[Stepped, ...] = ()
    schedule: tuple[Scheduled, ...] = ()
    predictive: Predictive | None = None
    fixed_tasks: int | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise InputInvalid(f"Policy {self.name} cannot be played", *problem)

    @property
    def periods_s(self) -> tuple[int, ...]:
        """The metric periods its alarms need, ascending."""
        periods = {item.alarms.period_s for item in self.tracked}
        periods |= {item.period_s for item in self.stepped}
        return tuple(sorted(periods))

    @property
    def fast_alarms(self) -> int:
        """Alarms on metrics finer than 60 s, which are charged."""
        tracked = sum(
            1 + (not item.policy.disable_scale_in)
            for item in self.tracked
            if item.alarms.period_s < _STANDARD_S
        )
        return tracked + sum(item.period_s < _STANDARD_S for item in self.stepped)


def _only_adds(step: Stepped) -> bool:
    return step.rule.comparison == "GreaterThanThreshold" and all(
        item.adjustment > 0 and (item.lower is None or item.lower >= 0)
        for item in step.policy.steps
    )


def _only_removes(step: Stepped) -> bool:
    return (
        step.metric == "cpu"
        and step.rule.comparison == "LessThanThreshold"
        and step.policy.adjustment_type != "ExactCapacity"
        and all(
            item.adjustment < 0 and (item.upper is None or item.upper <= 0)
            for item in step.policy.steps
        )
    )


def _problem(policy: Policy) -> tuple[str, str] | None:
    if not 1 <= policy.min_tasks <= policy.max_tasks:
        bounds = f"[{policy.min_tasks}, {policy.max_tasks}]"
        return f"its bounds are {bounds} tasks", "give 1 <= MinTasks <= MaxTasks"
    if policy.fixed_tasks is not None and policy.fixed_tasks < 1:
        return f"{policy.fixed_tasks} fixed tasks", "give 1 or more"
    for step in policy.stepped:
        if not (_only_adds(step) or _only_removes(step)):
            return (
                f"its step policy {step.policy.name} neither only adds tasks above a threshold nor"
                " only removes some below one on CPU",
                "write one policy for each side",
            )
    ranges = [(item.alarms.high_periods, item.alarms.low_periods) for item in policy.tracked]
    ranges += [(item.rule.evaluation_periods,) * 2 for item in policy.stepped]
    if any(max(pair) > 50 for pair in ranges):
        return "an alarm looks at more than 50 datapoints", "use a longer period"
    if policy.predictive is not None and not (
        policy.predictive.requests_per_target > 0 and 0 <= policy.predictive.buffer_s < INTERVAL_S
    ):
        return (
            "its forecast's requests per target or buffer are out of range",
            "give more than 0 a minute and [0, 3600) s",
        )
    return None
