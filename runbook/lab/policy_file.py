"""Policies in files: a `scaling.yaml` as Sceptre launches it, with what the lab adds.

The numbers stand below `parameters:` under the scaling stack's names. What the stack has no
parameter for stands below `sceptre_user_data: policy_lab:` (Sceptre passes that on untouched):

    cpu_steps: {period_s, periods, cooldown_s, steps: [[above_pct, add_pct], ...]}
    predictive: {utilisation, buffer_s}
    schedule: [{at: "07:00", weekdays: [0, 1], min_tasks, max_tasks}]
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from pathlib import Path
from typing import Any

import yaml

from runbook.errors import InputInvalid
from runbook.lab.builtin import cpu_tracking, p95_step, requests_tracking
from runbook.lab.policy import Policy, Predictive, Scheduled, Stepped, Tracked
from runbook.lab.service import ServiceModel
from runbook.scaling.alarms import AlarmRule
from runbook.scaling.errors import PolicyError
from runbook.scaling.step_scaling import StepAdjustment, StepScalingPolicy
from runbook.scaling.target_tracking import HIGH_RESOLUTION_20S

_DEFAULT_COOLDOWN_S = 300.0
_AWS_PERIOD_S = 60
_FAST_PERIOD_S = HIGH_RESOLUTION_20S.period_s
_COOLDOWNS = ("ScaleOutCooldownS", "ScaleInCooldownS", "StepCooldownS")


class _Opaque(yaml.SafeLoader):
    """Sceptre's resolvers are of no interest here."""


_Opaque.add_multi_constructor("!", lambda loader, suffix, node: None)


def read_policy(
    path: Path,
    service: ServiceModel,
    *,
    name: str = "",
    changes: Mapping[str, float] | None = None,
    period_s: int = _AWS_PERIOD_S,
    max_tasks: int | None = None,
) -> Policy:
    """The policy of a file, named after it unless `name` is given.

    `changes` are numbers that replace the file's, such as a recommendation. `period_s` is the
    metric period its cooldowns were chosen for: those of a compressed environment (10 s) are
    played as long as they are in AWS, 60 s a period. `max_tasks` replaces its upper bound.

    Raises InputInvalid when the file is none or a number cannot be.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Opaque)
        numbers = {**_mapping(content, "parameters"), **(changes or {})}
        slower = _AWS_PERIOD_S / period_s
        numbers |= {key: slower * float(numbers[key]) for key in _COOLDOWNS if numbers.get(key)}
        extra = _mapping(_mapping(content, "sceptre_user_data"), "policy_lab")
        return policy_of(name or path.stem, numbers, extra, service, max_tasks=max_tasks)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputInvalid(
            f"{path} cannot be read", str(error).splitlines()[0], "give a scaling.yaml"
        ) from error
    except (PolicyError, ValueError, TypeError, KeyError) as error:
        raise InputInvalid(
            f"{path} is no policy", f"{type(error).__name__}: {error}", "mend its numbers"
        ) from error


def policy_of(
    name: str,
    numbers: Mapping[str, Any],
    extra: Mapping[str, Any],
    service: ServiceModel,
    *,
    max_tasks: int | None = None,
) -> Policy:
    """A policy from the scaling stack's parameters and the lab's additions.

    Raises InputInvalid without any scaling, ValueError and the like for what is no number.
    """
    out_s = _number(numbers, "ScaleOutCooldownS", _DEFAULT_COOLDOWN_S)
    in_s = _number(numbers, "ScaleInCooldownS", _DEFAULT_COOLDOWN_S)
    period_s = _period(numbers.get("MetricPeriodS"))
    tracked: list[Tracked] = []
    if "RequestsPerTarget" in numbers:
        target = float(numbers["RequestsPerTarget"])
        tracked.append(requests_tracking(target, period_s, out_s, in_s))
    if "CpuTarget" in numbers:
        # 60 stands for what the metrics are anyway; only 20 is a choice.
        is_fast = _period(numbers.get("EcsMetricPeriodS")) == _FAST_PERIOD_S
        cpu_period_s = _FAST_PERIOD_S if is_fast else period_s
        tracked.append(cpu_tracking(float(numbers["CpuTarget"]), cpu_period_s, out_s, in_s))
    stepped: list[Stepped] = []
    if "StepAdjustment" in numbers:
        threshold_ms = 1000.0 * _number(numbers, "P95StepThresholdS", service.slo_ms / 1000.0)
        stepped.append(
            p95_step(
                threshold_ms,
                add=int(numbers["StepAdjustment"]),
                cpu_floor_pct=_number(numbers, "P95CpuFloor", 0.0),
                cooldown_s=_number(numbers, "StepCooldownS", _DEFAULT_COOLDOWN_S),
                needed=int(_number(numbers, "StepDatapointsToAlarm", 2)),
                looked_at=int(_number(numbers, "StepEvaluationPeriods", 3)),
                period_s=period_s,
            )
        )
    if extra.get("cpu_steps"):
        stepped.append(cpu_steps(**extra["cpu_steps"]))
    schedule = tuple(_scheduled(item) for item in extra.get("schedule") or ())
    predictive = Predictive(**extra["predictive"]) if extra.get("predictive") else None
    if not tracked:
        raise InputInvalid(
            f"{name} is no policy",
            "it has neither CpuTarget nor RequestsPerTarget below `parameters:`",
            "give a scaling.yaml, or one of the built-in names",
        )
    minimum = int(_number(numbers, "MinTasks", 1))
    return Policy(
        name,
        minimum,
        max(max_tasks, minimum) if max_tasks else int(_number(numbers, "MaxTasks", 1000)),
        tuple(tracked),
        tuple(stepped),
        schedule,
        predictive,
    )


def cpu_steps(period_s: int, periods: int, cooldown_s: float, steps: list[list[float]]) -> Stepped:
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


def _mapping(content: Any, key: str) -> Mapping[str, Any]:
    value = content.get(key) if isinstance(content, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _number(numbers: Mapping[str, Any], name: str, default: float) -> float:
    return float(numbers[name]) if numbers.get(name) is not None else default


def _period(value: Any) -> int:
    """The metric period; 60 s where the file takes it from the environment."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return _AWS_PERIOD_S


def _scheduled(item: Mapping[str, Any]) -> Scheduled:
    return Scheduled(
        time.fromisoformat(str(item["at"])),
        tuple(item.get("weekdays") or range(7)),
        item.get("min_tasks"),
        item.get("max_tasks"),
    )
