"""How sure the queueing model's c_SLO is: a block bootstrap, and the model's own error.

In each resample steps are drawn with replacement within each task count, then blocks of time
within each step, measured and simulated requests of the same block together, as their arrivals
are the same. From that quota, waits, variation and CPU cost are determined anew. Of the waits how
many requests have one stays as fitted, and their mean is drawn on the measured side alone, which
makes its spread a fifth too wide, and wider for a count without a calm step. How slow requests
depend on wait and variation, and c_SLO on all of them, is taken as linear around the fit:
simulating each resample afresh would take an hour.

That says how far chance in one load test moves the answer, not whether a service is such a
queue. What it was off when it predicted task counts that had been held back says that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from runbook.capacity.queue_model import FACTORS, QueueModel, angles, best_factor, misfit
from runbook.capacity.queue_step import ModelStep, calmest, simulated, variation
from runbook.capacity.queue_wait import Wait, capped_mean_ms, extra_waits_s, step_task, wait_of

Floats = NDArray[np.float64]

#: By how much a held-back task count's c_SLO was mispredicted, in percent, in the load tests of
#: 2026-11-27 (docs/measuring.md, "Measured"). Their root mean square is the model's error; it
#: contains that of the measurement it was held against.
HELD_OUT_PCT = (-12.4, 6.5, -2.9, 5.6, -12.5)
MODEL_ERROR = float(np.sqrt(np.mean(np.square(HELD_OUT_PCT)))) / 100.0

#: Beyond so many, the model's error hides what more of them would tell.
MOST_RESAMPLES = 400
#: How far factor, variation and wait are moved to see what depends on them how.
_STEP_FACTOR, _STEP_CV, _STEP_WAIT_S = 0.06, 0.10, 0.0005


@dataclass(frozen=True)
class Capacity:
    """c_SLO for a task count as the model has it, requests/s per task, with its interval.

    `chance` is the standard deviation of its logarithm over the resamples; the interval has
    the model's own error too.
    """

    tasks: int
    rate_per_task_rps: float
    lo_per_task_rps: float
    hi_per_task_rps: float
    chance: float


@dataclass(frozen=True)
class _Replicate:
    """The parameters that one resample gives; `cost` relative to the fit's, by task count."""

    factor: float
    cv: float
    wait: Wait
    cost: dict[int, float]


@dataclass(frozen=True)
class Bootstrap:
    """The resamples of a fitted model."""

    model: QueueModel
    replicates: tuple[_Replicate, ...]

    def capacity(self, tasks: int, *, confidence: float = 0.95, seed: int = 1) -> Capacity | None:
        """c_SLO for any task count with its interval; None when there is no rate that keeps it."""
        model = self.model
        rate = model.crossing_rps(tasks)
        if rate <= 0:
            return None
        up, down = (
            np.log(max(model.crossing_rps(tasks, factor=move), 1e-9) / rate)
            for move in (_STEP_FACTOR, -_STEP_FACTOR)
        )
        by_factor = (up - down) / (2.0 * _STEP_FACTOR)
        by_cv = np.log(max(model.crossing_rps(tasks, cv=_STEP_CV), 1e-9) / rate) / _STEP_CV
        by_wait = (
            np.log(max(model.crossing_rps(tasks, wait_s=_STEP_WAIT_S), 1e-9) / rate) / _STEP_WAIT_S
        )
        nearest = min(model.cpu_s, key=lambda count: abs(count - tasks))
        base_s = model.wait.at(tasks, rate)
        moved = np.array(
            [
                by_factor * (item.factor - model.quota_factor)
                + by_cv * (item.cv - model.cv)
                + by_wait * (item.wait.at(tasks, rate) - base_s)
                - np.log(item.cost[nearest])
                for item in self.replicates
            ]
        )
        rng = np.random.default_rng(seed)
        drawn = moved + rng.normal(0.0, MODEL_ERROR, len(moved))
        tail = 100.0 * (1.0 - confidence) / 2.0
        lo, hi = np.percentile(drawn, [tail, 100.0 - tail])
        return Capacity(
            tasks,
            rate,
            rate * float(np.exp(min(lo, 0.0))),
            rate * float(np.exp(max(hi, 0.0))),
            float(moved.std()),
        )


