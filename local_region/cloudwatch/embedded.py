"""Metrics out of log lines, as CloudWatch takes them: the embedded metric format.

A line is a JSON object whose `_aws` says which of its members are metrics and dimensions. What is
not in that form is no metric; CloudWatch tells nobody either.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from local_region.cloudwatch.store import MetricStore, Scope

_MARK = '"_aws"'


@dataclass(frozen=True)
class Embedded:
    """One metric of one line, for one set of dimensions; values with how often each was seen."""

    namespace: str
    name: str
    dimensions: dict[str, str]
    timestamp_s: float
    unit: str
    values: list[float]
    counts: list[float]


def put_embedded(store: MetricStore, lines: Iterable[str], scope: Scope) -> None:
    """Add the metrics of those lines that hold any."""
    for line in lines:
        if _MARK in line:
            for item in embedded_metrics(line):
                store.put(
                    item.namespace,
                    item.name,
                    item.dimensions,
                    item.timestamp_s,
                    item.unit,
                    item.values,
                    item.counts,
                    scope=scope,
                )


def embedded_metrics(line: str) -> Iterator[Embedded]:
    """The metrics of one line; none of a line, or a part of one, that breaks the format."""
    try:
        root = json.loads(line)
        described = root["_aws"]
        timestamp_s = float(described["Timestamp"]) / 1000.0
        directives = list(described["CloudWatchMetrics"])
    except (ValueError, TypeError, KeyError):
        return
    for directive in directives:
        try:
            found = list(_of_directive(root, directive, timestamp_s))
        except (ValueError, TypeError, KeyError):
            continue
        yield from found


def _of_directive(root: Any, directive: Any, timestamp_s: float) -> Iterator[Embedded]:
    for names in directive["Dimensions"]:
        dimensions = {name: str(root[name]) for name in names}
        for metric in directive["Metrics"]:
            values, counts = _weighted(root[metric["Name"]])
            unit = str(metric.get("Unit") or "None")
            yield Embedded(
                str(directive["Namespace"]),
                str(metric["Name"]),
                dimensions,
                timestamp_s,
                unit,
                values,
                counts,
            )


def _weighted(value: Any) -> tuple[list[float], list[float]]:
    """A number, a list of numbers, or values with counts."""
    if isinstance(value, dict):
        values = [float(item) for item in value["Values"]]
        counts = [float(item) for item in value.get("Counts") or [1.0] * len(values)]
        if len(counts) != len(values):
            raise ValueError(f"{len(values)} values with {len(counts)} counts")
        return values, counts
    values = [float(item) for item in (value if isinstance(value, list) else [value])]
    return values, [1.0] * len(values)
