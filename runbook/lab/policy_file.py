"""Policies in files: a `scaling.yaml` as Sceptre launches it, with what the lab adds.

The numbers stand below `parameters:` under the scaling stack's names. What the stack has no
parameter for stands below `sceptre_user_data: policy_lab:` (Sceptre passes that on untouched):

    cpu_steps: {period_s, periods, cooldown_s, steps: [[above_pct, add_pct], ...]}
    cpu_steps_in: {period_s, periods, cooldown_s, steps: [[below_pct, remove_pct], ...]}
    predictive: {utilisation, buffer_s}
    schedule: [{at: "07:00", weekdays: [0, 1], min_tasks, max_tasks}]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import time
from pathlib import Path
from typing import Any

import yaml

from runbook.environment import load_environment
from runbook.errors import InputInvalid
from runbook.lab.builtin import cpu_tracking, p95_step, requests_tracking
from runbook.lab.policy import Policy, Predictive, Scheduled, Stepped, Tracked
from runbook.lab.policy_numbers import checked_numbers, mapping, number, only_known
from runbook.lab.service import ServiceModel
from runbook.scaling.alarms import AlarmRule
from runbook.scaling.errors import PolicyError
from runbook.scaling.predictive import DEFAULT_BUFFER_S, INTERVAL_S
from runbook.scaling.step_scaling import StepAdjustment, StepScalingPolicy
from runbook.scaling.target_tracking import HIGH_RESOLUTION_20S

_DEFAULT_COOLDOWN_S = 300.0
_AWS_PERIOD_S = 60
_FAST_PERIOD_S = HIGH_RESOLUTION_20S.period_s
_COOLDOWNS = ("ScaleOutCooldownS", "ScaleInCooldownS", "StepCooldownS")
_MOST_COOLDOWN_S = 86_400.0
_MOST_STEPS = 20
_ANY = float("inf")


class _Opaque(yaml.SafeLoader):
    """Sceptre's resolvers are of no interest here."""


_Opaque.add_multi_constructor("!", lambda loader, suffix, node: None)


def read_policy(
    path: Path,
    service: ServiceModel,
    *,
    name: str = "",
    changes: Mapping[str, float] | None = None,
    max_tasks: int | None = None,
) -> Policy:
    """The policy of a file, named after it unless `name` is given.

    `changes` are numbers that replace the file's, such as a recommendation. Where the file was
    written for metric periods shorter than AWS's 60 s (by its `MetricPeriodS`, else by the
    environment it stands in), its cooldowns are played as many periods long, and the policy says
    so. `max_tasks` replaces its upper bound.

    Raises InputInvalid when the file is none or a number cannot be.
    """
    name = name or path.stem
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Opaque)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputInvalid(
            f"{path} cannot be read", str(error).splitlines()[0], "give a scaling.yaml"
        ) from error
    top = mapping(name, content, str(path))
    numbers = {**mapping(name, top.get("parameters"), "parameters"), **(changes or {})}
    user_data = mapping(name, top.get("sceptre_user_data"), "sceptre_user_data")
    extra = mapping(name, user_data.get("policy_lab"), "policy_lab")
    period_s = _written_for_s(path, numbers)
    if period_s < _AWS_PERIOD_S:
        numbers["MetricPeriodS"] = _AWS_PERIOD_S
    return policy_of(name, numbers, extra, service, max_tasks=max_tasks, written_for_s=period_s)