def bootstrap(model: QueueModel, *, resamples: int = MOST_RESAMPLES, seed: int = 1) -> Bootstrap:
    """Resample the model's steps and their blocks of time, and fit each resample."""
    rng = np.random.default_rng(seed)
    steps = model.steps
    by_cv = _slopes(model, cv=_STEP_CV)
    by_wait = _slopes(model, wait_s=_STEP_WAIT_S)
    slow = [step.by_block(step.latency_ms > model.slo_ms) for step in steps]
    requests = [step.by_block(np.ones(len(step.block))) for step in steps]
    known = extra_waits_s(steps, model.cv, model.share_cores, model.slo_ms)
    members = {n: [i for i, s in enumerate(steps) if s.tasks == n] for n in model.cpu_s}
    calm = steps.index(calmest(steps))
    replicates = []
    for _ in range(resamples):
        times = np.bincount(
            np.concatenate([rng.choice(some, len(some)) for some in members.values()]),
            minlength=len(steps),
        )
        weights = [rng.multinomial(s.blocks, np.full(s.blocks, 1.0 / s.blocks)) for s in steps]
        cv = variation(_redrawn(steps[calm], weights[calm]))
        drawn = wait_of(steps, _redrawn_waits(model, known, weights, times))
        wait = replace(drawn, each_s=model.wait.each_s)
        angle = np.zeros((len(FACTORS), len(steps)))
        seen = np.zeros(len(steps))
        for number in np.flatnonzero(times):
            step, weight = steps[number], weights[number]
            total = max(float(requests[number] @ weight), 1.0)
            seen[number] = float(slow[number] @ weight) / total
            shares = model.slow_blocks[number] @ weight / total
            angle[:, number] = (
                angles(np.clip(shares, 0.0, 1.0)).mean(axis=1)
                + by_cv[number] * (cv - model.cv)
                + by_wait[number] * (wait.in_step(step) - model.wait.in_step(step))
            )
        z = (angles(seen) - angle) / model.spread
        cost = {
            n: float(np.median(np.repeat([steps[i].cpu_s for i in some], times[some])))
            / model.cpu_s[n]
            for n, some in members.items()
        }
        replicates.append(_Replicate(best_factor(misfit(z) @ times), cv, wait, cost))
    return Bootstrap(model, tuple(replicates))


def _slopes(model: QueueModel, *, cv: float = 0.0, wait_s: float = 0.0) -> list[float]:
    """How each step's angle (see `angles`) moves with variation or wait, per unit of it."""
    quota_cores = model.share_cores * model.quota_factor
    made = []
    for step in model.steps:
        task = step_task(step, model.cv, quota_cores, model.wait)
        more = replace(task, cv=task.cv + cv, extra_s=task.extra_s + wait_s)
        at, moved = (
            angles(np.mean(simulated(step, item) > model.slo_ms, axis=1)) for item in (task, more)
        )
        made.append(float(np.mean(moved - at)) / (cv + wait_s))
    return made


def _redrawn(step: ModelStep, weight: NDArray[np.int64]) -> Floats:
    """The latencies of a step's blocks, each as often as it was drawn."""
    return np.repeat(step.latency_ms, weight[step.block])


def _redrawn_waits(
    model: QueueModel,
    known_s: dict[int, float],
    weights: list[NDArray[np.int64]],
    times: NDArray[np.intp],
) -> dict[int, float]:
    """The waits of the steps drawn, moved as their means move with the blocks."""
    steps, slo_ms = model.steps, model.slo_ms
    drawn = {steps[i].tasks for i in known_s if times[i]}
    made = {}
    for number, extra_s in known_s.items():
        step = steps[number]
        if times[number] or step.tasks not in drawn:
            latency_ms = _redrawn(step, weights[number])
            usual_ms = capped_mean_ms(step.latency_ms, slo_ms)
            mean_ms = capped_mean_ms(latency_ms, slo_ms) if len(latency_ms) else usual_ms
            made[number] = extra_s + (mean_ms - usual_ms) / 1e3
    return made
