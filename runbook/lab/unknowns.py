"""What AWS does not document, swept: how far an outcome depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runbook.lab.service import ServiceModel
from runbook.scaling.semantics import DEFAULT, Semantics


@dataclass(frozen=True)
class Variation:
    """One unknown at another value than the default: a semantics choice or a time."""

    name: str
    value: Any
    semantics: Semantics
    service: ServiceModel


def variations(service: ServiceModel) -> list[Variation]:
    """Each unknown that a replay feels, at the ends of its range, one at a time."""
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
        Variation(name, value, Semantics(**{name: value}), service) for name, value in choices
    ] + [
        Variation(name, value, DEFAULT, service.with_timing(**{name: value}))
        for name, value in times
    ]
