"""What a request waits for besides its own task's CPU.

It is read off calm steps: how much by their mean, how many of the requests wait by how far the
slower ones lie from the others. Tasks that share a machine wait for one of its cores, as a queue
with so many servers does (Erlang's C), where it is published how busy it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from runbook.capacity.queue_step import DRAWS, ModelStep, simulated
from runbook.capacity.quota_queue import Task, response_times_s

Floats = NDArray[np.float64]

_CALM_SHARE = 0.02
#: So many calm steps must tell how busy the machine was before waits are laid to that.
MIN_SHARED_STEPS = 2
#: How long a wait may be for those who wait, and the percentiles that tell.
_WAITS_S = (0.0, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.006, 0.008, 0.012)
_SLOWER = (50, 75, 90, 95)
#: How long a core is held, in times of what a request costs: so it was in both load tests in which
#: the machine got busy (docs/measuring.md).
_USUALLY_HELD = 2.0
#: A machine is taken to be no busier than this share of its cores.
_FULL = 0.95


@dataclass(frozen=True)
class Wait:
    """The mean of what a request waits for besides CPU, in seconds; see `Task.extra_s`.

    `by_count`: as measured with each task count. `core_held_s`: how long a core of the shared
    machine is held by others, see `waiting_factor`; of its `host_cores` `busy_idle` are busy
    anyway and `busy_per_rps` more with each request/s of all tasks. None where the machine's load
    is not published, then the counts' own values hold. `each_s`: how long those wait who do.
    """

    by_count: dict[int, float]
    core_held_s: float | None = None
    busy_per_rps: float = 0.0
    busy_idle: float = 0.0
    host_cores: int = 1
    each_s: float = 0.0

    def in_step(self, step: ModelStep) -> float:
        """In a step that was driven."""
        if self.core_held_s is None or step.host_busy_cores is None:
            return between(self.by_count, step.tasks)
        return self.core_held_s * waiting_factor(step.host_busy_cores, self.host_cores)

    def at(self, tasks: int, rate_per_task_rps: float) -> float:
        """At a rate per task that need not have been driven."""
        if self.core_held_s is None:
            return between(self.by_count, tasks)
        busy_cores = self.busy_idle + self.busy_per_rps * rate_per_task_rps * tasks
        return self.core_held_s * waiting_factor(busy_cores, self.host_cores)


def waiting_factor(busy_cores: float, host_cores: int) -> float:
    """The mean wait for one of a machine's cores, in times that a core is held.

    Erlang's C formula for random arrivals (M/M/c; Kleinrock, Queueing Systems I, 1975, 3.5), up to
    where the machine is nearly full and no such queue is in balance.
    """
    load = float(np.clip(busy_cores, 0.0, _FULL * host_cores))
    blocked = 1.0
    for servers in range(1, host_cores + 1):
        blocked = load * blocked / (servers + load * blocked)
    waits = host_cores * blocked / (host_cores - load * (1.0 - blocked))
    return waits / (host_cores - load)


def between(values: Mapping[int, float], tasks: int) -> float:
    """Interpolated over the logarithm of the count, constant beyond the measured ones."""
    known = sorted(values)
    return float(np.interp(np.log(tasks), np.log(known), [values[count] for count in known]))


def step_task(step: ModelStep, cv: float, quota_cores: float, wait: Wait) -> Task:
    """A task in a step that was driven, with the CPU that its requests were measured to cost."""
    return Task(step.cpu_s, cv, quota_cores, wait.in_step(step), wait.each_s)


def extra_waits_s(
    steps: Sequence[ModelStep], cv: float, share_cores: float, slo_ms: float
) -> dict[int, float]:
    """By the step's number: the mean of what its requests wait for besides CPU.

    It is what their mean response time is longer than that of tasks which only need CPU; those
    beyond the SLO count as the SLO, because bursts say more of the quota than of waits. Calm steps
    only, and all of a count that has none.
    """
    rng = np.random.default_rng(5)
    calm = [step.slow_share(slo_ms) <= _CALM_SHARE for step in steps]
    has_calm = {step.tasks for step, quiet in zip(steps, calm, strict=True) if quiet}
    extra = {}
    for number, step in enumerate(steps):
        if calm[number] or step.tasks not in has_calm:
            task = Task(step.cpu_s, cv, share_cores)
            means_ms = [
                capped_mean_ms(
                    1e3 * response_times_s(step.arrivals_s, step.tasks, task, rng)[step.inside],
                    slo_ms,
                )
                for _ in range(DRAWS)
            ]
            gap_ms = capped_mean_ms(step.latency_ms, slo_ms) - float(np.mean(means_ms))
            extra[number] = gap_ms / 1e3
    return extra


def capped_mean_ms(latency_ms: Floats, slo_ms: float) -> float:
    """The mean, those beyond the SLO counted as the SLO."""
    return float(np.minimum(latency_ms, slo_ms).mean())


def fitted_wait(
    steps: Sequence[ModelStep], extra_s: Mapping[int, float], cv: float, share_cores: float
) -> Wait:
    """What the steps wait for besides CPU, with the length of a wait that fits them best."""
    wait = wait_of(steps, extra_s)
    seen = [np.percentile(steps[i].latency_ms, _SLOWER) for i in extra_s]

    def misses(each_s: float) -> float:
        tried = replace(wait, each_s=each_s)
        told = [
            np.percentile(simulated(steps[i], step_task(steps[i], cv, share_cores, tried)), _SLOWER)
            for i in extra_s
        ]
        return float(np.abs(np.log(np.array(told) / np.array(seen))).mean())

    return replace(wait, each_s=min(_WAITS_S, key=misses))


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
    host_cores = told[0][0].host_cores
    busy_cores = np.array([step.host_busy_cores for step, _ in told], dtype=np.float64)
    factors = np.array([waiting_factor(float(busy), host_cores) for busy in busy_cores])
    waits_s = np.array([extra for _, extra in told])
    # Least squares through the origin: the busier steps tell it best. A machine that was never
    # busy tells nothing, so what is usual has the weight of one step on a half busy one.
    usual_s = _USUALLY_HELD * float(np.median([step.cpu_s for step, _ in told]))
    weight = waiting_factor(0.5 * host_cores, host_cores) ** 2
    held_s = float(factors @ waits_s + weight * usual_s) / float(factors @ factors + weight)
    rates = np.array([step.rate_per_task_rps * step.tasks for step, _ in told])
    per_rps, idle = _line(rates, busy_cores)
    return Wait(by_count, max(held_s, 0.0), per_rps, idle, host_cores)


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope and intercept, neither below 0."""
    slope, intercept = np.polyfit(x, y, 1) if np.ptp(x) > 0 else (0.0, 0.0)
    if slope <= 0:
        return 0.0, float(y.mean())
    if intercept < 0:
        return float(np.median(y / x)), 0.0
    return float(slope), float(intercept)
