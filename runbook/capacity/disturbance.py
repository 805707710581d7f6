"""Times within a step in which something else than the load made requests slow.

Near the knee a queue swings: seconds full of slow requests are what it does, and a rule that
drops slow seconds would move the very crossing that is sought. So slowness alone is no
evidence. Evidence is what does not depend on the service's queue: the driver's own lag; and
slowness that the queue cannot have made, because the arrivals that were driven and the CPU
that requests cost, served by tasks that are weaker than they should be, are answered in time.
The simulation has the same bursts, so it calls slow at least what they make slow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runbook.capacity.quota_queue import Task, response_times_s

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: A step is looked at in this many windows of equal length.
WINDOWS = 20
#: A window is disturbed when at least this share of its requests is slow, and this much more
#: than in the worst of so many simulations with tasks of this share of their CPU quota.
_SLOW, _EXCESS, _DRAWS, _WEAK_QUOTA, _CV = 0.5, 0.3, 8, 0.9, 0.3
#: The windows around it belong to it with this excess: a backlog takes a while to go.
_EXCESS_AROUND = 0.1
#: With fewer requests a window's share says nothing.
_LEAST = 4
#: Elsewhere the simulation must not be exceeded by more than this share of slow requests:
#: otherwise the service is no such queue, and nothing is evidence.
_EXPLAINED = 0.05
#: The driver was late in a window when half of its requests left later than this part of the SLO.
_LATE = 0.25
#: At most this part of a step is left out; with more of it disturbed it does not count.
MOST = 0.3


@dataclass(frozen=True)
class Observed:
    """One step as it was driven; all arrays have one entry a request, ordered by arrival.

    `arrivals_s` count from the step's start, those before it are negative; `counted` tells the
    step's own requests that the SLO is on, whose `latency_ms` is known (elsewhere it is of no
    matter). `cpu_s` is the CPU a request cost, None where it is not published.
    """

    arrivals_s: Floats
    latency_ms: Floats
    lag_ms: Floats
    counted: Bools
    duration_s: float
    tasks: int
    share_cores: float
    cpu_s: float | None
    slo_ms: float


@dataclass(frozen=True)
class Disturbed:
    """Spans (start, end) in seconds from the step's start, and the evidence in words."""

    spans: tuple[tuple[float, float], ...] = ()
    evidence: str = ""

    @property
    def length_s(self) -> float:
        """How long they are together."""
        return sum(end - start for start, end in self.spans)


def find_disturbed(step: Observed, seed: int = 1) -> Disturbed:
    """The times of a step that something else than its load disturbed; see the module."""
    number = np.clip(step.arrivals_s / step.duration_s * WINDOWS, 0, WINDOWS - 1).astype(int)
    own = (step.arrivals_s >= 0) & (step.arrivals_s < step.duration_s)
    late = np.array(
        [
            _median(step.lag_ms[own & (number == window)]) > _LATE * step.slo_ms
            for window in range(WINDOWS)
        ]
    )
    if late.any():
        return Disturbed(_spans(late, step.duration_s), "the driver was late")
    slow = _unexplained(step, number, np.random.default_rng(seed))
    if not slow.any():
        return Disturbed()
    return Disturbed(
        _spans(slow, step.duration_s),
        "slow, though these arrivals and their CPU leave the tasks time",
    )


def _unexplained(step: Observed, number: NDArray[np.intp], rng: np.random.Generator) -> Bools:
    """The windows that are slower than the queue can have made them."""
    nothing = np.zeros(WINDOWS, dtype=bool)
    requests = np.bincount(number[step.counted], minlength=WINDOWS).astype(np.float64)
    late = step.latency_ms > step.slo_ms
    if step.cpu_s is None or not requests.any() or not late[step.counted].any():
        return nothing
    measured = _share(late, number, step.counted, requests)
    # What they wait for besides CPU makes tasks weaker still. A quarter of them wait this little
    # even in a step of which a disturbance took more than half.
    quick_ms = float(np.percentile(step.latency_ms[step.counted], 25))
    extra_s = max(quick_ms / 1e3 - step.cpu_s, 0.0) / float(np.log(4.0 / 3.0))
    task = Task(step.cpu_s, _CV, step.share_cores * _WEAK_QUOTA, extra_s)
    simulated = np.array(
        [
            _share(
                1e3 * response_times_s(step.arrivals_s, step.tasks, task, rng) > step.slo_ms,
                number,
                step.counted,
                requests,
            )
            for _ in range(_DRAWS)
        ]
    )
    excess = measured - simulated.max(axis=0)
    enough = requests >= _LEAST
    found = enough & (measured >= _SLOW) & (excess >= _EXCESS)
    while True:
        near = np.convolve(found, [1, 1, 1], "same") > 0
        wider = found | (near & enough & (excess >= _EXCESS_AROUND))
        if (wider == found).all():
            break
        found = wider
    rest = ~found & enough
    if not found.any() or not rest.any():
        return nothing
    weights = requests[rest]
    gap = float(np.average(measured[rest] - simulated.mean(axis=0)[rest], weights=weights))
    return found if gap <= _EXPLAINED else nothing


def _share(late: Bools, number: NDArray[np.intp], counted: Bools, requests: Floats) -> Floats:
    slow = np.bincount(number[counted], late[counted].astype(np.float64), WINDOWS)
    return np.asarray(slow / np.maximum(requests, 1.0))


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _spans(windows: Bools, duration_s: float) -> tuple[tuple[float, float], ...]:
    """Neighbouring windows as one span."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], windows, [False]]).astype(int)))
    each_s = duration_s / WINDOWS
    return tuple(
        (float(start) * each_s, float(end) * each_s)
        for start, end in zip(edges[::2], edges[1::2], strict=True)
    )
