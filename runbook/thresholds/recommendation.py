"""From a capacity curve to thresholds, each with its reason and its evidence. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from runbook.capacity.curve import CapacityCurve, CountCurve
from runbook.errors import InputInvalid, MeasurementVoid
from runbook.thresholds.bounds import Constraints, Maximum, maximum

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
#: An interval this many times as high as low is called weak.
_WIDE = 1.5


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
    rate, worst, most, findings = _target_rate(curve, constraints, current)
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
    cpu_target, cpu_findings = _cpu_target(worst.cpu_pct_at(rate, curve.share_cores))
    findings += cpu_findings
    floor = float(math.floor(_FLOOR_SHARE * cpu_target))
    calm_ms = _p95_below(worst, floor, curve)
    periods = constraints.periods(curve.period_s)
    made = [
        (
            "RequestsPerTarget",
            per_minute,
            f"60 s x {worst.lo_per_task_rps:.1f} requests/s (lower bound of c_SLO with "
            f"{'1 task' if worst.tasks == 1 else f'{worst.tasks} tasks'}, the worst in range) x "
            f"{constraints.headroom(curve.period_s):.2f} headroom: "
            f"load may grow {constraints.growth_pct_per_period:g} % in each of "
            f"{periods:g} periods until new tasks answer",
            evidence,
        ),
        (
            "CpuTarget",
            cpu_target,
            f"the CPU measured at that rate: {1000 * worst.cpu_s_per_request:.2f} ms a request"
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
        (
            "P95CpuFloor",
            floor,
            f"{_FLOOR_SHARE:.0%} of CpuTarget: below it p95 was {calm_ms}, so slow and less busy "
            "than that is not for want of tasks",
            evidence,
        ),
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


def _cpu_target(cpu_pct: float) -> tuple[float, list[str]]:
    """The CPU target in whole percent, kept to what makes sense, with what to say of it."""
    low, high = _CPU_RANGE
    if cpu_pct < low:
        return low, [
            f"CPU does not limit this service: {cpu_pct:.0f} % at the rate to aim at. CpuTarget is "
            f"kept at {low:.0f} %; requests per task are the metric to scale on"
        ]
    return float(math.floor(min(cpu_pct, high))), []


def _target_rate(
    curve: CapacityCurve, constraints: Constraints, current: Mapping[str, float]
) -> tuple[float, CountCurve, Maximum, list[str]]:
    """The rate per task to aim at, the count it comes from, MaxTasks with its reason, findings."""
    headroom = constraints.headroom(curve.period_s)
    everywhere = min(count.lo_per_task_rps for count in curve.counts)
    if not everywhere > 0 or not math.isfinite(everywhere):
        raise MeasurementVoid(
            "No threshold can be recommended",
            f"the lower bound of c_SLO is {everywhere:g} requests/s per task",
            "run the load test again: runbook run 20_load_test",
        )
    most = maximum(constraints, current, everywhere * headroom, curve.task_cpu)
    findings = list(most.findings)
    predicted = _predicted(curve)
    inside = [
        count
        for count in (*curve.counts, *predicted)
        if constraints.min_tasks <= count.tasks <= most.tasks
    ]
    if not inside:
        known = ", ".join(str(count.tasks) for count in curve.counts)
        raise InputInvalid(
            "No threshold can be recommended",
            f"the load test measured {known} task(s), none within "
            f"[{constraints.min_tasks}, {most.tasks}]",
            "measure a count in that range: runbook run 20_load_test with task_counts",
        )
    worst = min(inside, key=lambda count: count.lo_per_task_rps)
    if worst in predicted:
        findings.append(
            f"c_SLO({worst.tasks}) was not measured: the queueing model predicts it from "
            "the counts that were"
        )
    highest = max(count.tasks for count in (*curve.counts, *predicted))
    if most.tasks > highest:
        findings.append(
            f"more than {highest} tasks were not measured: c_SLO there is taken to be no lower, as "
            "round robin smooths arrivals further"
        )
    if worst.censored:
        findings.append(
            f"c_SLO({worst.tasks}) is a lower bound: the service can carry more than stated"
        )
    elif (worst.hi_per_task_rps or 0.0) > _WIDE * worst.lo_per_task_rps:
        findings.append(
            f"weak: c_SLO({worst.tasks}) is only known to lie within {worst.interval} requests/s "
            "per task; a longer load test (load_budget_s) narrows that"
        )
    return worst.lo_per_task_rps * headroom, worst, most, findings


def _predicted(curve: CapacityCurve) -> list[CountCurve]:
    """Counts that were not measured, as the model has them; costs are the nearest measured's."""
    made = []
    for item in curve.model.predictions if curve.model else ():
        near = min(curve.counts, key=lambda count: abs(count.tasks - item.tasks))
        made.append(
            replace(
                near,
                tasks=item.tasks,
                c_slo_per_task_rps=item.c_slo_per_task_rps,
                lo_per_task_rps=item.lo_per_task_rps,
                hi_per_task_rps=item.hi_per_task_rps,
                censored=False,
                points=(),
                void=(),
            )
        )
    return made


def _p95_below(count: CountCurve, cpu_pct: float, curve: CapacityCurve) -> str:
    """The highest p95 measured at or below a CPU percentage, in words."""
    calm = [
        point.p95_ms
        for point in count.points
        if count.cpu_pct_at(point.rate_per_task_rps, curve.share_cores) <= cpu_pct
    ]
    return f"at most {max(calm):.1f} ms" if calm else "not measured"
