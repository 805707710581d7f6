"""The capacity curve: what is handed to thresholds, plots and the policy lab (`capacity.json`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from runbook.capacity.scalability import Efficiency, Scalability
from runbook.errors import InputInvalid, plainly

SCHEMA_VERSION = 1
FILE_NAME = "capacity.json"


@dataclass(frozen=True)
class CurvePoint:
    """Response times at one arrival rate per task, over all valid steps close to it.

    Percentiles are of all requests together, on CloudWatch's level; `p95_lo_ms` and
    `p95_hi_ms` bound p95 with the curve's confidence. `slow_pct` is the share of requests
    slower than the SLO, `cpu_pct` of the task's reservation (None: not published). `weak` names
    the percentiles that rest on too few requests, "" for none.
    """

    rate_per_task_rps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    p95_lo_ms: float
    p95_hi_ms: float
    slow_pct: float
    cpu_pct: float | None
    requests: int
    repeats: int
    weak: str = ""


@dataclass(frozen=True)
class VoidStep:
    """A step that does not count, and why. `p95_ms` is None when nothing was published."""

    rate_per_task_rps: float
    p95_ms: float | None
    reason: str


@dataclass(frozen=True)
class StepResidual:
    """One step, measured and as the queueing model has it; `z` in standard deviations."""

    tasks: int
    rate_per_task_rps: float
    slow_pct: float
    predicted_slow_pct: float
    p95_ms: float
    predicted_p95_ms: float
    z: float


@dataclass(frozen=True)
class PredictedCount:
    """c_SLO per task that the model predicts for a count that was not measured."""

    tasks: int
    c_slo_per_task_rps: float
    lo_per_task_rps: float
    hi_per_task_rps: float


@dataclass(frozen=True)
class ModelReport:
    """The queueing model of the load test.

    `quota_factor` is how much of its nominal CPU quota a task could use, `cpu_variation` the
    coefficient of variation of a request's CPU, `wait_ms` what a request waits for besides
    CPU, by task count. `doubt` says why the model is not used, "" when it is. `error_pct` is
    its own error in c_SLO (standard deviation), as held-back task counts showed it; None in
    curves of before 2026-11-27, whose intervals had less of it.
    """

    quota_factor: float
    cpu_variation: float
    wait_ms: dict[str, float]
    rms_residual: float
    doubt: str
    residuals: tuple[StepResidual, ...]
    predictions: tuple[PredictedCount, ...]
    error_pct: float | None = None


@dataclass(frozen=True)
class CountCurve:
    """The curve for one task count; all rates are per task, in requests/s.

    `c_slo_per_task_rps` is the highest rate that keeps the SLO, between `lo` and `hi` with
    the curve's confidence. When `censored`, the SLO was never left: c_SLO is the highest
    rate measured, a lower bound, and `hi_per_task_rps` is None. `knee_utilisation` is the
    share of a task's CPU that requests use there, `cpu_pct_at_c_slo` what CloudWatch shows
    (with `cpu_idle_pct`, what does not depend on requests). `blocks` counts the blocks of time near
    the crossing that the interval rests on. `logit` is the fitted model: logit(share of
    slow requests) = logit[0] + logit[1] * rate per task. `method` tells where c_SLO comes from:
    the logistic fit of this count's steps alone, whose answer is `direct` (rate, lower, upper)
    in either case, or that and the queueing model fitted to all steps, each by its certainty.
    `knee_per_task_rps` is where p95 bends, whatever the SLO. `throttled_pct` is the share of
    CPU-quota periods with throttling in steps beyond the SLO, None where it is not published.
    """

    tasks: int
    points: tuple[CurvePoint, ...]
    void: tuple[VoidStep, ...]
    c_slo_per_task_rps: float
    lo_per_task_rps: float
    hi_per_task_rps: float | None
    censored: bool
    knee_utilisation: float
    cpu_pct_at_c_slo: float
    cpu_s_per_request: float
    cpu_idle_pct: float
    blocks: int
    logit: tuple[float, float] | None
    notes: tuple[str, ...] = ()
    method: str = "logistic fit"
    direct: tuple[float, float, float] | None = None
    knee_per_task_rps: float | None = None
    throttled_pct: float | None = None

    @property
    def interval(self) -> str:
        """The interval as text, in requests/s per task."""
        if self.hi_per_task_rps is None:
            return f">= {self.lo_per_task_rps:.1f}"
        return f"{self.lo_per_task_rps:.1f}-{self.hi_per_task_rps:.1f}"

    def cpu_pct_at(self, rate_per_task_rps: float, share_cores: float) -> float:
        """CPU percent of the reservation at a rate per task, by the measured cost."""
        return self.cpu_idle_pct + 100.0 * rate_per_task_rps * self.cpu_s_per_request / share_cores


@dataclass(frozen=True)
class CapacityCurve:
    """What one load test says about a service's capacity."""

    service: str
    environment: str
    run_id: str
    measured_at: datetime
    task_cpu: int
    slo_ms: float
    period_s: int
    enforcement: str
    confidence: float
    counts: tuple[CountCurve, ...]
    schema_version: int = SCHEMA_VERSION
    model: ModelReport | None = None
    scalability: Scalability | None = None

    @property
    def share_cores(self) -> float:
        """The CPU cores one task may use."""
        return self.task_cpu / 1024.0

    def count(self, tasks: int) -> CountCurve:
        """The curve for a task count. Raises InputInvalid when it was not measured."""
        for curve in self.counts:
            if curve.tasks == tasks:
                return curve
        known = ", ".join(str(curve.tasks) for curve in self.counts)
        raise InputInvalid(
            f"The capacity of {tasks} tasks is not known",
            f"run {self.run_id} measured {known}",
            "measure it: runbook run 20_load_test with task_counts",
        )

    def frame(self) -> pd.DataFrame:
        """One row a measured point: `tasks` and the fields of CurvePoint."""
        rows = [
            {"tasks": curve.tasks, **asdict(point)}
            for curve in self.counts
            for point in curve.points
        ]
        return pd.DataFrame(rows)

    def table(self) -> pd.DataFrame:
        """One row a task count: c_SLO with its interval, and what it means; for people, as text."""
        rows = [
            {
                "tasks": curve.tasks,
                "c_SLO, requests/s per task": f"{'at least ' * curve.censored}"
                f"{curve.c_slo_per_task_rps:.1f}",
                "95 % interval": curve.interval,
                "all tasks, requests/s": f"{curve.c_slo_per_task_rps * curve.tasks:.0f}",
                "CPU there, %": f"{curve.cpu_pct_at_c_slo:.0f}",
                "CPU a request, ms": f"{curve.cpu_s_per_request * 1000.0:.2f}",
                "knee, requests/s per task": "-"
                if curve.knee_per_task_rps is None
                else f"{curve.knee_per_task_rps:.1f}",
                "decided by": curve.method,
                "void steps": len(curve.void),
            }
            for curve in self.counts
        ]
        return pd.DataFrame(rows)

    def summary(self) -> list[str]:
        """The finding for each task count, a sentence each."""
        found = [sentence for curve in self.counts for sentence in _sentences(curve, self)]
        if self.scalability is not None:
            found.append(self.scalability.sentence())
        return found

    def residuals(self) -> pd.DataFrame:
        """One row a step: measured against the queueing model; empty without one."""
        return pd.DataFrame([asdict(item) for item in self.model.residuals] if self.model else [])

    def save(self, path: Path) -> Path:
        """Write the curve as JSON."""
        content = {**asdict(self), "measured_at": self.measured_at.isoformat()}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> CapacityCurve:
        """Read a curve back. Raises InputInvalid when the file is none."""
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if content["schema_version"] != SCHEMA_VERSION:
                raise ValueError(
                    f"schema version {content['schema_version']}, this reads {SCHEMA_VERSION}"
                )
            content["measured_at"] = datetime.fromisoformat(content["measured_at"])
            content["counts"] = tuple(_count(item) for item in content["counts"])
            content["model"] = _model(content.get("model"))
            content["scalability"] = _law(content.get("scalability"))
            return cls(**content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputInvalid(
                f"{path} is no capacity curve",
                "there is no such file" if isinstance(error, FileNotFoundError) else plainly(error),
                "make one: runbook run 20_load_test 30_analyse",
            ) from error


def _count(values: dict[str, Any]) -> CountCurve:
    logit = values["logit"]
    return CountCurve(
        **{
            **values,
            "points": tuple(CurvePoint(**item) for item in values["points"]),
            "void": tuple(VoidStep(**item) for item in values["void"]),
            "logit": None if logit is None else (logit[0], logit[1]),
            "notes": tuple(values["notes"]),
            "direct": tuple(values["direct"]) if values.get("direct") else None,
        }
    )


def _law(values: dict[str, Any] | None) -> Scalability | None:
    if values is None:
        return None
    each = tuple(Efficiency(**item) for item in values.get("efficiencies", ()))
    return Scalability(**{**values, "counts": tuple(values["counts"]), "efficiencies": each})


def _model(values: dict[str, Any] | None) -> ModelReport | None:
    if values is None:
        return None
    return ModelReport(
        **{
            **values,
            "residuals": tuple(StepResidual(**item) for item in values["residuals"]),
            "predictions": tuple(PredictedCount(**item) for item in values["predictions"]),
        }
    )


def _sentences(curve: CountCurve, whole: CapacityCurve) -> Sequence[str]:
    tasks = "1 task" if curve.tasks == 1 else f"{curve.tasks} tasks"
    if curve.censored:
        finding = (
            f"{tasks}: p95 stayed within {whole.slo_ms:g} ms up to the highest valid rate, "
            f"{curve.c_slo_per_task_rps:.1f} requests/s per task: c_SLO is at least that"
        )
    else:
        finding = (
            f"{tasks}: p95 leaves {whole.slo_ms:g} ms at {curve.c_slo_per_task_rps:.1f} requests/s "
            f"per task ({whole.confidence:.0%} interval {curve.interval}), "
            f"at {curve.cpu_pct_at_c_slo:.0f} % CPU"
        )
    return (finding, *(f"{tasks}: {note}" for note in curve.notes))
