"""Policies in files: a `scaling.yaml` as Sceptre launches it.

The numbers stand below `parameters:` under the scaling stack's names, what numbers cannot say
below `sceptre_user_data: policy_lab:` (`additions`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from runbook.environment import load_environment
from runbook.errors import InputInvalid, plainly
from runbook.lab.additions import KEY, policy_lab, read_additions
from runbook.lab.builtin import cpu_tracking, p95_step, requests_tracking
from runbook.lab.policy import Policy, Stepped, Tracked
from runbook.lab.policy_numbers import (
    COOLDOWNS,
    METRIC_PERIODS_S,
    checked_numbers,
    mapping,
    no_near_miss,
    unplayable,
)
from runbook.lab.service import ServiceModel
from runbook.scaling.errors import PolicyError
from runbook.scaling.step_scaling import DEFAULT_COOLDOWN_S
from runbook.scaling.target_tracking import HIGH_RESOLUTION_20S

AWS_PERIOD_S = 60
_FAST_PERIOD_S = HIGH_RESOLUTION_20S.period_s
_DATA = "sceptre_user_data"


class _Opaque(yaml.SafeLoader):
    """Sceptre's resolvers are of no interest here."""


_Opaque.add_multi_constructor("!", lambda loader, suffix, node: None)


def read_yaml(path: Path, what_to_do: str) -> Any:
    """What a YAML file holds, Sceptre's tags as nothing. Raises InputInvalid for no YAML."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Opaque)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = plainly(error).splitlines()[0]
        raise InputInvalid(f"{path} cannot be read", why, what_to_do) from error


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
    top = mapping(name, read_yaml(path, "give a scaling.yaml"), str(path))
    numbers = {**mapping(name, top.get("parameters"), "parameters"), **(changes or {})}
    no_near_miss(name, top, ("parameters", _DATA), str(path))
    for key, value in top.items():
        if KEY in (key, *(value if isinstance(value, Mapping) else ())) and key != _DATA:
            where = "at the top" if key == KEY else f"below {key}"
            raise unplayable(name, f"{KEY} stands {where}", f"let it stand below {_DATA}")
    user_data = mapping(name, top.get(_DATA), _DATA)
    extra = policy_lab(name, user_data)
    period_s = written_for_s(path, numbers)
    if period_s < AWS_PERIOD_S:
        numbers["MetricPeriodS"] = AWS_PERIOD_S
    return policy_of(name, numbers, extra, service, max_tasks=max_tasks, written_for_s=period_s)


def policy_of(
    name: str,
    numbers: Mapping[str, Any],
    extra: Mapping[str, Any],
    service: ServiceModel,
    *,
    max_tasks: int | None = None,
    written_for_s: int = AWS_PERIOD_S,
) -> Policy:
    """A policy from the scaling stack's parameters and the lab's additions.

    Cooldowns written for periods of `written_for_s` are played as many of AWS's periods long.
    Raises InputInvalid without any scaling, and for what cannot be.
    """
    period_s = _own_period(name, numbers) or AWS_PERIOD_S
    given = checked_numbers(name, numbers)
    slower = max(1.0, AWS_PERIOD_S / written_for_s)
    cooldowns = {key: slower * given.get(key, DEFAULT_COOLDOWN_S / slower) for key in COOLDOWNS}
    out_s, in_s = cooldowns["ScaleOutCooldownS"], cooldowns["ScaleInCooldownS"]
    tracked: list[Tracked] = []
    if "RequestsPerTarget" in given:
        tracked.append(requests_tracking(given["RequestsPerTarget"], period_s, out_s, in_s))
    if "CpuTarget" in given:
        # 60 stands for what the metrics are anyway; only 20 is a choice.
        is_fast = given.get("EcsMetricPeriodS") == _FAST_PERIOD_S
        cpu_period_s = _FAST_PERIOD_S if is_fast else period_s
        tracked.append(cpu_tracking(given["CpuTarget"], cpu_period_s, out_s, in_s))
    additions = read_additions(name, extra)
    try:
        net = _safety_net(given, service, period_s, cooldowns["StepCooldownS"])
    except PolicyError as error:
        raise unplayable(name, str(error), "mend its numbers") from error
    stepped = (*net, *additions.stepped)
    if not (tracked or stepped or additions.schedule or additions.predictive):
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
        additions.schedule,
        additions.predictive,
        notes=notes,
    )


def _safety_net(
    given: Mapping[str, float], service: ServiceModel, period_s: int, cooldown_s: float
) -> tuple[Stepped, ...]:
    """The step on p95, where there is one."""
    if "StepAdjustment" not in given:
        return ()
    return (
        p95_step(
            1000.0 * given.get("P95StepThresholdS", service.slo_ms / 1000.0),
            add=int(given["StepAdjustment"]),
            cpu_floor_pct=given.get("P95CpuFloor", 0.0),
            cooldown_s=cooldown_s,
            needed=int(given.get("StepDatapointsToAlarm", 2)),
            looked_at=int(given.get("StepEvaluationPeriods", 3)),
            period_s=period_s,
        ),
    )


def written_for_s(path: Path, numbers: Mapping[str, Any]) -> int:
    """The metric period a file was written for: its own number, else its environment's.

    Raises InputInvalid for a number that no metric period can be.
    """
    own = _own_period(path.stem, numbers)
    if own is not None:
        return own
    folder = path.resolve().parent
    if not (folder / "config.yaml").is_file() or folder.parent.name != "config":
        return AWS_PERIOD_S
    return load_environment(folder.name, folder, folder.parents[1]).metric_period_s


def _own_period(name: str, numbers: Mapping[str, Any]) -> int | None:
    """The metric period that the numbers say; None where the environment's is meant."""
    try:
        found = int(numbers["MetricPeriodS"])
    except (KeyError, TypeError, ValueError):
        return None
    if found not in METRIC_PERIODS_S:
        raise unplayable(
            name,
            f"MetricPeriodS is {found}",
            f"give one of {', '.join(map(str, METRIC_PERIODS_S))}",
        )
    return found
