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
from runbook.errors import InputInvalid, MeasurementVoid, plainly
from runbook.thresholds.bounds import Constraints
from runbook.thresholds.worst import worst_bound

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
    "EcsMetricPeriodS": "s",
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
#: A CPU target outside of this would scale on noise, or too late.
_CPU_RANGE = (10.0, 90.0)


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
                plainly(error),
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

    They derive from the worst lower bound of c_SLO(n) over that range, times the headroom; see
    `worst_bound` for counts that were not measured. `current` is what is configured, by
    parameter name. Raises InputInvalid when MinTasks lies below what was measured.
    """
    found, most, findings = worst_bound(curve, constraints, current)
    worst = found.count
    rate = found.lo_per_task_rps * constraints.headroom(curve.period_s)
    evidence = Evidence(
        curve.run_id,
        f"{curve.measured_at:%Y-%m-%d}",
        f"c_SLO({worst.tasks}) {worst.interval} requests/s per task"
        + ("" if worst.censored else f" ({curve.confidence:.0%})"),
    )
    per_minute = _rounded(60.0 * rate)
    if per_minute < 1:
        raise MeasurementVoid(
            "No threshold can be recommended",
            f"c_SLO({worst.tasks}) of {worst.interval} requests/s per task leaves less than one "
            "request a minute to aim at",
            "look at the load test: the service itself is too slow, or the interval too wide",
        )
    cpu_pct = worst.cpu_pct_at(rate, curve.share_cores)
    cpu_target, cpu_why, cpu_findings = _cpu_target(cpu_pct)
    findings += cpu_findings
    floor, floor_why = _cpu_floor(cpu_pct, cpu_target, worst, curve)
    periods = constraints.periods(curve.period_s)
    made = [
        (
            "RequestsPerTarget",
            per_minute,
            f"60 s x {found.lo_per_task_rps:.1f} requests/s (lower bound of c_SLO with "
            f"{'1 task' if worst.tasks == 1 else f'{worst.tasks} tasks'}, the worst in range"
            f"{', ' * bool(found.why)}{found.why}) x "
            f"{constraints.headroom(curve.period_s):.2f} headroom: "
            f"load may grow {constraints.growth_pct_per_period:g} % in each of "
            f"{periods:g} periods until new tasks answer",
            evidence,
        ),
        (
            "CpuTarget",
            cpu_target,
            f"{cpu_why}: {1000 * worst.cpu_s_per_request:.2f} ms a request"
            + (f" and {worst.cpu_idle_pct:.1f} % whatever the rate" if worst.cpu_idle_pct else "")
            + f", of {curve.task_cpu} CPU units",
            evidence,
        ),
        (
            "P95StepThresholdS",
            curve.slo_ms / 1000.0,
            "the SLO, in the metric's unit: beyond it tasks are added",
            None,
        ),
        ("P95CpuFloor", floor, floor_why, evidence),
        ("MinTasks", float(constraints.min_tasks), "asked for", None),
        ("MaxTasks", float(most.tasks), most.why, None),
    ]
    thresholds = tuple(
        Threshold(name, value, UNITS[name], current.get(name), reason, proof)
        for name, value, reason, proof in made
    )
    reasons = [f"{item.name} {item.text} {item.unit}: {item.reason}" for item in thresholds]
    return Recommendation(thresholds, (*reasons, *findings))


def _rounded(per_minute: float) -> float:
    """Down to a ten, or to a whole one where tens would be coarse."""
    step = 10.0 if per_minute >= 200.0 else 1.0
    return math.floor(per_minute / step) * step


def _cpu_target(cpu_pct: float) -> tuple[float, str, list[str]]:
    """The CPU target in whole percent, kept to what makes sense, why, and what to say of it."""
    low, high = _CPU_RANGE
    if cpu_pct < low:
        why = f"the least that makes sense; the CPU measured at that rate is {cpu_pct:.1f} %"
        finding = (
            f"CPU does not limit this service: {cpu_pct:.1f} % at the rate to aim at. CpuTarget is "
            f"kept at {low:.0f} %; requests per task are the metric to scale on"
        )
        return low, why, [finding]
    if cpu_pct > high:
        why = f"the most that makes sense; the CPU measured at that rate is {cpu_pct:.1f} %"
        return high, why, []
    return float(math.floor(cpu_pct)), "the CPU measured at that rate", []


def _cpu_floor(
    cpu_pct: float, cpu_target: float, count: CountCurve, curve: CapacityCurve
) -> tuple[float, str]:
    """The step policy's CPU floor in whole percent, and why.

    Of the CPU at the rate to aim at where the target lies above it: of such a target it could
    lie above the CPU that the service ever has, and slow answers would never add a task.
    """
    floor = float(math.floor(_FLOOR_SHARE * min(cpu_pct, cpu_target)))
    if floor <= 0:
        return 0.0, (
            f"the CPU at that rate, {cpu_pct:.1f} %, is too little to tell busy from idle: a slow "
            "p95 adds tasks at any CPU"
        )
    share = (
        f"{_FLOOR_SHARE:.0%} of the CPU at that rate, {cpu_pct:.1f} %, for CpuTarget lies above it"
        if cpu_pct < cpu_target
        else f"{_FLOOR_SHARE:.0%} of CpuTarget"
    )
    calm_ms = _p95_below_ms(count, floor, curve)
    if calm_ms is None:
        return floor, f"{share}: no step of the load test was less busy, so what p95 was is unknown"
    return floor, (
        f"{share}: below it p95 was at most {calm_ms:.1f} ms, so slow and less busy than that is "
        "not for want of tasks"
    )


def _p95_below_ms(count: CountCurve, cpu_pct: float, curve: CapacityCurve) -> float | None:
    """The highest p95 measured at or below a CPU percentage; None when there was no such load."""
    calm_ms = (
        point.p95_ms
        for point in count.points
        if count.cpu_pct_at(point.rate_per_task_rps, curve.share_cores) <= cpu_pct
    )
    return max(calm_ms, default=None)
