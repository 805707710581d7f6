"""The queueing model of a load test: fitted to all its steps, it predicts other task counts.

The tasks are simulated under their CPU quota with the arrivals that were really driven and the
CPU that each step was measured to cost, so most of what makes steps scatter (their arrivals,
the machine's speed at that moment) is known instead of averaged over. One number is fitted
for all task counts: `quota_factor`, how much of its nominal quota a task can really use.
What a request waits for besides CPU is read off the median response times. Tasks that share
a machine wait for one of its cores: in proportion to how busy it is, where that is published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runbook.capacity.quota_queue import Task, poisson_response_times_s, response_times_s

Floats = NDArray[np.float64]

#: The quota factors that are tried.
FACTORS = np.arange(0.80, 1.2401, 0.02)
#: What the model leaves unexplained in a step, as the arcsine of the root of the share of slow
#: requests: at 5 % it is 1.4 percentage points.
_ANGLE_ERROR = 0.03
#: Its error in a predicted c_SLO (standard deviation) where the count was measured, and where
#: not: bench/capacity.py checks that intervals with it cover the truth.
MODEL_ERROR, UNSEEN_ERROR = 0.02, 0.03
#: A model whose residuals are larger than this (in standard deviations, root mean square), or
#: whose best factor lies at the end of the range, does not describe the service.
MAX_RESIDUAL = 2.0
_DRAWS, _RESAMPLES = 6, 400
_LONG_S, _RATES = 800.0, np.arange(0.48, 1.001, 0.04)
_CALM_SHARE = 0.02
MIN_STEPS = 5
#: So many calm steps must tell how busy the machine was before waits are laid to that.
MIN_SHARED_STEPS = 2


@dataclass(frozen=True)
class ModelStep:
    """What the model needs of one valid step; `inside` tells the step's arrivals in the phase's.

    `cpu_s` is the CPU a request cost in this very step; the percentiles are on
    CloudWatch's level. `host_busy_cores` is None where nobody publishes it.
    """

    tasks: int
    rate_per_task_rps: float
    arrivals_s: Floats
    inside: NDArray[np.bool_]
    cpu_s: float
    slow_share: float
    p25_ms: float
    p50_ms: float
    p95_ms: float
    host_busy_cores: float | None = None


@dataclass(frozen=True)
class Wait:
    """The mean of what a request waits for besides CPU, in seconds; see `Task.extra_s`.

    `by_count`: as measured with each task count. `per_busy_core_s`: a busy core of the shared
    machine adds this much, and a request/s of all tasks makes it `busy_per_rps` busier; None
    where the machine's load is not published, then the counts' own values hold.
    """

    by_count: dict[int, float]
    per_busy_core_s: float | None = None
    busy_per_rps: float = 0.0

    def in_step(self, step: ModelStep) -> float:
        """In a step that was driven."""
        if self.per_busy_core_s is None or step.host_busy_cores is None:
            return _between(self.by_count, step.tasks)
        return self.per_busy_core_s * step.host_busy_cores

    def at(self, tasks: int, rate_per_task_rps: float) -> float:
        """At a rate per task that need not have been driven."""
        if self.per_busy_core_s is None:
            return _between(self.by_count, tasks)
        return self.per_busy_core_s * self.busy_per_rps * rate_per_task_rps * tasks


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
class Capacity:
    """c_SLO for a task count as the model has it, requests/s per task, with its interval."""

    tasks: int
    rate_per_task_rps: float
    lo_per_task_rps: float
    hi_per_task_rps: float


@dataclass(frozen=True)
class QueueModel:
    """The fitted model; `cpu_s` by measured task count, see `Task`."""

    quota_factor: float
    cv: float
    share_cores: float
    slo_ms: float
    allowed_share: float
    cpu_s: dict[int, float]
    wait: Wait
    residuals: tuple[Residual, ...]
    steps: tuple[ModelStep, ...]
    misfit: Floats

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

    def task(self, tasks: int, rate_per_task_rps: float, factor: float | None = None) -> Task:
        """One of `tasks` tasks at a rate; between measured counts its cost is interpolated."""
        return Task(
            _between(self.cpu_s, tasks),
            self.cv,
            self.share_cores * (self.quota_factor if factor is None else factor),
            self.wait.at(tasks, rate_per_task_rps),
        )

    def p95_ms(self, tasks: int, rate_per_task_rps: float) -> float:
        """The long-run p95 at a rate per task."""
        task = self.task(tasks, rate_per_task_rps)
        times = poisson_response_times_s(rate_per_task_rps, _LONG_S / tasks, tasks, task, 1)
        return float(np.percentile(times, 95)) * 1000.0

    def capacity(self, tasks: int, *, confidence: float = 0.95, seed: int = 1) -> Capacity:
        """c_SLO for any task count, its interval by resampling the steps.

        In each resample the quota factor is fitted anew and the CPU cost is the median of the
        steps drawn; the model's own error is added.
        """
        rng = np.random.default_rng(seed)
        coarse = np.clip(self.quota_factor + np.array([-0.06, 0.0, 0.06]), 0.5, 2.0)
        crossings = [self._crossing(tasks, factor) for factor in coarse]
        counts = np.array([step.tasks for step in self.steps])
        cost = np.array([step.cpu_s for step in self.steps])
        nearest = min(self.cpu_s, key=lambda count: abs(count - tasks))
        error = MODEL_ERROR if tasks in self.cpu_s else UNSEEN_ERROR
        drawn = []
        for _ in range(_RESAMPLES):
            pick = rng.integers(0, len(self.steps), len(self.steps))
            factor = FACTORS[int(self.misfit[:, pick].sum(axis=1).argmin())]
            same = pick[counts[pick] == nearest]
            relative = np.median(cost[same]) / self.cpu_s[nearest] if len(same) else 1.0
            # The slope beyond the three is that between them.
            slope = (crossings[2] - crossings[0]) / max(coarse[2] - coarse[0], 1e-9)
            rate = crossings[1] + slope * (factor - self.quota_factor)
            drawn.append(rate / relative * float(np.exp(rng.normal(0.0, error))))
        tail = 100.0 * (1.0 - confidence) / 2.0
        lo, hi = np.percentile(drawn, [tail, 100.0 - tail])
        rate = crossings[1]
        return Capacity(tasks, rate, float(min(lo, rate)), float(max(hi, rate)))

    def _crossing(self, tasks: int, factor: float) -> float:
        """Where the long-run share of slow requests reaches the allowed one."""
        # More tasks see more requests a second.
        long_s = _LONG_S / tasks
        rates = _RATES * self.task(tasks, 0.0, factor).saturation_rps

        def slow(rate: float) -> float:
            task = self.task(tasks, rate, factor)
            times_s = poisson_response_times_s(rate, long_s, tasks, task, 7)
            return float((times_s * 1e3 > self.slo_ms).mean())

        shares = np.array([slow(rate) for rate in rates])
        rising = np.maximum.accumulate(np.log(np.maximum(shares, 1e-5)))
        return float(np.interp(np.log(self.allowed_share), rising, rates))


def _between(values: Mapping[int, float], tasks: int) -> float:
    """Interpolated over the logarithm of the count, constant beyond the measured ones."""
    known = sorted(values)
    return float(np.interp(np.log(tasks), np.log(known), [values[count] for count in known]))


def fit_model(
    steps: Sequence[ModelStep], *, share_cores: float, slo_ms: float, allowed_share: float
) -> QueueModel | None:
    """The model that fits the steps best; None with too few steps to tell."""
    if len(steps) < MIN_STEPS or all(step.slow_share < allowed_share for step in steps):
        return None
    cv = _variation(steps)
    counts = sorted({step.tasks for step in steps})
    cost = {n: float(np.median([s.cpu_s for s in steps if s.tasks == n])) for n in counts}
    wait = _wait(steps, cv, share_cores)
    tried = [
        [_predicted(s, cv, share_cores * factor, wait.in_step(s), slo_ms) for s in steps]
        for factor in FACTORS
    ]
    # The arcsine of the root has the same spread for small shares and large ones, so no factor
    # is preferred for the size of the errors that it predicts.
    angle = np.arcsin(np.sqrt([[shares for shares, _ in row] for row in tried]))
    spread = np.sqrt((angle.std(axis=2) ** 2).mean(axis=0) + _ANGLE_ERROR**2)
    z = (np.arcsin(np.sqrt([s.slow_share for s in steps])) - angle.mean(axis=2)) / spread
    # Bounded, so that one odd step does not decide.
    misfit = np.minimum(z**2, 9.0)
    best = int(misfit.sum(axis=1).argmin())
    residuals = tuple(
        Residual(
            step.tasks,
            step.rate_per_task_rps,
            100.0 * step.slow_share,
            100.0 * float(tried[best][index][0].mean()),
            step.p95_ms,
            tried[best][index][1],
            float(z[best, index]),
        )
        for index, step in enumerate(steps)
    )
    return QueueModel(
        float(FACTORS[best]), cv, share_cores, slo_ms, allowed_share, cost, wait, residuals,
        tuple(steps), np.asarray(misfit),
    )  # fmt: skip


def predicted_steps(model: QueueModel, steps: Sequence[ModelStep]) -> list[float]:
    """The model's p95 in ms of steps that it was not fitted to, arrivals and CPU known."""
    return [
        _predicted(
            step,
            model.cv,
            model.share_cores * model.quota_factor,
            model.wait.in_step(step),
            model.slo_ms,
        )[1]
        for step in steps
    ]


