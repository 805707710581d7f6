"""Tasks under a CPU quota behind a round-robin balancer, simulated request by request.

A container with a share of a core may use `share * period` of CPU in each period of the
kernel's (CFS bandwidth control, 100 ms; Fargate and Docker alike) and then stands still until
the next. So response time is not that of a plain queue: a burst that uses the quota up waits
for the rest of the period. Arrivals are given, not assumed, so a simulation can be held
against a measurement arrival by arrival.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: The kernel's default period of CPU bandwidth control, in seconds.
QUOTA_PERIOD_S = 0.1


@dataclass(frozen=True)
class Task:
    """One task: it serves one request after the other.

    `cpu_s` is the mean CPU of a request and `cv` its coefficient of variation (lognormal),
    `quota_cores` the cores it may use, `extra_s` the mean of what a request waits for besides
    (store, scheduling). Only some wait, `wait_each_s` in the mean (exponential); all of them do
    where that is less than `extra_s`.
    """

    cpu_s: float
    cv: float
    quota_cores: float
    extra_s: float = 0.0
    wait_each_s: float = 0.0

    @property
    def saturation_rps(self) -> float:
        """The arrival rate at which its CPU is used up."""
        return self.quota_cores / self.cpu_s


@njit(cache=True, nogil=True)
def _serve(
    arrivals_s: Floats, work_s: Floats, extra_s: Floats, quota_s: float, period_s: float
) -> Floats:
    """When each request of one task is done."""
    done = np.empty(len(arrivals_s))
    free, period, used = 0.0, 0, 0.0
    for index in range(len(arrivals_s)):
        now, left = max(arrivals_s[index], free), work_s[index]
        if int(now / period_s) > period:
            period, used = int(now / period_s), 0.0
        # Periods advance by counting: dividing at a boundary may round back and never end.
        while left > 1e-12:
            end = (period + 1) * period_s
            run = max(min(left, quota_s - used, end - now), 0.0)
            now, used, left = now + run, used + run, left - run
            if left > 1e-12:
                now, period, used = end, period + 1, 0.0
        free = now + extra_s[index]
        done[index] = free
    return done


def response_times_s(
    arrivals_s: Floats, tasks: int, task: Task, rng: np.random.Generator
) -> Floats:
    """The response time of each request, its work and the quota periods' phases drawn anew.

    Arrivals count from any moment; nothing is served before the first of them.
    """
    arrivals_s = arrivals_s - (arrivals_s[0] if len(arrivals_s) else 0.0)
    sigma = np.sqrt(np.log1p(task.cv**2))
    work = rng.lognormal(np.log(task.cpu_s) - sigma**2 / 2, sigma, len(arrivals_s))
    each_s = max(task.wait_each_s, task.extra_s)
    # Drawn in any case, so that the same randomness follows whatever the parameters.
    waits, chance = rng.exponential(1.0, len(arrivals_s)), rng.random(len(arrivals_s))
    extra = each_s * waits * (chance * each_s < task.extra_s)
    done = np.empty(len(arrivals_s))
    for index in range(tasks):
        mine = slice(index, None, tasks)
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
    return np.asarray(done - arrivals_s)


def poisson_response_times_s(
    rate_per_task_rps: float, duration_s: float, tasks: int, task: Task, seed: int
) -> Floats:
    """Response times under Poisson arrivals; the same seed means the same randomness."""
    rng = np.random.default_rng(seed)
    # Unit-rate arrivals, stretched: neighbouring rates see the same bursts.
    count = int(rate_per_task_rps * tasks * duration_s)
    arrivals = np.cumsum(rng.exponential(1.0, count)) / (rate_per_task_rps * tasks)
    return response_times_s(arrivals, tasks, task, rng)
