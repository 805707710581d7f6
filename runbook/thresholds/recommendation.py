"""From a capacity curve to thresholds, each with its reason and its evidence. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from runbook.capacity.curve import CapacityCurve, CountCurve
from runbook.errors import InputInvalid

SCHEMA_VERSION = 1
FILE_NAME = "recommendation.json"

#: What each number is in; the names are the scaling stack's parameters.
UNITS = {
    "MinTasks": "tasks",
    "MaxTasks": "tasks",
    "RequestsPerTarget": "requests/min per task",
    "CpuTarget": "% CPU",
    "MemoryTarget": "% memory",
    "P95StepThresholdS": "s",
    "P95CpuFloor": "% CPU",
    "StepAdjustment": "tasks",
    "StepCooldownS": "s",
    "StepDatapointsToAlarm": "periods",
    "StepEvaluationPeriods": "periods",
    "ScaleOutCooldownS": "s",
    "ScaleInCooldownS": "s",
}
#: The step policy's CPU floor as a share of the CPU target.
_FLOOR_SHARE = 0.8
#: A rolling deployment runs old and new tasks at once, so connections are needed twice.
_DEPLOYMENT_FACTOR = 2


@dataclass(frozen=True)
class Constraints:
    """What bounds a recommendation besides the curve; None means that there is no such bound.

    `max_tasks` is a wish, `database_connections` what the store takes and
    `connections_per_task` the size of a task's pool. `expected_peak_rps` is a total rate.
    The load may grow by `growth_pct_per_period` percent in each metric period, and it takes
    `reaction_periods` of them from crossing a target to answering tasks.
    """

    min_tasks: int = 1
    max_tasks: int | None = None
    database_connections: int | None = None
    connections_per_task: int = 5
    expected_peak_rps: float | None = None
    growth_pct_per_period: float = 5.0
    reaction_periods: float = 4.0

    def __post_init__(self) -> None:
        bad = [
            name
            for name, value in asdict(self).items()
            if value is not None and (value < 0 or (value == 0 and name.startswith("max")))
        ]
        if bad or (self.max_tasks is not None and self.max_tasks < self.min_tasks):
            raise InputInvalid(
                "The constraints cannot be met",
                f"{', '.join(bad)} below zero" if bad else "max_tasks is below min_tasks",
                "give counts and rates that can be",
            )

    @property
    def headroom(self) -> float:
        """The share of the capacity to aim at, so that growth while reacting still fits."""
        return 1.0 / (1.0 + self.growth_pct_per_period / 100.0 * self.reaction_periods)


@dataclass(frozen=True)
class Evidence:
    """The measurement behind a number: run id, ISO date, interval in words."""

    run_id: str
    date: str
    interval: str

    def __str__(self) -> str:
        return f"run {self.run_id}, {self.date}: {self.interval}"


@dataclass(frozen=True)
class Threshold:
    """One number. `before` is None when it was not configured, `evidence` when not measured."""

    name: str
    value: float
    unit: str
    before: float | None
    reason: str
    evidence: Evidence | None = None

    @property
    def changed(self) -> bool:
        """Whether the number differs from the configured one."""
        return self.before is None or not math.isclose(self.value, self.before)

    @property
    def text(self) -> str:
        """The number as it is written into a file."""
        return number_text(self.name, self.value)


@dataclass(frozen=True)
class Recommendation:
    """Thresholds and what else a reader must know."""

    thresholds: tuple[Threshold, ...]
    findings: tuple[str, ...]

    def values(self) -> dict[str, float]:
        """The numbers by name."""
        return {item.name: item.value for item in self.thresholds}

    def frame(self) -> pd.DataFrame:
        """One row a threshold: threshold, before, after, unit, evidence."""
        rows = [
            {
                "threshold": item.name,
                "before": None if item.before is None else number_text(item.name, item.before),
                "after": item.text,
                "unit": item.unit,
                "evidence": str(item.evidence) if item.evidence else item.reason,
            }
            for item in self.thresholds
        ]
        return pd.DataFrame(rows)

    def save(self, path: Path) -> Path:
        """Write the recommendation as JSON."""
        content = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> Recommendation:
        """Read a recommendation back. Raises InputInvalid when the file is none."""
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if content["schema_version"] != SCHEMA_VERSION:
                raise ValueError(f"schema version {content['schema_version']}")
            return cls(
                tuple(_threshold(item) for item in content["thresholds"]),
                tuple(content["findings"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputInvalid(
                f"{path} is no recommendation",
                f"{type(error).__name__}: {error}",
                "make one: runbook run 30_analyse",
            ) from error


def _threshold(values: dict[str, Any]) -> Threshold:
    evidence = values["evidence"]
    return Threshold(**{**values, "evidence": Evidence(**evidence) if evidence else None})


def number_text(name: str, value: float) -> str:
    """A number as the configuration writes it: thousandths for response times, else whole."""
    if name == "P95StepThresholdS":
        return f"{value:.3f}"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:g}"


def diff(recommendation: Recommendation) -> str:
    """The recommendation as an aligned text table: threshold, before, after, evidence."""
    frame = recommendation.frame().fillna("-")
    rows = [list(frame.columns), *frame.to_numpy().tolist()]
    widths = [max(len(str(row[index])) for row in rows) for index in range(len(frame.columns))]
    return "\n".join(
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def recommend(
    curve: CapacityCurve, constraints: Constraints, current: Mapping[str, float]
) -> Recommendation:
    """Thresholds that keep the SLO for every task count in [min, max].

    They derive from the worst lower bound of c_SLO(n) over the measured counts in that
    range, times the headroom. `current` is what is configured, by parameter name.
    Raises InputInvalid when the curve measured no count in the range.
    """
    rate, worst, maximum, findings = _target_rate(curve, constraints, current)
    evidence = Evidence(
        curve.run_id,
        f"{curve.measured_at:%Y-%m-%d}",
        f"c_SLO({worst.tasks}) {worst.interval} requests/s per task"
        + ("" if worst.censored else f" ({curve.confidence:.0%})"),
    )
    cpu_target = float(math.floor(worst.cpu_pct_at(rate, curve.share_cores)))
    floor = float(math.floor(_FLOOR_SHARE * cpu_target))
    calm_ms = _p95_below(worst, floor, curve)
    made = [
        (
            "RequestsPerTarget",
            float(math.floor(60.0 * rate / 10.0) * 10),
            f"60 s x {worst.lo_per_task_rps:.1f} requests/s (lower bound of c_SLO with "
            f"{worst.tasks} task(s), the worst in range) x {constraints.headroom:.2f} headroom: "
            f"load may grow {constraints.growth_pct_per_period:g} % in each of "
            f"{constraints.reaction_periods:g} periods until new tasks answer",
            evidence,
        ),
        (
            "CpuTarget",
            cpu_target,
            f"the CPU measured at that rate: {1000 * worst.cpu_s_per_request:.2f} ms a request"
            f" and {worst.cpu_idle_pct:.1f} % idle, of {curve.task_cpu} CPU units",
            evidence,
        ),
        (
            "P95StepThresholdS",
            curve.slo_ms / 1000.0,
            "the SLO, in the metric's unit: beyond it tasks are added",
            None,
        ),
        (
            "P95CpuFloor",
            floor,
            f"{_FLOOR_SHARE:.0%} of CpuTarget: below it p95 was {calm_ms}, so slow and less busy "
            "than that is not for want of tasks",
            evidence,
        ),
        ("MinTasks", float(constraints.min_tasks), "asked for", None),
        ("MaxTasks", float(maximum[0]), maximum[1], None),
    ]
    thresholds = tuple(
        Threshold(name, value, UNITS[name], current.get(name), reason, proof)
        for name, value, reason, proof in made
    )
    reasons = [f"{item.name} {item.text} {item.unit}: {item.reason}" for item in thresholds]
    return Recommendation(thresholds, (*reasons, *findings))


def _target_rate(
    curve: CapacityCurve, constraints: Constraints, current: Mapping[str, float]
) -> tuple[float, CountCurve, tuple[int, str], list[str]]:
    """The rate per task to aim at, the count it comes from, MaxTasks with its reason, findings."""
    everywhere = min(curve.counts, key=lambda count: count.lo_per_task_rps)
    rate = everywhere.lo_per_task_rps * constraints.headroom
    maximum, why, findings = _max_tasks(constraints, current, rate)
    inside = [c for c in curve.counts if constraints.min_tasks <= c.tasks <= maximum]
    if not inside:
        known = ", ".join(str(count.tasks) for count in curve.counts)
        raise InputInvalid(
            "No threshold can be recommended",
            f"the load test measured {known} task(s), none within "
            f"[{constraints.min_tasks}, {maximum}]",
            "measure a count in that range: runbook run 20_load_test with task_counts",
        )
    worst = min(inside, key=lambda count: count.lo_per_task_rps)
    highest = max(count.tasks for count in curve.counts)
    if maximum > highest:
        findings.append(
            f"more than {highest} tasks were not measured: c_SLO there is taken to be no lower, as "
            "round robin smooths arrivals further"
        )
    if worst.censored:
        findings.append(
            f"c_SLO({worst.tasks}) is a lower bound: the service can carry more than stated"
        )
    return worst.lo_per_task_rps * constraints.headroom, worst, (maximum, why), findings


def _max_tasks(
    constraints: Constraints, current: Mapping[str, float], rate_per_task: float
) -> tuple[int, str, list[str]]:
    bounds = []
    if constraints.max_tasks is not None:
        bounds.append((constraints.max_tasks, "the bound asked for"))
    if constraints.database_connections is not None:
        per_task = constraints.connections_per_task * _DEPLOYMENT_FACTOR
        affordable = constraints.database_connections // max(per_task, 1)
        bounds.append(
            (
                max(affordable, 1),
                f"{constraints.database_connections} database connections, "
                f"{constraints.connections_per_task} a task, twice during a deployment",
            )
        )
    configured = max(int(current.get("MaxTasks", constraints.min_tasks)), constraints.min_tasks)
    if constraints.expected_peak_rps is None:
        if not bounds:
            return configured, "kept as configured: no peak and no bound were given", []
        most, why = min(bounds)
        return most, why, []
    needed = max(math.ceil(constraints.expected_peak_rps / rate_per_task), constraints.min_tasks)
    peak = f"a peak of {constraints.expected_peak_rps:g} requests/s needs {needed} tasks"
    if not bounds or needed <= min(bounds)[0]:
        return needed, peak, []
    most, why = min(bounds)
    return most, why, [f"{peak}, but MaxTasks is bounded to {most}: {why}"]


def _p95_below(count: CountCurve, cpu_pct: float, curve: CapacityCurve) -> str:
    """The highest p95 measured at or below a CPU percentage, in words."""
    calm = [
        point.p95_ms
        for point in count.points
        if count.cpu_pct_at(point.rate_per_task_rps, curve.share_cores) <= cpu_pct
    ]
    return f"at most {max(calm):.1f} ms" if calm else "not measured"
