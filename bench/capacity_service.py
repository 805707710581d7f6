"""Simulated services whose capacity is known, and a rig that a whole load test runs on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runbook.capacity.quota_queue import QUOTA_PERIOD_S, Task, _serve
from runbook.capacity.rig import Facts
from runbook.capacity.sample import ALLOWED_SLOW_SHARE
from runbook.load import schedule
from runbook.load.measurement import RawLoad, step_stats
from runbook.load.plan import LoadPlan
from runbook.load.recording import RAW_FILE, DriverRun

Floats = NDArray[np.float64]

PERIOD_S, SLO_MS, SHARE = 10, 20.0, 0.25
OVERHEAD_S = 0.0005
FACTS = Facts("simulated", "web", PERIOD_S, 256, "simulated", 2, 0.0)


@dataclass(frozen=True)
class Service:
    """Tasks under a CPU quota whose machine is now faster, now slower.

    `drift` is the standard deviation of the logarithm of a request's cost between periods,
    `swing` that between seconds within one. `dear_share` of the requests cost `dear_times` as
    much as the others: the model knows one lognormal only.
    """

    name: str
    task: Task
    drift: float = 0.0
    swing: float = 0.0
    dear_share: float = 0.0
    dear_times: float = 1.0

    def serve(
        self, arrivals_s: Floats, tasks: int, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """When each request is done, and the CPU seconds it took."""
        task = self.task
        sigma = np.sqrt(np.log1p(task.cv**2))
        work = rng.lognormal(np.log(task.cpu_s) - sigma**2 / 2, sigma, len(arrivals_s))
        dear = rng.random(len(arrivals_s)) < self.dear_share
        work *= np.where(dear, self.dear_times, 1.0) / (
            1.0 + self.dear_share * (self.dear_times - 1.0)
        )
        seconds = int(arrivals_s[-1]) + 2 if len(arrivals_s) else 2
        pace = rng.normal(0, self.drift, seconds // PERIOD_S + 1).repeat(PERIOD_S)[:seconds]
        pace = np.exp(pace + rng.normal(0, self.swing, seconds))
        work *= pace[arrivals_s.astype(np.intp)]
        extra = rng.exponential(task.extra_s, len(arrivals_s)) if task.extra_s else 0.0 * work
        done = np.empty(len(arrivals_s))
        for number in range(tasks):
            mine = slice(number, None, tasks)
            phase = float(rng.uniform(0, QUOTA_PERIOD_S))
            done[mine] = (
                _serve(
                    np.ascontiguousarray(arrivals_s[mine] + phase),
                    np.ascontiguousarray(work[mine]),
                    np.ascontiguousarray(extra[mine]),
                    task.quota_cores * QUOTA_PERIOD_S,
                    QUOTA_PERIOD_S,
                )
                - phase
            )
        return done, work

    def response_ms(self, rate_per_task: float, tasks: int, seconds: float, seed: int) -> Floats:
        """Response times in separate periods, as a load test's steps are."""
        rng = np.random.default_rng([seed, tasks])
        made = []
        for _ in range(max(int(seconds / (2 * PERIOD_S)), 1)):
            count = rng.poisson(rate_per_task * tasks * 2 * PERIOD_S)
            arrivals = np.sort(rng.uniform(0, 2 * PERIOD_S, count))
            done, _ = self.serve(arrivals, tasks, rng)
            # The second period: the first one is as good a past as any.
            made.append(1e3 * (done - arrivals)[arrivals >= PERIOD_S])
        return np.concatenate(made)

    def c_slo_rps(self, tasks: int) -> float:
        """The true c_SLO per task, from 6,000 s at each rate."""
        rates = np.linspace(0.5, 1.0, 16) * self.task.saturation_rps
        shares = [
            float((self.response_ms(rate, tasks, 12_000.0 / tasks, 99) > SLO_MS).mean())
            for rate in rates
        ]
        return float(np.interp(ALLOWED_SLOW_SHARE, np.maximum.accumulate(shares), rates))


