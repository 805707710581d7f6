"""What a policy file says below `policy_lab`: steps on CPU, a forecast, a schedule.

    cpu_steps: {period_s, periods, cooldown_s, steps: [[above_pct, add_pct], ...]}
    cpu_steps_in: {period_s, periods, cooldown_s, steps: [[below_pct, remove_pct], ...]}
    predictive: {requests_per_target, buffer_s}
    schedule: [{at: "07:00", weekdays: [0, 1], min_tasks, max_tasks}]

Edges are CPU percent, to a millionth. The lab plays it and the scaling stack launches it
(`launched`), from the same values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any

from runbook.environment import LOCAL
from runbook.errors import InputInvalid
from runbook.lab.policy import Policy, Predictive, Scheduled, Stepped
from runbook.lab.policy_numbers import mapping, number, only_known, unplayable
from runbook.scaling.alarms import AlarmRule
from runbook.scaling.errors import PolicyError
from runbook.scaling.predictive import DEFAULT_BUFFER_S, INTERVAL_S
from runbook.scaling.step_scaling import (
    DEFAULT_COOLDOWN_S,
    StepAdjustment,
    StepScalingPolicy,
)
from runbook.scaling.target_tracking import HIGH_RESOLUTION_20S

KEY = "policy_lab"
"""Where the additions stand in a stack's user data."""
_PARTS = ("cpu_steps", "cpu_steps_in", "predictive", "schedule")
_MOST_COOLDOWN_S = 86_400.0
_STANDARD_S = 60
_MOST_STEPS = 20
_MOST_PCT = 10_000.0
_MOST_RANGE_S = 86_400
"""What the datapoints of an alarm may span where its period is under an hour (PutMetricAlarm)."""
_ANY = float("inf")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


@dataclass(frozen=True)
class Additions:
    """The parts of a policy that need more than numbers."""

    cpu_steps: Stepped | None = None
    cpu_steps_in: Stepped | None = None
    predictive: Predictive | None = None
    schedule: tuple[Scheduled, ...] = ()

    @property
    def stepped(self) -> tuple[Stepped, ...]:
        """The step policies there are."""
        return tuple(item for item in (self.cpu_steps, self.cpu_steps_in) if item is not None)

    @property
    def fast(self) -> bool:
        """Whether steps rest on metrics finer than a minute."""
        return any(item.period_s < _STANDARD_S for item in self.stepped)

    @property
    def unemulated(self) -> tuple[str, ...]:
        """What the local region cannot launch."""
        parts = (("forecast", self.predictive), ("schedule", self.schedule))
        return tuple(name for name, there in parts if there)

    @property
    def most_tasks(self) -> int:
        """The most tasks that the schedule names; 0 without one."""
        return max((item.max_tasks or item.min_tasks or 0 for item in self.schedule), default=0)


