"""The service of a replay: what the measured capacity curve says, and how fast tasks come."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runbook.capacity.curve import CapacityCurve, CountCurve
from runbook.errors import InputInvalid
from runbook.lab.prices import least_memory_gb, task_hour_usd

MOST_COUNTS = 64
"""Task counts tabulated one by one; c_SLO per task is taken as constant beyond the measured."""
_DEFAULT_STEEPNESS = 12.0
"""Steepness of the share of slow requests where a curve has no fitted model."""


@dataclass(frozen=True)
class Timing:
    """How long things take, in seconds; each is measured or an assumption with a range.

    `start_s`: from a request for tasks to RUNNING; AWS's own benchmark has 23 s between trigger
    and end (aws/containers-roadmap#2113). `ready_s`: from RUNNING to taking traffic (start of
    the process, health checks). `publish_60_s`/`publish_20_s`: from a period's end until its
    datapoint can be evaluated, chosen so that three periods give the times to trigger of the same
    benchmark (363 s and 86 s). `queue_s`: how long a request waits at most before it is given up.
    `drain_s`: how long a stopped task is still paid for. `startup_cpu_pct`: CPU of a task that
    runs and does not serve yet.
    """

    start_s: float = 23.0
    ready_s: float = 20.0
    publish_60_s: float = 120.0
    publish_20_s: float = 20.0
    queue_s: float = 30.0
    drain_s: float = 30.0
    startup_cpu_pct: float = 0.0
    zero_requests_reported: bool = True

    def publish_s(self, period_s: int) -> float:
        """The publish delay of a metric with this period."""
        return self.publish_60_s if period_s >= 60 else self.publish_20_s


@dataclass(frozen=True)
class ServiceModel:
    """A service as the lab sees it. Arrays are indexed by serving tasks, 0 of no use.

    `c_slo_rps`: highest rate per task within the SLO; `steepness`: of the share of slow
    requests around it (logit per relative rate); `most_rps`: what a task can serve at all.
    """

    c_slo_rps: NDArray[np.float64]
    steepness: NDArray[np.float64]
    most_rps: NDArray[np.float64]
    cpu_s_per_request: NDArray[np.float64]
    share_cores: float
    memory_gb: float
    cpu_idle_pct: float
    slo_ms: float
    run_id: str
    measured_tasks: tuple[int, ...]
    timing: Timing = Timing()

    @property
    def tables(self) -> NDArray[np.float64]:
        """The arrays as rows, as the compiled loop takes them."""
        return np.ascontiguousarray(
            [
                self.c_slo_rps,
                self.steepness,
                self.most_rps,
                self.cpu_s_per_request,
                np.zeros_like(self.c_slo_rps),
            ]
        )

    @property
    def task_hour_usd(self) -> float:
        """What a task-hour costs on Fargate."""
        return task_hour_usd(self.share_cores, self.memory_gb)

    def carried_rps(self, tasks: int) -> float:
        """The total rate that `tasks` tasks carry within the SLO."""
        return float(tasks * self.c_slo_rps[min(tasks, len(self.c_slo_rps) - 1)])

    def cpu_pct_at_c_slo(self, tasks: int) -> float:
        """CPU percent of the reservation at c_SLO."""
        at = min(tasks, len(self.c_slo_rps) - 1)
        used = self.c_slo_rps[at] * self.cpu_s_per_request[at] / self.share_cores
        return float(min(100.0, 100.0 * used + self.cpu_idle_pct))

    def needed(self, rate_rps: NDArray[np.float64]) -> NDArray[np.int64]:
        """The oracle: the fewest tasks that carry each rate within the SLO, at least 1."""
        counts = np.arange(1, len(self.c_slo_rps))
        carried = np.maximum.accumulate(counts * self.c_slo_rps[1:])
        few = np.searchsorted(carried, rate_rps * (1.0 - 1e-12)) + 1
        many = np.ceil(rate_rps / self.c_slo_rps[-1] - 1e-9)
        return np.where(rate_rps <= carried[-1], few, many).astype(np.int64)

    def with_timing(self, **changes: Any) -> ServiceModel:
        """The same service with other times."""
        return replace(self, timing=replace(self.timing, **changes))


def service_model(
    curve: CapacityCurve,
    *,
    bound: str = "middle",
    timing: Timing | None = None,
    memory_gb: float | None = None,
) -> ServiceModel:
    """The service of a measured curve; `bound="lower"` takes the lower ends of its intervals.

    Without `memory_gb` a task has the least memory that Fargate sells with its CPU.
    Between measured task counts c_SLO is interpolated, beyond them it stays. Raises InputInvalid
    when the curve holds no usable capacity.
    """
    problem = _problem(curve)
    if problem:
        raise InputInvalid(
            "The capacity curve cannot be used",
            problem,
            "measure again: runbook run 20_load_test 30_analyse",
        )
    counts = sorted(curve.counts, key=lambda count: count.tasks)
    at = np.arange(MOST_COUNTS + 1, dtype=np.float64)
    tasks = [float(count.tasks) for count in counts]
    capacity = [_capacity(count, bound) for count in counts]
    cpu_s = [count.cpu_s_per_request for count in counts]
    cpu = np.interp(at, tasks, cpu_s)
    slo = np.interp(at, tasks, capacity)
    # Never less than c_SLO: p95 is kept there, so it is served.
    most = np.maximum(curve.share_cores / cpu, slo)
    return ServiceModel(
        slo,
        np.interp(
            at,
            tasks,
            [_steepness(count, value) for count, value in zip(counts, capacity, strict=True)],
        ),
        most,
        cpu,
        curve.share_cores,
        least_memory_gb(curve.share_cores) if memory_gb is None else memory_gb,
        counts[0].cpu_idle_pct,
        curve.slo_ms,
        curve.run_id,
        tuple(count.tasks for count in counts),
        timing or Timing(),
    )


def _problem(curve: CapacityCurve) -> str:
    """What keeps a curve from being used, "" for nothing: it may be a file edited by hand."""
    if not curve.counts:
        return "it holds no task count"
    if not (_positive(curve.slo_ms) and _positive(curve.share_cores)):
        return f"slo_ms {curve.slo_ms!r} and task_cpu {curve.task_cpu!r} are not above 0"
    seen: set[int] = set()
    for count in curve.counts:
        if not _positive(count.tasks) or count.tasks in seen:
            return f"task count {count.tasks!r} is none or comes twice"
        seen.add(count.tasks)
        for name in ("c_slo_per_task_rps", "lo_per_task_rps", "cpu_s_per_request"):
            if not _positive(getattr(count, name)):
                return f"with {count.tasks} task(s) {name} is {getattr(count, name)!r}, not above 0"
        if count.cpu_idle_pct != 0 and not _positive(count.cpu_idle_pct):
            return f"with {count.tasks} task(s) cpu_idle_pct is {count.cpu_idle_pct!r}"
    return ""


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _capacity(count: CountCurve, bound: str) -> float:
    return count.lo_per_task_rps if bound == "lower" else count.c_slo_per_task_rps


def _steepness(count: CountCurve, capacity_rps: float) -> float:
    """Logits of the share of slow requests per relative rate, so that it is 5 % at c_SLO."""
    if count.logit is None or not count.logit[1] > 0:
        return _DEFAULT_STEEPNESS
    steep = count.logit[1] * capacity_rps
    return steep if math.isfinite(steep) else _DEFAULT_STEEPNESS