def policy_of(
    name: str,
    numbers: Mapping[str, Any],
    extra: Mapping[str, Any],
    service: ServiceModel,
    *,
    max_tasks: int | None = None,
    written_for_s: int = _AWS_PERIOD_S,
) -> Policy:
    """A policy from the scaling stack's parameters and the lab's additions.

    Cooldowns written for periods of `written_for_s` are played as many of AWS's periods long.
    Raises InputInvalid without any scaling, and for what cannot be.
    """
    period_s = _period(numbers.get("MetricPeriodS"))
    given = checked_numbers(name, numbers)
    slower = max(1.0, _AWS_PERIOD_S / written_for_s)
    cooldowns = {key: slower * given.get(key, _DEFAULT_COOLDOWN_S / slower) for key in _COOLDOWNS}
    out_s, in_s = cooldowns["ScaleOutCooldownS"], cooldowns["ScaleInCooldownS"]
    tracked: list[Tracked] = []
    if "RequestsPerTarget" in given:
        tracked.append(requests_tracking(given["RequestsPerTarget"], period_s, out_s, in_s))
    if "CpuTarget" in given:
        # 60 stands for what the metrics are anyway; only 20 is a choice.
        is_fast = given.get("EcsMetricPeriodS") == _FAST_PERIOD_S
        cpu_period_s = _FAST_PERIOD_S if is_fast else period_s
        tracked.append(cpu_tracking(given["CpuTarget"], cpu_period_s, out_s, in_s))
    only_known(name, extra, ("cpu_steps", "cpu_steps_in", "predictive", "schedule"), "policy_lab")
    try:
        stepped = _stepped(name, given, extra, service, period_s, cooldowns["StepCooldownS"])
    except PolicyError as error:
        raise InputInvalid(
            f"Policy {name} cannot be played", str(error), "mend its numbers"
        ) from error
    schedule = _schedule(name, extra.get("schedule"))
    predictive = _predictive(name, mapping(name, extra.get("predictive"), "predictive"))
    if not (tracked or stepped or schedule or predictive):
        raise InputInvalid(
            f"{name} is no policy",
            "it has no CpuTarget, RequestsPerTarget or StepAdjustment below `parameters:` and"
            " nothing below policy_lab",
            "give a scaling.yaml, or one of the built-in names",
        )
    minimum = int(given.get("MinTasks", 1))
    notes: tuple[str, ...] = ()
    if slower > 1.0:
        notes = (
            f"cooldowns written for {written_for_s} s periods, played {slower:g} times as long",
        )
    return Policy(
        name,
        minimum,
        max(max_tasks, minimum) if max_tasks else int(given.get("MaxTasks", 1000)),
        tuple(tracked),
        stepped,
        schedule,
        predictive,
        notes=notes,
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


def _stepped(
    name: str,
    given: Mapping[str, float],
    extra: Mapping[str, Any],
    service: ServiceModel,
    period_s: int,
    cooldown_s: float,
) -> tuple[Stepped, ...]:
    found = []
    if "StepAdjustment" in given:
        found.append(
            p95_step(
                1000.0 * given.get("P95StepThresholdS", service.slo_ms / 1000.0),
                add=int(given["StepAdjustment"]),
                cpu_floor_pct=given.get("P95CpuFloor", 0.0),
                cooldown_s=cooldown_s,
                needed=int(given.get("StepDatapointsToAlarm", 2)),
                looked_at=int(given.get("StepEvaluationPeriods", 3)),
                period_s=period_s,
            )
        )
    for key, build, pair, most in (
        ("cpu_steps", cpu_steps, ("above_pct", "add_pct"), _ANY),
        ("cpu_steps_in", cpu_steps_in, ("below_pct", "remove_pct"), 100.0),
    ):
        written = mapping(name, extra.get(key), key)
        if written:
            found.append(build(*_read_steps(name, key, written, pair, most)))
    return tuple(found)


def _read_steps(
    name: str, key: str, written: Mapping[str, Any], names: tuple[str, str], most_pct: float
) -> tuple[int, int, float, list[tuple[float, float]]]:
    """Period, periods, cooldown and steps of steps on CPU, checked."""
    only_known(name, written, ("period_s", "periods", "cooldown_s", "steps"), key)
    steps = written.get("steps")
    if (
        not isinstance(steps, Sequence)
        or not 1 <= len(steps) <= _MOST_STEPS
        or not all(isinstance(pair, Sequence) and len(pair) == 2 for pair in steps)
    ):
        raise InputInvalid(
            f"Policy {name} cannot be played",
            f"policy_lab.{key}.steps is {steps!r}",
            f"give 1 to {_MOST_STEPS} pairs [{', '.join(names)}]",
        )
    period_s = number(name, f"{key}.period_s", written.get("period_s", 60), 20, 3600, whole=True)
    periods = number(name, f"{key}.periods", written.get("periods", 1), 1, 30, whole=True)
    cooldown_s = number(
        name,
        f"{key}.cooldown_s",
        written.get("cooldown_s", _DEFAULT_COOLDOWN_S),
        0,
        _MOST_COOLDOWN_S,
    )
    pairs = [
        (
            number(name, f"{key}.steps: {names[0]}", edge, 0, 100),
            number(name, f"{key}.steps: {names[1]}", change, 1, most_pct, whole=True),
        )
        for edge, change in steps
    ]
    return int(period_s), int(periods), cooldown_s, pairs


def _predictive(name: str, written: Mapping[str, Any]) -> Predictive | None:
    if not written:
        return None
    only_known(name, written, ("utilisation", "buffer_s"), "predictive")
    return Predictive(
        number(name, "predictive.utilisation", written.get("utilisation"), 0.01, 1),
        number(
            name,
            "predictive.buffer_s",
            written.get("buffer_s", DEFAULT_BUFFER_S),
            0,
            INTERVAL_S - 1,
        ),
    )


def _schedule(name: str, written: Any) -> tuple[Scheduled, ...]:
    if written is None:
        return ()
    if not isinstance(written, list):
        raise InputInvalid(
            f"Policy {name} cannot be played", "policy_lab.schedule is no list", "give a list"
        )
    return tuple(_scheduled(name, mapping(name, item, "schedule")) for item in written)


def _scheduled(name: str, item: Mapping[str, Any]) -> Scheduled:
    only_known(name, item, ("at", "weekdays", "min_tasks", "max_tasks"), "schedule")
    bounds = [
        None
        if item.get(key) is None
        else int(number(name, f"schedule: {key}", item[key], 1, _ANY, whole=True))
        for key in ("min_tasks", "max_tasks")
    ]
    days = item.get("weekdays")
    try:
        at = time.fromisoformat(str(item.get("at")))
    except ValueError as error:
        raise InputInvalid(
            f"Policy {name} cannot be played",
            f"policy_lab.schedule: at is {item.get('at')!r}",
            'give a time of day in UTC, quoted, such as "07:00"',
        ) from error
    if days is not None and not isinstance(days, list):
        raise InputInvalid(
            f"Policy {name} cannot be played",
            f"policy_lab.schedule: weekdays is {days!r}",
            "give a list of 0 (Monday) to 6",
        )
    whole = [
        int(number(name, "schedule: weekdays", day, 0, 6, whole=True)) for day in days or range(7)
    ]
    return Scheduled(at, tuple(whole), *bounds)


def _written_for_s(path: Path, numbers: Mapping[str, Any]) -> int:
    """The metric period a file was written for: its own number, else its environment's."""
    try:
        return int(numbers["MetricPeriodS"])
    except (KeyError, TypeError, ValueError):
        pass
    folder = path.resolve().parent
    if not (folder / "config.yaml").is_file() or folder.parent.name != "config":
        return _AWS_PERIOD_S
    return load_environment(folder.name, folder, folder.parents[1]).metric_period_s


def _period(value: Any) -> int:
    """The metric period; 60 s where the file takes it from the environment."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return _AWS_PERIOD_S