#: What the demo's service was measured to be, on a machine that drifts between steps ...
ALIKE = Service("the model's kind", Task(0.0036, 0.22, 1.03 * SHARE, 0.0004), drift=0.04)
#: ... and one that the model does not describe: its machine swings within steps, every tenth
#: request costs three times as much, and it waits longer.
UNLIKE = Service(
    "not the model's kind",
    Task(0.0036, 0.22, 1.03 * SHARE, 0.0010),
    drift=0.05,
    swing=0.10,
    dear_share=0.1,
    dear_times=3.0,
)


@dataclass
class SimulatedRig:
    """A simulated service for the load test's protocol; its clock moves only by what it does."""

    service: Service
    seed: int
    facts: Facts = FACTS
    clock: float = 1_700_000_000.0
    tasks: int = 1
    rows: dict[datetime, dict[str, float]] = field(default_factory=dict)

    def hold(self, tasks: int, on_wait: Callable[[str], None]) -> None:
        """Run so many tasks."""
        self.tasks = tasks

    def now(self) -> float:
        """Its clock."""
        return self.clock

    def sleep(self, seconds: float) -> None:
        """Move it."""
        self.clock += seconds

    def metrics(self, start: datetime, end: datetime) -> pd.DataFrame:
        """What CloudWatch would have published."""
        rows = {time: row for time, row in self.rows.items() if start <= time < end}
        columns = ["requests", "trt_p50_ms", "trt_p95_ms", "trt_p99_ms", "cpu_pct"]
        frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float)
        frame.index = pd.DatetimeIndex(frame.index, tz="UTC")
        return frame

    def drive(
        self,
        segments: Sequence[schedule.Segment],
        *,
        seed: int,
        start_at_epoch_s: float,
        folder: Path,
        on_event: Callable[[dict[str, Any]], bool | None],
    ) -> DriverRun:
        """Serve a schedule, step by step, until told to stop."""
        rng = np.random.default_rng([self.seed, seed])
        intended = schedule.arrivals(segments, seed=1000 * self.seed + seed)
        done, work = self.service.serve(intended, self.tasks, rng)
        status = np.full(len(intended), 200, dtype=np.int16)
        raw = RawLoad(intended, intended, done + OVERHEAD_S, status)
        edges = np.cumsum([0.0, *(segment.duration_s for segment in segments)])
        stats, last = [], float(edges[-1])
        for number, (start, end) in enumerate(itertools.pairwise(edges.tolist())):
            stats.append(
                step_stats(raw, start, end, label="", rate_rps=segments[number].mean_rps,
                           driver_cpu_cores=0.0, host_busy_cores=0.5)
            )  # fmt: skip
            inside = (intended >= start) & (intended < end)
            if number:
                self._publish(start_at_epoch_s + start, done, intended, work, inside, rng)
            if on_event({"event": "step", "step": number, **stats[-1].to_dict()}):
                last = end
                break
        self.clock = start_at_epoch_s + last + 0.5
        folder.mkdir(parents=True)
        raw.between(0, last).save(folder / RAW_FILE)
        plan = LoadPlan("http://simulated/", tuple(segments), seed=seed)
        return DriverRun(folder, plan, start_at_epoch_s, last < edges[-1], 8, 0.0, tuple(stats))

    def _publish(
        self,
        epoch_s: float,
        done: Floats,
        intended: Floats,
        work: Floats,
        inside: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> None:
        times_ms = 1e3 * (done - intended)[inside]
        p50, p95, p99 = np.percentile(times_ms, [50, 95, 99], method="inverted_cdf")
        used_pct = 100 * float(work[inside].sum()) / PERIOD_S / self.tasks / SHARE
        self.rows[datetime.fromtimestamp(epoch_s, UTC)] = {
            "requests": float(inside.sum()),
            "trt_p50_ms": p50,
            "trt_p95_ms": p95,
            "trt_p99_ms": p99,
            # CloudWatch's CPU is itself measured to a percent or so.
            "cpu_pct": min(used_pct, 103.0) * float(np.exp(rng.normal(0, 0.01))),
        }
