"""A step of a load test as the queueing model sees it, and simulations of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runbook.capacity.quota_queue import Task, response_times_s

Floats = NDArray[np.float64]

DRAWS = 6


@dataclass(frozen=True)
class ModelStep:
    """What the model needs of one valid step.

    `arrivals_s` are the step's and those shortly before it; `inside` tells those that count,
    which have an entry each in `latency_ms` (on CloudWatch's level) and in `block`, the number
    of their block of time. `cpu_s` is the CPU a request cost in this very step.
    `host_busy_cores`, of `host_cores`, is None where nobody publishes it.
    """

    tasks: int
    rate_per_task_rps: float
    arrivals_s: Floats
    inside: NDArray[np.bool_]
    cpu_s: float
    latency_ms: Floats
    block: NDArray[np.intp]
    host_busy_cores: float | None = None
    host_cores: int = 1

    def percentile_ms(self, percent: float) -> float:
        """A percentile of the requests that count."""
        return float(np.percentile(self.latency_ms, percent))

    def slow_share(self, slo_ms: float) -> float:
        """The share of them that took longer."""
        return float(np.mean(self.latency_ms > slo_ms))

    def by_block(self, values: NDArray[np.bool_] | Floats) -> Floats:
        """The sums over blocks of one value a request that counts, in the last axis."""
        return np.asarray(np.bincount(self.block, values.astype(np.float64), self.blocks))

    def slow_blocks(self, times_ms: Floats, slo_ms: float) -> Floats:
        """Slow requests by simulation and block."""
        return np.array([self.by_block(times > slo_ms) for times in times_ms])

    @property
    def blocks(self) -> int:
        """How many blocks of time there are."""
        return int(self.block.max()) + 1


def simulated(step: ModelStep, task: Task) -> Floats:
    """The response times in ms of a step's requests that count, in several simulations of it.

    The same randomness whatever the parameters, so that they can be compared.
    """
    rng = np.random.default_rng(11)
    return np.array(
        [
            1e3 * response_times_s(step.arrivals_s, step.tasks, task, rng)[step.inside]
            for _ in range(DRAWS)
        ]
    )


def p95_of(times_ms: Floats) -> float:
    """The median over simulations of their p95."""
    return float(np.median(np.percentile(times_ms, 95, axis=1)))


def calmest(steps: Sequence[ModelStep]) -> ModelStep:
    """The step at the lowest rate: there are few waits to hide what a request costs."""
    return min(steps, key=lambda step: step.rate_per_task_rps)


def variation(latency_ms: Floats) -> float:
    """The variation of a request's CPU, from the faster half of a calm step's requests.

    Waits lengthen the slower half, even at low rates.
    """
    p25_ms, p50_ms = np.percentile(latency_ms, [25, 50])
    # A lognormal's lower quartile lies 0.674 sigma below its median.
    sigma = np.log(max(p50_ms / max(p25_ms, 1e-9), 1.0)) / 0.674
    return float(np.clip(np.sqrt(np.expm1(sigma**2)), 0.05, 1.0))
