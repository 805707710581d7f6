"""The policies known by name: what people use today, and what they are compared with."""

from __future__ import annotations

import difflib
import re
from datetime import time

from runbook.errors import InputInvalid
from runbook.lab.policy import Policy, Predictive, Scheduled, Stepped, Tracked
from runbook.lab.service import ServiceModel
from runbook.scaling.alarms import AlarmRule
from runbook.scaling.step_scaling import StepAdjustment, StepScalingPolicy
from runbook.scaling.target_tracking import (
    HIGH_RESOLUTION_20S,
    STANDARD_60S,
    AlarmSettings,
    TargetTrackingPolicy,
)

HEADROOM = 0.83
"""Share of c_SLO that `requests-60s` aims at: what 30_analyse takes unless told otherwise."""
NAMES = (
    "cpu-50-60s",
    "cpu-60-60s",
    "cpu-70-60s",
    "cpu-75-60s",
    "cpu-50-20s",
    "cpu-60-20s",
    "cpu-70-20s",
    "cpu-75-20s",
    "requests-60s",
    "step-p95",
    "scheduled",
    "predictive",
    "predictive-20s",
    "static-peak",
)
_CPU = re.compile(r"cpu-(?P<target>\d{1,3})-(?P<period>20|60)s")
_NEARLY_CPU = re.compile(r"cpu[-_ ]?(?P<target>[1-9]\d*)\b")
_HIGHEST_CPU = 100


def alarms_of(period_s: int) -> AlarmSettings:
    """How the alarms of a target tracking policy are set up for a metric period.

    Any period but 60 and 20 s (the compressed local region) keeps 3 datapoints for out.
    """
    known = {60: STANDARD_60S, 20: HIGH_RESOLUTION_20S}
    return known.get(period_s) or AlarmSettings(period_s=period_s)


def cpu_tracking(
    target_pct: float, period_s: int, out_s: float = 300.0, in_s: float = 300.0
) -> Tracked:
    """Target tracking on CPU percent; cooldowns in seconds, ECS's defaults of 300."""
    policy = TargetTrackingPolicy("cpu", target_pct, out_s, in_s)
    return Tracked("cpu", policy, alarms_of(period_s))


def requests_tracking(
    per_minute: float, period_s: int = 60, out_s: float = 300.0, in_s: float = 300.0
) -> Tracked:
    """Target tracking on requests per target and minute."""
    policy = TargetTrackingPolicy("requests", per_minute, out_s, in_s)
    return Tracked("requests", policy, alarms_of(period_s))


def p95_step(
    slo_ms: float,
    *,
    add_pct: int = 10,
    add: int | None = None,
    cpu_floor_pct: float = 0.0,
    cooldown_s: float = 60.0,
    needed: int = 2,
    looked_at: int = 3,
    period_s: int = 60,
) -> Stepped:
    """The safety net: p95 over the SLO adds tasks, `add` of them or `add_pct` percent."""
    steps = (StepAdjustment(0.0, None, add or add_pct),)
    policy = StepScalingPolicy(
        "p95",
        steps,
        "ChangeInCapacity" if add else "PercentChangeInCapacity",
        cooldown_s,
        None if add else 1,
        "Maximum",
    )
    rule = AlarmRule("GreaterThanThreshold", slo_ms / 1000.0, looked_at, needed, "notBreaching")
    return Stepped("p95", policy, rule, period_s, cpu_floor_pct)


def builtin(name: str, service: ServiceModel, *, peak_tasks: int, max_tasks: int) -> Policy:
    """The policy of a built-in name. Raises InputInvalid for an unknown name.

    `peak_tasks` is what the train window's p99 needs, which `static-peak` and `scheduled` know;
    `max_tasks` bounds every policy alike.
    """
    most = max_tasks
    found = _CPU.fullmatch(name)
    if found and 1 <= int(found["target"]) <= _HIGHEST_CPU:
        return Policy(name, 1, most, (cpu_tracking(int(found["target"]), int(found["period"])),))
    worst = float(min(service.c_slo_rps[1:]))
    if name == "requests-60s":
        return Policy(name, 1, most, (requests_tracking(round(HEADROOM * worst * 60.0)),))
    if name == "step-p95":
        return Policy(name, 1, most, (cpu_tracking(70, 60),), (p95_step(service.slo_ms),))
    if name == "scheduled":
        half = max(1, round(0.6 * peak_tasks))
        schedule = (Scheduled(time(7), min_tasks=half), Scheduled(time(22), min_tasks=1))
        return Policy(name, 1, most, (cpu_tracking(70, 60),), schedule=schedule)
    if name in ("predictive", "predictive-20s"):
        period_s = 20 if name.endswith("20s") else 60
        utilisation = min(1.0, 70.0 / service.cpu_pct_at_c_slo(peak_tasks))
        forecast = Predictive(
            round(60.0 * utilisation * service.carried_rps(peak_tasks) / peak_tasks)
        )
        return Policy(name, 1, most, (cpu_tracking(70, period_s),), predictive=forecast)
    if name == "static-peak":
        return Policy(name, fixed_tasks=peak_tasks)
    raise InputInvalid(
        f"The policy {name!r} is not known",
        f"neither a built-in name ({', '.join(NAMES)}) nor a file",
        _meant(name),
    )


def _meant(name: str) -> str:
    """What to do instead of naming an unknown policy."""
    given = _NEARLY_CPU.match(name)
    if (given and int(given["target"]) > _HIGHEST_CPU) or name.startswith("cpu-0"):
        return f"give a percentage of CPU from 1 to {_HIGHEST_CPU}"
    if given:
        return f"did you mean cpu-{given['target']}-60s?"
    near = [] if set(name) & set("./") else difflib.get_close_matches(name, NAMES, 1)
    return f"did you mean {near[0]}?" if near else "name one of them, or give a scaling.yaml"
