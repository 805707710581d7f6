"""Which rates to drive: pure arithmetic on the predicted knee and on what was seen so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runbook.capacity.crossing import StepBlocks, fit_steps

#: Where the knee lies, as utilisation, measured and simulated for tasks under a CPU quota:
#: about 0.72 for one task, rising as round robin smooths each task's arrivals.
_KNEE_LOSS_ONE_TASK = 0.28
_KNEE_LOSS_POWER = 0.8
#: How the scatter of a step shrinks with the task count, roughly.
_SPREAD_POWER = 1.0 / 3.0
#: Repeats lie between these multiples of the crossing that was seen: wide enough to find it
#: again when chance had moved it, not so wide that congestion only harms.
_REPEAT_LOW, _REPEAT_HIGH = 0.88, 1.10
#: How near to saturation a step may lie, and how much further to go at least when the SLO
#: was not left yet.
_TOP = 0.98
_BEYOND = 1.06
#: A step asks for at most so many times what is known to be carried: a service that waits for
#: something else than CPU has its knee far below where its CPU is used up.
_LEAP = 2.5
#: A harmful rate is approached to this share of it.
_SHORT_OF_HARM = 0.95
#: Void steps within this fraction of the crossing are driven again.
RETRY_RANGE = 0.25


def saturation_rps(tasks: int, share_cores: float, cpu_s_per_request: float) -> float:
    """The total rate at which the tasks' CPU share is used up."""
    return tasks * share_cores / cpu_s_per_request


def share_of_steps(counts: Sequence[int], steps: int) -> int:
    """How many of the steps the first of the task counts gets.

    Fewer tasks get more: their queues swing more, and a second has fewer requests. Each
    count gets at least 4.
    """
    weights = [float(tasks) ** -_SPREAD_POWER for tasks in counts]
    fair = int(steps * float(weights[0] / sum(weights)) + 0.5)
    return max(min(fair, steps - 4 * (len(counts) - 1)), 4)


def predicted_knee(tasks: int) -> float:
    """The utilisation at which p95 is expected to leave the SLO."""
    return 1.0 - float(_KNEE_LOSS_ONE_TASK / tasks**_KNEE_LOSS_POWER)


def sweep_rates(tasks: int, saturation: float, count: int, carried_rps: float) -> list[float]:
    """Rising total rates (requests/s) from well below the predicted knee to beyond it.

    `carried_rps` is a total rate that the tasks are known to carry, or thought to from fewer of
    them. Where the CPU would let the first step leap far beyond it, the steps rise from there
    by equal factors, none larger than a leap: then the sweep may end below the knee.
    """
    knee = predicted_knee(tasks)
    top = min((1.0 + knee) / 2.0 + 0.03, _TOP) * saturation
    first = 0.6 * knee * saturation
    if first <= _LEAP * carried_rps:
        return [float(rate) for rate in np.linspace(first, top, count)]
    factor = min((top / carried_rps) ** (1.0 / count), _LEAP)
    return [float(carried_rps * factor**number) for number in range(1, count + 1)]


def crossing_estimate(steps: Sequence[StepBlocks], allowed_share: float) -> float | None:
    """Where the steps put the crossing, within what was driven; None when none left the SLO."""
    if not steps or all(step.share <= allowed_share for step in steps):
        return None
    lowest, highest = min(s.rate_rps for s in steps), max(s.rate_rps for s in steps)
    model = fit_steps(steps)
    if model is None:
        # No rise with the rate: look at the middle of what was driven.
        return (lowest + highest) / 2.0
    return float(np.clip(model.rate_at(allowed_share), 0.8 * lowest, highest))


def repeat_rates(
    steps: Sequence[StepBlocks],
    allowed_share: float,
    count: int,
    saturation: float,
    harm_rps: float = float("inf"),
) -> list[float]:
    """Rising rates around the crossing that the steps show, or beyond them if they show none.

    All rates are in the same unit: all total, or all per task. Beyond the steps no rate leaps,
    and none reaches `harm_rps`, at which harm was done.
    """
    if count <= 0 or not steps:
        return []
    most = _SHORT_OF_HARM * harm_rps
    centre = crossing_estimate(steps, allowed_share)
    if centre is None:
        highest = max(step.rate_rps for step in steps)
        top = min(max(_TOP * saturation, highest * _BEYOND), highest * _LEAP**count, most)
        if top > highest * _LEAP:
            rates = highest * (top / highest) ** (np.arange(1, count + 1) / count)
        else:
            rates = np.linspace(min(highest, 0.9 * top), top, count + 1)[1:]
        return [float(rate) for rate in rates]
    low, high = _REPEAT_LOW * centre, _REPEAT_HIGH * centre
    if high > most:
        low, high = min(low, _REPEAT_LOW * most), most
    return [float(rate) for rate in np.linspace(low, high, count)]


def rates_to_retry(
    void_rates: Sequence[float], crossing_rps: float | None, at_most: int
) -> list[float]:
    """Void rates worth another try, rising: the `at_most` closest to the crossing.

    Those farther off than `RETRY_RANGE` decide nothing. Without a crossing the lowest are
    taken: they are the likeliest to succeed.
    """
    if crossing_rps is None:
        return sorted(void_rates)[:at_most]
    close = [rate for rate in void_rates if abs(rate / crossing_rps - 1.0) <= RETRY_RANGE]
    return sorted(sorted(close, key=lambda rate: abs(rate - crossing_rps))[:at_most])
