"""The numbers of a policy file: which names there are, and what each may be.

Ranges are those of the scaling stack's parameters (`sceptre/templates/scaling.yaml`); the tests
hold them to it.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from typing import Any

from runbook.errors import InputInvalid

_ANY = math.inf
_NEAR, _NEARER = 0.8, 0.85
NUMBERS: dict[str, tuple[float, float]] = {
    "MinTasks": (1, _ANY),
    "MaxTasks": (1, _ANY),
    "RequestsPerTarget": (1, _ANY),
    "CpuTarget": (1, 100),
    "EcsMetricPeriodS": (20, 60),
    "ScaleOutCooldownS": (0, 3600),
    "ScaleInCooldownS": (0, 3600),
    "P95StepThresholdS": (0.001, _ANY),
    "P95CpuFloor": (0, 100),
    "StepAdjustment": (1, _ANY),
    "StepCooldownS": (0, 3600),
    "StepEvaluationPeriods": (1, 5),
    "StepDatapointsToAlarm": (1, 5),
}
"""What the lab plays, with the lowest and the highest value."""
UNPLAYED = (
    "MemoryTarget",
    "MetricPeriodS",
    "ScalableResourceId",
    "ServiceMetricResolutionS",
    "ServiceName",
    "ClusterName",
    "BalancerFullName",
    "TargetGroupFullName",
    "ResourceLabel",
    "StoreShared",
)
"""The stack's other parameters: the lab does not play memory, the rest is no policy."""
COOLDOWNS = ("ScaleOutCooldownS", "ScaleInCooldownS", "StepCooldownS")
METRIC_PERIODS_S = (10, 20, 30, 60, 300)
"""What `MetricPeriodS` may be."""
_WHOLE = (
    "MinTasks",
    "MaxTasks",
    "EcsMetricPeriodS",
    "StepAdjustment",
    "StepEvaluationPeriods",
    "StepDatapointsToAlarm",
    *COOLDOWNS,
)


def checked_numbers(name: str, given: Mapping[str, Any]) -> dict[str, float]:
    """The numbers the lab plays. Raises InputInvalid for a name or a value that cannot be."""
    only_known(name, given, (*NUMBERS, *UNPLAYED), "parameters")
    return {
        key: number(name, key, given[key], *NUMBERS[key], whole=key in _WHOLE, above="")
        for key in NUMBERS
        if key in given
    }


def number(
    name: str,
    key: str,
    value: Any,
    low: float,
    high: float,
    *,
    whole: bool = False,
    above: str = "policy_lab.",
) -> float:
    """`value` as a number from `low` to `high`. Text that reads as one is one (YAML's 1e9)."""
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not (math.isfinite(found) and low <= found <= high and (found.is_integer() or not whole)):
        kind = "a whole number" if whole else "a number"
        limit = f"of {low:g} or more" if math.isinf(high) else f"from {low:g} to {high:g}"
        raise unplayable(name, f"{above}{key} is {value!r}", f"give {kind} {limit}")
    return found


def unplayable(name: str, why: str, what_to_do: str) -> InputInvalid:
    """What to raise for a policy that cannot be."""
    return InputInvalid(f"Policy {name} cannot be played", why, what_to_do)


def only_known(name: str, given: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Raise InputInvalid for a key that means nothing, with the one that may be meant."""
    for key in given:
        if key in known:
            continue
        near = difflib.get_close_matches(str(key), known, 2, _NEARER)
        near = near or difflib.get_close_matches(str(key), known, 1)
        told = (
            f"did you mean {' or '.join(near)}?"
            if near
            else f"known are {', '.join(sorted(known))}"
        )
        raise unplayable(name, f"{where} holds the unknown {key!r}", told)


def no_near_miss(name: str, given: Mapping[str, Any], meant: Collection[str], where: str) -> None:
    """Raise InputInvalid for a key that is nearly one of `meant`, where others may stand too."""
    for key in given:
        near = difflib.get_close_matches(str(key), meant, 1, _NEAR)
        if key not in meant and near:
            raise unplayable(name, f"{where} holds the unknown {key!r}", f"did you mean {near[0]}?")


def mapping(name: str, value: Any, where: str) -> Mapping[str, Any]:
    """`value` as a mapping; nothing counts as an empty one. Raises InputInvalid."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise unplayable(name, f"{where} is no mapping", "write `name: value` lines")