def policy_lab(name: str, user_data: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stands below `policy_lab` of a stack's user data; nothing is an empty mapping.

    Other keys are the environment's own, but not one that holds what belongs here, or that is
    this one spelt otherwise: it would be ignored without a word. Raises InputInvalid.
    """
    for key, value in user_data.items():
        spelt = re.sub(r"[^a-z]", "", str(key).lower()) == KEY.replace("_", "")
        if key != KEY and (spelt or (isinstance(value, Mapping) and set(value) & set(_PARTS))):
            raise unplayable(
                name, f"sceptre_user_data holds the unknown {key!r}", f"did you mean {KEY}?"
            )
    return mapping(name, user_data.get(KEY), KEY)


def read_additions(name: str, extra: Mapping[str, Any]) -> Additions:
    """What `extra` says, the mapping below `policy_lab`. Raises InputInvalid, told why."""
    only_known(name, extra, _PARTS, KEY)
    try:
        found = Additions(
            _steps_on_cpu(name, extra, "cpu_steps"),
            _steps_on_cpu(name, extra, "cpu_steps_in"),
            _predictive(name, extra.get("predictive")),
            _schedule(name, extra.get("schedule")),
        )
    except PolicyError as error:
        raise unplayable(name, str(error), "mend its numbers") from error
    # A policy of them alone is asked, so that what launches is what could be played.
    Policy(name, stepped=found.stepped, schedule=found.schedule, predictive=found.predictive)
    return found


def require_launchable(name: str, environment: str, additions: Additions) -> None:
    """Raise InputInvalid for what the environment cannot launch."""
    if environment == LOCAL and additions.unemulated:
        raise InputInvalid(
            f"Policy {name} cannot be launched in {LOCAL}",
            f"the local region has no {' and no '.join(additions.unemulated)}",
            "replay it in the lab, and launch it in an environment of AWS",
        )


def cpu_steps(
    period_s: int, periods: int, cooldown_s: float, steps: Sequence[Sequence[float]]
) -> Stepped:
    """Steps on CPU: above each percentage add that percent of the tasks, at least one."""
    ordered = sorted((float(above), int(add)) for above, add in steps)
    threshold = ordered[0][0]
    edges: list[float | None] = [above - threshold for above, _ in ordered]
    adjustments = tuple(
        StepAdjustment(low, high, add)
        for low, high, (_, add) in zip(edges, [*edges[1:], None], ordered, strict=True)
    )
    policy = StepScalingPolicy(
        "cpu-steps", adjustments, "PercentChangeInCapacity", cooldown_s, 1, "Maximum"
    )
    rule = AlarmRule("GreaterThanThreshold", threshold, periods)
    return Stepped("cpu", policy, rule, period_s)


def cpu_steps_in(
    period_s: int, periods: int, cooldown_s: float, steps: Sequence[Sequence[float]]
) -> Stepped:
    """Steps on CPU: below each percentage remove that percent of the tasks, at least one."""
    ordered = sorted((float(below), int(remove)) for below, remove in steps)
    threshold = ordered[-1][0]
    edges: list[float | None] = [below - threshold for below, _ in ordered]
    adjustments = tuple(
        StepAdjustment(low, high, -remove)
        for low, high, (_, remove) in zip([None, *edges], edges, ordered, strict=False)
    )
    # The highest of the datapoints decides how much goes.
    policy = StepScalingPolicy(
        "cpu-steps-in", adjustments, "PercentChangeInCapacity", cooldown_s, 1, "Maximum"
    )
    rule = AlarmRule("LessThanThreshold", threshold, periods)
    return Stepped("cpu", policy, rule, period_s)


def _steps_on_cpu(name: str, extra: Mapping[str, Any], key: str) -> Stepped | None:
    if extra.get(key) is None:
        return None
    written = mapping(name, extra[key], key)
    if key == "cpu_steps":
        return cpu_steps(*_read_steps(name, key, written, ("above_pct", "add_pct"), _MOST_PCT))
    return cpu_steps_in(*_read_steps(name, key, written, ("below_pct", "remove_pct"), 100.0))


def _read_steps(
    name: str, key: str, written: Mapping[str, Any], names: tuple[str, str], most_pct: float
) -> tuple[int, int, float, list[tuple[float, float]]]:
    """Period, periods, cooldown and steps of steps on CPU, checked."""
    only_known(name, written, ("period_s", "periods", "cooldown_s", "steps"), key)
    steps = written.get("steps")
    if (
        not isinstance(steps, list | tuple)
        or not 1 <= len(steps) <= _MOST_STEPS
        or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in steps)
    ):
        raise unplayable(
            name,
            f"policy_lab.{key}.steps is {steps!r}",
            f"give 1 to {_MOST_STEPS} pairs [{', '.join(names)}]",
        )
    period_s = number(name, f"{key}.period_s", written.get("period_s", 60), 20, 3600, whole=True)
    if period_s != HIGH_RESOLUTION_20S.period_s and period_s % 60:
        raise unplayable(
            name,
            f"policy_lab.{key}.period_s is {period_s:g}",
            "give 20 or a multiple of 60, as ECS has its metrics",
        )
    periods = number(name, f"{key}.periods", written.get("periods", 1), 1, 30, whole=True)
    if period_s * periods > _MOST_RANGE_S:
        raise unplayable(
            name,
            f"policy_lab.{key} looks at {period_s * periods:.0f} s",
            f"let period_s x periods be {_MOST_RANGE_S} s at most, as CloudWatch does",
        )
    cooldown_s = number(
        name,
        f"{key}.cooldown_s",
        written.get("cooldown_s", DEFAULT_COOLDOWN_S),
        0,
        _MOST_COOLDOWN_S,
        whole=True,
    )
    pairs = [
        (
            round(number(name, f"{key}.steps: {names[0]}", edge, 0, 100), 6),
            number(name, f"{key}.steps: {names[1]}", change, 1, most_pct, whole=True),
        )
        for edge, change in steps
    ]
    return int(period_s), int(periods), cooldown_s, pairs


def _predictive(name: str, given: Any) -> Predictive | None:
    if given is None:
        return None
    written = mapping(name, given, "predictive")
    only_known(name, written, ("requests_per_target", "buffer_s"), "predictive")
    wanted = written.get("requests_per_target")
    return Predictive(
        number(name, "predictive.requests_per_target", wanted, 1, _ANY),
        number(
            name,
            "predictive.buffer_s",
            written.get("buffer_s", DEFAULT_BUFFER_S),
            0,
            INTERVAL_S - 1,
            whole=True,
        ),
    )


def _schedule(name: str, written: Any) -> tuple[Scheduled, ...]:
    if written is None:
        return ()
    if not isinstance(written, list):
        raise unplayable(name, "policy_lab.schedule is no list", "give a list")
    return tuple(_scheduled(name, mapping(name, item, "schedule")) for item in written)


def _scheduled(name: str, item: Mapping[str, Any]) -> Scheduled:
    only_known(name, item, ("at", "weekdays", "min_tasks", "max_tasks"), "schedule")
    bounds = [
        None
        if item.get(key) is None
        else int(number(name, f"schedule: {key}", item[key], 1, _ANY, whole=True))
        for key in ("min_tasks", "max_tasks")
    ]
    least, most = bounds
    if (least, most) == (None, None) or (least or 0) > (most or _ANY):
        raise unplayable(
            name,
            f"policy_lab.schedule: min_tasks {least}, max_tasks {most}",
            "give one of them or both, the minimum not above the maximum",
        )
    # YAML reads 22:00 without quotes as a number of base 60.
    if not (isinstance(item.get("at"), str) and _CLOCK.fullmatch(item["at"])):
        raise unplayable(
            name,
            f"policy_lab.schedule: at is {item.get('at')!r}",
            'give a time of day in UTC, quoted, such as "07:00"',
        )
    days = item.get("weekdays", list(range(7)))
    if not isinstance(days, list) or not days:
        raise unplayable(
            name,
            f"policy_lab.schedule: weekdays is {days!r}",
            "give a list of 0 (Monday) to 6",
        )
    whole = [int(number(name, "schedule: weekdays", day, 0, 6, whole=True)) for day in days]
    at = time.fromisoformat(item["at"])
    return Scheduled(at, tuple(whole), *bounds)