def _predicted(
    step: ModelStep, cv: float, quota_cores: float, extra_s: float, slo_ms: float
) -> tuple[Floats, float]:
    """Shares of slow requests in several simulations of a step, and their median p95 in ms."""
    rng = np.random.default_rng(11)
    task = Task(step.cpu_s, cv, quota_cores, extra_s)
    shares, p95 = [], []
    for _ in range(_DRAWS):
        times_ms = 1e3 * response_times_s(step.arrivals_s, step.tasks, task, rng)[step.inside]
        shares.append(float(np.mean(times_ms > slo_ms)))
        p95.append(float(np.percentile(times_ms, 95)))
    return np.array(shares), float(np.median(p95))


def _variation(steps: Sequence[ModelStep]) -> float:
    """The variation of a request's CPU, from the faster half of the calmest step's requests.

    Waits lengthen the slower half, even at low rates.
    """
    calm = min(steps, key=lambda step: step.rate_per_task_rps)
    # A lognormal's lower quartile lies 0.674 sigma below its median.
    sigma = np.log(max(calm.p50_ms / max(calm.p25_ms, 1e-9), 1.0)) / 0.674
    return float(np.clip(np.sqrt(np.expm1(sigma**2)), 0.05, 1.0))


def _wait(steps: Sequence[ModelStep], cv: float, share_cores: float) -> Wait:
    """What the steps wait for besides CPU: by their count, and by how busy the machine was."""
    calm = [step for step in steps if step.slow_share <= _CALM_SHARE]
    counts = sorted({step.tasks for step in steps})
    known = {n: [s for s in calm if s.tasks == n] or [s for s in steps if s.tasks == n]
             for n in counts}  # fmt: skip
    rng = np.random.default_rng(5)
    extra = {id(s): _extra_s(s, cv, share_cores, rng) for some in known.values() for s in some}
    by_count = {
        n: max(float(np.median([extra[id(s)] for s in some])), 0.0) for n, some in known.items()
    }
    told = [(s, s.host_busy_cores) for some in known.values() for s in some if s.host_busy_cores]
    if len(told) < MIN_SHARED_STEPS:
        return Wait(by_count)
    # Least squares through the origin: the busier steps tell it best.
    busy_cores = np.array([busy for _, busy in told])
    waits_s = np.array([extra[id(step)] for step, _ in told])
    per_core_s = float(busy_cores @ waits_s / (busy_cores @ busy_cores))
    per_rps = [busy / (step.rate_per_task_rps * step.tasks) for step, busy in told]
    return Wait(by_count, max(per_core_s, 0.0), float(np.median(per_rps)))


def _extra_s(step: ModelStep, cv: float, share_cores: float, rng: np.random.Generator) -> float:
    """The mean of what a request waits for besides CPU: half of them wait ln 2 of it or more."""
    task = Task(step.cpu_s, cv, share_cores)
    medians_s = [
        float(np.median(response_times_s(step.arrivals_s, step.tasks, task, rng)[step.inside]))
        for _ in range(_DRAWS)
    ]
    return (step.p50_ms / 1e3 - float(np.mean(medians_s))) / float(np.log(2.0))
