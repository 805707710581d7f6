"""A service whose capacity is known: tasks under a CPU quota behind a round-robin balancer.

Each task serves one request at a time, and like a container under the CFS it may use
`share * period_s` of CPU in each quota period, then waits for the next period.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runbook.capacity.measured import LoadTest, MeasuredStep
from runbook.load import schedule
from runbook.load.measurement import RawLoad, step_stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SimulatedService:
    """`cpu_s` is the mean CPU a request costs, `cv` its coefficient of variation."""

    tasks: int = 1
    cpu_s: float = 0.0025
    cv: float = 0.15
    share: float = 0.25
    period_s: float = 0.1

    @property
    def saturation_rps(self) -> float:
        """The total rate beyond which a queue only grows."""
        return self.tasks * self.share / self.cpu_s

    def serve(self, arrivals_s: Floats, seed: int = 1) -> tuple[Floats, float]:
        """When each request is done, and the share (percent) of quota periods throttled."""
        rng = np.random.default_rng(seed)
        sigma = np.sqrt(np.log1p(self.cv**2))
        work = rng.lognormal(np.log(self.cpu_s) - sigma**2 / 2, sigma, len(arrivals_s))
        done = np.empty(len(arrivals_s))
        throttled = 0.0
        for task in range(self.tasks):
            mine = slice(task, None, self.tasks)
            phase = float(rng.uniform(0, self.period_s))
            done[mine], periods = self._one(arrivals_s[mine] + phase, work[mine])
            done[mine] -= phase
            throttled = max(throttled, periods)
        span = max(float(arrivals_s[-1] - arrivals_s[0]), self.period_s) if len(arrivals_s) else 1.0
        return done, 100.0 * throttled * self.period_s / span

    def _one(self, arrivals_s: Floats, work_s: Floats) -> tuple[Floats, int]:
        quota = self.share * self.period_s
        free, period, used, throttled = 0.0, 0, 0.0, 0
        done = []
        for arrival, work in zip(arrivals_s.tolist(), work_s.tolist(), strict=True):
            now, left = max(arrival, free), work
            if int(now / self.period_s) > period:
                period, used = int(now / self.period_s), 0.0
            # Periods advance by counting: dividing at a boundary may round back and never end.
            while left > 1e-12:
                end = (period + 1) * self.period_s
                run = min(left, quota - used, end - now)
                now, used, left = now + run, used + run, left - run
                if left > 1e-12:
                    throttled += used >= quota - 1e-12
                    now, period, used = end, period + 1, 0.0
            free = now
            done.append(now)
        return np.array(done), throttled


#: Wall clock of the first simulated step.
STARTED = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
#: What the client sees beyond the target response time: balancer, wire, body.
OVERHEAD_S = 0.0004
PERIOD_S = 10


def simulate_steps(
    folder: Path,
    service: SimulatedService,
    rates_rps: Sequence[float],
    *,
    seed: int,
    phase: str = "sweep",
) -> list[MeasuredStep]:
    """Back-to-back steps of one period each, recorded as the experiment would."""
    segments = schedule.steps(rates_rps, PERIOD_S)
    intended = schedule.arrivals(segments, seed=seed)
    done, throttled_pct = service.serve(intended, seed)
    status = np.full(len(intended), 200, dtype=np.int16)
    raw = RawLoad(intended, intended + 0.0001, done + OVERHEAD_S, status)
    name = f"{service.tasks}-{phase}-{seed}.npz"
    raw.save(folder / name)
    steps = []
    for number, rate in enumerate(rates_rps):
        start, end = number * PERIOD_S, (number + 1) * PERIOD_S
        client = step_stats(
            raw, start, end, label="", rate_rps=rate, driver_cpu_cores=0.02, host_busy_cores=0.6
        )
        inside = (intended >= start) & (intended < end)
        trt_ms = (done - intended)[inside] * 1000
        requests = int(inside.sum())
        cpu_pct = 100 * requests / PERIOD_S * service.cpu_s / service.tasks / service.share
        steps.append(
            MeasuredStep(
                tasks=service.tasks,
                phase=phase,
                seed=seed,
                started_at=STARTED + timedelta(seconds=start),
                rate_rps=rate,
                client=client,
                raw_file=name,
                trt_p50_ms=float(np.percentile(trt_ms, 50, method="inverted_cdf")),
                trt_p95_ms=float(np.percentile(trt_ms, 95, method="inverted_cdf")),
                trt_p99_ms=float(np.percentile(trt_ms, 99, method="inverted_cdf")),
                requests=requests,
                cpu_pct=min(cpu_pct, 100.0) + 2.0,
                throttled_pct=throttled_pct,
                host_busy_cores=0.6,
                void_reason=None,
            )
        )
    return steps


def simulate_test(
    folder: Path, services: Sequence[SimulatedService], seed: int = 1, **changes: Any
) -> LoadTest:
    """A whole load test: for each service a sweep, then repeats around its crossing."""
    steps: list[MeasuredStep] = []
    for service in services:
        top = service.saturation_rps
        low, high = (0.45, 0.9) if service.tasks == 1 else (0.6, 0.97)
        steps += simulate_steps(folder, service, np.linspace(low, high, 6) * top, seed=seed)
        knee = {1: 0.74, 2: 0.85}.get(service.tasks, 0.89)
        around = np.linspace(0.9, 1.06, 4) * knee * top
        steps += simulate_steps(folder, service, around, seed=seed + 1000, phase="repeat")
    values: dict[str, Any] = {
        "environment": "local",
        "service": "web",
        "run_id": "20261123-120000",
        "measured_at": STARTED,
        "slo_ms": 20.0,
        "period_s": PERIOD_S,
        "task_cpu": 256,
        "enforcement": "cgroup-v2-quota",
        "host_cores": 2,
        "path": "/products",
        "cpu_s_per_request": services[0].cpu_s,
        "steps": tuple(steps),
        "folder": folder,
    }
    return LoadTest(**{**values, **changes})


@pytest.fixture
def simulated_service() -> type[SimulatedService]:
    """The class, for tests to set up."""
    return SimulatedService


@pytest.fixture
def simulate(tmp_path: Path) -> Callable[..., LoadTest]:
    """A load test of simulated services, recorded in the test's folder."""

    def run(*services: SimulatedService, **options: Any) -> LoadTest:
        return simulate_test(tmp_path, services, **options)

    return run
