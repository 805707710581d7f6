"""The queueing model of a load test: fitted to all its steps, it predicts other task counts.

The tasks are simulated under their CPU quota with the arrivals that were really driven and the
CPU that each step was measured to cost, so most of what makes steps scatter (their arrivals,
the machine's speed at that moment) is known instead of averaged over. One number is fitted
for all task counts: `quota_factor`, how much of its nominal quota a task can really use.
What a request waits for besides CPU is read off the median response times. Tasks that share
a machine wait for one of its cores: in proportion to how busy it is, where that is published.

How sure its c_SLO is, `queue_bootstrap` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from runbook.capacity.quota_queue import Task, poisson_response_times_s, response_times_s

Floats = NDArray[np.float64]

#: The quota factors that are tried.
FACTORS = np.arange(0.80, 1.2401, 0.02)
#: What the model leaves unexplained in a step, as the arcsine of the root of the share of slow
#: requests: at 5 % it is 1.4 percentage points.
_ANGLE_ERROR = 0.03
#: A model whose residuals are larger than this (in standard deviations, root mean square), or
#: whose best factor lies at the end of the range, does not describe the service.
MAX_RESIDUAL = 2.0
_DRAWS = 6
#: c_SLO is looked for among these shares of CPU saturation, roughly and for a short time at
#: first, then closely and for long. Who waits for something else than CPU has it far down.
_LONG_S, _SHORT_S, _LEAST = 800.0, 200.0, 4000
_COARSE, _CLOSE = np.concatenate([np.geomspace(0.01, 0.44, 12), np.arange(0.48, 1.001, 0.04)]), 7
_CALM_SHARE = 0.02
MIN_STEPS = 5
#: So many calm steps must tell how busy the machine was before waits are laid to that.
MIN_SHARED_STEPS = 2


@dataclass(frozen=True)
class ModelStep:
    """What the model needs of one valid step.

    `arrivals_s` are the step's and those shortly before it; `inside` tells those that count,
    which have an entry each in `latency_ms` (on CloudWatch's level) and in `block`, the number
    of their block of time. `cpu_s` is the CPU a request cost in this very step.
    `host_busy_cores` is None where nobody publishes it.
    """

    tasks: int
    rate_per_task_rps: float
    arrivals_s: Floats
    inside: NDArray[np.bool_]
    cpu_s: float
    latency_ms: Floats
    block: NDArray[np.intp]
    host_busy_cores: float | None = None

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
            return between(self.by_count, step.tasks)
        return self.per_busy_core_s * step.host_busy_cores

    def at(self, tasks: int, rate_per_task_rps: float) -> float:
        """At a rate per task that need not have been driven."""
        if self.per_busy_core_s is None:
            return between(self.by_count, tasks)
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


def between(values: Mapping[int, float], tasks: int) -> float:
    """Interpolated over the logarithm of the count, constant beyond the measured ones."""
    known = sorted(values)
    return float(np.interp(np.log(tasks), np.log(known), [values[count] for count in known]))


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
    wait = wait_of(steps, extra_waits_s(steps, cv, share_cores, slo_ms))
    tried = [
        [simulated(s, cv, share_cores * factor, wait.in_step(s)) for s in steps]
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


def simulated(step: ModelStep, cv: float, quota_cores: float, extra_s: float) -> Floats:
    """The response times in ms of a step's requests that count, in several simulations of it.

    The same randomness whatever the parameters, so that they can be compared.
    """
    rng = np.random.default_rng(11)
    task = Task(step.cpu_s, cv, quota_cores, extra_s)
    return np.array(
        [
            1e3 * response_times_s(step.arrivals_s, step.tasks, task, rng)[step.inside]
            for _ in range(_DRAWS)
        ]
    )


def p95_of(times_ms: Floats) -> float:
    """The median over simulations of their p95."""
    return float(np.median(np.percentile(times_ms, 95, axis=1)))


def predicted_p95_ms(model: QueueModel, steps: Sequence[ModelStep]) -> list[float]:
    """The model's p95 in ms of steps that it was not fitted to.

    Of such a step it knows the task count and the planned load, which is when requests arrive.
    The CPU they cost and what they wait for are the model's own, as for any other rate.
    """
    made = []
    for step in steps:
        task = model.task(step.tasks, step.rate_per_task_rps)
        unseen = replace(step, cpu_s=task.cpu_s)
        made.append(p95_of(simulated(unseen, model.cv, task.quota_cores, task.extra_s)))
    return made


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


def extra_waits_s(
    steps: Sequence[ModelStep], cv: float, share_cores: float, slo_ms: float
) -> dict[int, float]:
    """By the step's number: the mean of what its requests wait for besides CPU.

    Half of them wait ln 2 of it or more. Calm steps only, and all of a count that has none.
    """
    rng = np.random.default_rng(5)
    calm = [step.slow_share(slo_ms) <= _CALM_SHARE for step in steps]
    has_calm = {step.tasks for step, quiet in zip(steps, calm, strict=True) if quiet}
    extra = {}
    for number, step in enumerate(steps):
        if calm[number] or step.tasks not in has_calm:
            task = Task(step.cpu_s, cv, share_cores)
            medians_s = [
                np.median(response_times_s(step.arrivals_s, step.tasks, task, rng)[step.inside])
                for _ in range(_DRAWS)
            ]
            gap_s = step.percentile_ms(50) / 1e3 - float(np.mean(medians_s))
            extra[number] = gap_s / float(np.log(2.0))
    return extra


def wait_of(steps: Sequence[ModelStep], extra_s: Mapping[int, float]) -> Wait:
    """What the steps wait for besides CPU: by their count, and by how busy the machine was.

    `extra_s` has it for some of the steps, by number, at least one of each count.
    """
    by_count = {
        n: max(float(np.median([e for i, e in extra_s.items() if steps[i].tasks == n])), 0.0)
        for n in sorted({steps[i].tasks for i in extra_s})
    }
    told = [(steps[i], e) for i, e in extra_s.items() if steps[i].host_busy_cores]
    if len(told) < MIN_SHARED_STEPS:
        return Wait(by_count)
    # Least squares through the origin: the busier steps tell it best.
    busy_cores = np.array([step.host_busy_cores for step, _ in told], dtype=np.float64)
    waits_s = np.array([extra for _, extra in told])
    per_core_s = float(busy_cores @ waits_s / (busy_cores @ busy_cores))
    rates = np.array([step.rate_per_task_rps * step.tasks for step, _ in told])
    return Wait(by_count, max(per_core_s, 0.0), float(np.median(busy_cores / rates)))
