"""What AWS does not document, swept: how far an outcome depends on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from runbook.lab.policy import Policy
from runbook.lab.service import ServiceModel
from runbook.scaling.semantics import DEFAULT, Semantics
from runbook.scaling.target_tracking import HIGH_RESOLUTION_20S

_FASTEST_LOW = 3
"""Datapoints of 20 s before scale-in, at the other end of the range of `HIGH_RESOLUTION_20S`."""


@dataclass(frozen=True)
class Variation:
    """One unknown at another value than the default: a semantics choice, a time or an alarm."""

    name: str
    value: Any
    semantics: Semantics
    service: ServiceModel
    fast_low_periods: int | None = None

    @property
    def label(self) -> str:
        """What tells it apart in tables: `name=value`."""
        return self.name if self.value is None else f"{self.name}={self.value}"

    def of(self, policy: Policy) -> Policy:
        """The policy with its alarms as they are in this variation."""
        many = self.fast_low_periods
        if many is None:
            return policy
        tracked = tuple(
            replace(item, alarms=replace(item.alarms, low_periods=many))
            if item.alarms.period_s == HIGH_RESOLUTION_20S.period_s
            else item
            for item in policy.tracked
        )
        return replace(policy, tracked=tracked)


def variations(service: ServiceModel) -> list[Variation]:
    """Each unknown that a replay feels, at the ends of its range, one at a time.

    First none of them, which the others are to be held against.
    """
    choices: tuple[tuple[str, Any], ...] = (
        ("scale_out_base", "desired"),
        ("scale_in_base", "desired"),
        ("running_count_at", "datapoint"),
        ("scale_in_margin", 0.1),
        ("max_scale_in_fraction", 0.1),
        ("scale_out_cooldown_base", "now"),
        ("scale_out_cooldown_blocks_scale_in", True),
        ("cooldown_starts_at", "request"),
    )
    times: tuple[tuple[str, Any], ...] = (
        ("publish_60_s", 60.0),
        ("publish_60_s", 180.0),
        ("publish_20_s", 0.0),
        ("publish_20_s", 40.0),
        ("start_s", 60.0),
        ("ready_s", 60.0),
    )
    return [
        Variation("as assumed", None, DEFAULT, service),
        *(Variation(name, value, Semantics(**{name: value}), service) for name, value in choices),
        *(
            Variation(name, value, DEFAULT, service.with_timing(**{name: value}))
            for name, value in times
        ),
        Variation("alarm_low_20_s_periods", _FASTEST_LOW, DEFAULT, service, _FASTEST_LOW),
    ]
