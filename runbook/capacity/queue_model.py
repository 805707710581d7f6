"""The queueing model of a load test: fitted to all its steps, it predicts other task counts.

The tasks are simulated under their CPU quota with the arrivals that were really driven and the
CPU that each step was measured to cost, so most of what makes steps scatter (their arrivals,
the machine's speed at that moment) is known instead of averaged over. One number is fitted
for all task counts: `quota_factor`, how much of its nominal quota a task can really use.
What a request waits for besides is read off calm steps (`queue_wait`).

How sure its c_SLO is, `queue_bootstrap` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from runbook.capacity.queue_step import ModelStep, calmest, p95_of, simulated, variation
from runbook.capacity.queue_wait import Wait, between, extra_waits_s, fitted_wait, step_task
from runbook.capacity.quota_queue import Task, poisson_response_times_s

Floats = NDArray[np.float64]

#: The quota factors that are tried.
FACTORS = np.arange(0.80, 1.2401, 0.02)
#: What the model leaves unexplained in a step, as the arcsine of the root of the share of slow
#: requests: at 5 % it is 1.4 percentage points.
_ANGLE_ERROR = 0.03
#: A model whose residuals are larger than this (in standard deviations, root mean square), or
#: whose best factor lies at the end of the range, does not describe the service.
MAX_RESIDUAL = 2.0
#: c_SLO is looked for among these shares of CPU saturation, roughly and for a short time at
#: first, then closely and for long. Who waits for something else than CPU has it far down.
_LONG_S, _SHORT_S, _LEAST = 800.0, 200.0, 4000
_COARSE, _CLOSE = np.concatenate([np.geomspace(0.01, 0.44, 12), np.arange(0.48, 1.001, 0.04)]), 7
MIN_STEPS = 5


@dataclass(frozen=True)
class Residual:
    """One step: what was measured, what the model says; `z` is the gap in its deviations."""

    tasks: int
    rate_per_task_rps: float
    slow_pct: float
    predicted_slow_pct: float
    p95_ms: float
    predicted_p95_ms: float
    z: float


@dataclass(frozen=True)
class QueueModel:
    """The fitted model; `cpu_s` by measured task count, see `Task`.

    `spread` is each step's standard deviation; `slow_blocks` has each step's slow requests by
    factor tried, simulation and block of time.
    """

    quota_factor: float
    cv: float
    share_cores: float
    slo_ms: float
    allowed_share: float
    cpu_s: dict[int, float]
    wait: Wait
    residuals: tuple[Residual, ...]
    steps: tuple[ModelStep, ...]
    spread: Floats
    slow_blocks: tuple[Floats, ...]

    @property
    def rms_residual(self) -> float:
        """Root mean square of the residuals, in their standard deviations; about 1 is right."""
        return float(np.sqrt(np.mean([item.z**2 for item in self.residuals])))

    @property
    def doubt(self) -> str:
        """Why the model does not describe this service, or "" when it does."""
        if not FACTORS[0] < self.quota_factor < FACTORS[-1]:
            return f"no quota between {FACTORS[0]:.0%} and {FACTORS[-1]:.0%} of nominal fits"
        if self.rms_residual > MAX_RESIDUAL:
            return f"its residuals are {self.rms_residual:.1f} standard deviations, not 1"
        return ""

    def task(self, tasks: int, rate_per_task_rps: float) -> Task:
        """One of `tasks` tasks at a rate; between measured counts its cost is interpolated."""
        return Task(
            between(self.cpu_s, tasks),
            self.cv,
            self.share_cores * self.quota_factor,
            self.wait.at(tasks, rate_per_task_rps),
            self.wait.each_s,
        )

    def crossing_rps(
        self, tasks: int, *, factor: float = 0.0, cv: float = 0.0, wait_s: float = 0.0
    ) -> float:
        """Where the long-run share of slow requests reaches the allowed one, per task.

        The other numbers are added to the model's own. 0 when even at a hundredth of what the
        CPU allows too many are slow.
        """

        def slow(rate: float, seconds: float) -> float:
            task = self.task(tasks, rate)
            task = replace(
                task,
                cv=max(task.cv + cv, 0.02),
                quota_cores=task.quota_cores + factor * self.share_cores,
                extra_s=max(task.extra_s + wait_s, 0.0),
            )
            # More tasks see more requests a second; few a second take longer to tell.
            long_s = max(seconds, _LEAST / rate) / tasks
            times_s = poisson_response_times_s(rate, long_s, tasks, task, 7)
            return float((times_s * 1e3 > self.slo_ms).mean())

        rates = _COARSE * (self.task(tasks, 0.0).saturation_rps)
        beyond = next(
            (i for i, rate in enumerate(rates) if slow(rate, _SHORT_S) > self.allowed_share),
            len(rates) - 1,
        )
        if beyond == 0:
            return 0.0
        close = np.linspace(
            rates[max(beyond - 2, 0)], rates[min(beyond + 1, len(rates) - 1)], _CLOSE
        )
        shares = np.array([slow(rate, _LONG_S) for rate in close])
        rising = np.maximum.accumulate(np.log(np.maximum(shares, 1e-5)))
        return float(np.interp(np.log(self.allowed_share), rising, close))


def fit_model(
    steps: Sequence[ModelStep], *, share_cores: float, slo_ms: float, allowed_share: float
) -> QueueModel | None:
    """The model that fits the steps best; None with too few steps to tell."""
    measured = np.array([step.slow_share(slo_ms) for step in steps])
    if len(steps) < MIN_STEPS or (measured < allowed_share).all():
        return None
    cv = variation(calmest(steps).latency_ms)
    counts = sorted({step.tasks for step in steps})
    cost = {n: float(np.median([s.cpu_s for s in steps if s.tasks == n])) for n in counts}
    wait = fitted_wait(steps, extra_waits_s(steps, cv, share_cores, slo_ms), cv, share_cores)
    tried = [
        [simulated(s, step_task(s, cv, share_cores * factor, wait)) for s in steps]
        for factor in FACTORS
    ]
    angle = angles([[(times > slo_ms).mean(axis=1) for times in row] for row in tried])
    spread = np.sqrt((angle.std(axis=2) ** 2).mean(axis=0) + _ANGLE_ERROR**2)
    z = (angles(measured) - angle.mean(axis=2)) / spread
    best = int(misfit(z).sum(axis=1).argmin())
    residuals = tuple(
        Residual(
            step.tasks,
            step.rate_per_task_rps,
            100.0 * measured[index],
            100.0 * float((tried[best][index] > slo_ms).mean()),
            step.percentile_ms(95),
            p95_of(tried[best][index]),
            float(z[best, index]),
        )
        for index, step in enumerate(steps)
    )
    return QueueModel(
        best_factor(misfit(z).sum(axis=1)), cv, share_cores, slo_ms, allowed_share, cost, wait,
        residuals, tuple(steps), spread,
        tuple(
            np.array([step.slow_blocks(row[index], slo_ms) for row in tried])
            for index, step in enumerate(steps)
        ),
    )  # fmt: skip


def angles(shares: object) -> Floats:
    """The arcsine of the root of shares.

    It has the same spread for small shares and large ones, so no factor is preferred for the
    size of the errors that it predicts.
    """
    return np.asarray(np.arcsin(np.sqrt(np.asarray(shares, dtype=np.float64))))


def misfit(z: Floats) -> Floats:
    """What a gap of `z` deviations counts: bounded, so that one odd step does not decide."""
    return np.minimum(z**2, 9.0)


def best_factor(by_factor: Floats) -> float:
    """The factor with the least misfit, between those tried by the parabola through three."""
    best = int(by_factor.argmin())
    if not 0 < best < len(FACTORS) - 1:
        return float(FACTORS[best])
    low, mid, high = by_factor[best - 1 : best + 2]
    bend = low - 2.0 * mid + high
    move = 0.5 * (low - high) / bend if bend > 0 else 0.0
    return float(FACTORS[best] + np.clip(move, -0.5, 0.5) * (FACTORS[1] - FACTORS[0]))


def predicted_p95_ms(model: QueueModel, steps: Sequence[ModelStep]) -> list[float]:
    """The model's p95 in ms of steps that it was not fitted to.

    Of such a step it knows the task count and the planned load, which is when requests arrive.
    The CPU they cost and what they wait for are the model's own, as for any other rate.
    """
    made = []
    for step in steps:
        made.append(p95_of(simulated(step, model.task(step.tasks, step.rate_per_task_rps))))
    return made
