"""The policy lab's goals on histories: tuned against today's practice, and how low one can get.

    python bench/lab_goals.py HISTORY.csv [HISTORY.csv ...] [--candidates 800]

For each history: what the search finds on its earlier half, reported on the later half, and
bounds that no policy of the same means can pass:

- *clairvoyant*: knows the load of the ticks to come; orders tasks in time and pays their start
  and drain.
- *reactive*: sees the exact load, not a metric of it, one tick after it; adds and removes tasks
  freely; they serve after the same delay. Its headroom and memory are chosen in hindsight on the
  very window it is judged on. Given twice: at the whole budget with the measured capacity, and as
  the safety rule asks (half the budget with the capacity's lower bound).
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.special import expit

from runbook.capacity.curve import CapacityCurve
from runbook.lab.builtin import builtin
from runbook.lab.compiled import JUDGE_S
from runbook.lab.history import History, read_history
from runbook.lab.layout import LOGIT_5_PCT
from runbook.lab.replay import RESOLUTION_S
from runbook.lab.service import ServiceModel, service_model
from runbook.lab.tune import SAFETY_SHARE, tune

ROOT = Path(__file__).resolve().parents[1]
PEAK_TASKS, MAX_TASKS = 30, 300
BUDGET_PCT = 0.5
SEEN_TICKS = 2
MEMORIES_TICKS = (1, 3, 9, 15, 30)
HEADROOMS = np.arange(1.0, 2.0, 0.02)
Counts = NDArray[np.int64]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("histories", nargs="+", type=Path)
    parser.add_argument("--candidates", type=int, default=800)
    parser.add_argument("--curve", type=Path, default=ROOT / "examples" / "capacity_curve.json")
    given = parser.parse_args()
    curve = CapacityCurve.load(given.curve)
    service, lower = service_model(curve), service_model(curve, bound="lower")
    print(
        "| history | tuned: violating % | x oracle | hours against cpu-50-60s |"
        " violating against cpu-70-60s | hours against it |"
        " clairvoyant | reactive, whole budget | reactive, safety rule |"
    )
    print("|---|" + "---|" * 8)
    for path in given.histories:
        history = read_history(path).scaled(service, PEAK_TASKS)
        names = ("cpu-50-60s", "cpu-70-60s")
        tuning = tune(
            history,
            service,
            lower,
            budget_pct=BUDGET_PCT,
            peak_tasks=PEAK_TASKS,
            max_tasks=MAX_TASKS,
            baselines=[
                builtin(name, service, peak_tasks=PEAK_TASKS, max_tasks=MAX_TASKS) for name in names
            ],
            candidates=given.candidates,
        )
        tuned, fifty, seventy = tuning.outcomes
        fewer = 100.0 * (
            tuned.violating_requests_pct / max(seventy.violating_requests_pct, 1e-9) - 1.0
        )
        clairvoyant, whole, safe = _bounds(history.test_part, service, lower)
        print(
            f"| {path.stem} | {tuned.violating_requests_pct:.2f} | {tuned.over_oracle:.2f}"
            f" | {100.0 * (tuned.task_hours / fifty.task_hours - 1.0):+.0f} %"
            f" | {fewer:+.0f} % of {seventy.violating_requests_pct:.2f} %"
            f" | {100.0 * (tuned.task_hours / seventy.task_hours - 1.0):+.0f} %"
            f" | {clairvoyant:.2f} | {whole:.2f} | {safe:.2f} |",
            flush=True,
        )


def _bounds(
    window: History, service: ServiceModel, lower: ServiceModel
) -> tuple[float, float, float]:
    """Task-hours over the oracle's: clairvoyant, reactive, reactive under the safety rule."""
    arrivals = np.concatenate(list(window.draws(RESOLUTION_S, 0, 40_320)))
    rate = arrivals / RESOLUTION_S
    oracle = float(service.needed(rate).sum())
    delay = _delay(service)
    ahead = maximum_filter1d(rate, delay + 1, origin=-(delay // 2))
    clairvoyant = _cost(service.needed(ahead), service) / oracle
    return (
        clairvoyant,
        _reactive(rate, arrivals, service, service, BUDGET_PCT) / oracle,
        _reactive(rate, arrivals, service, lower, SAFETY_SHARE * BUDGET_PCT) / oracle,
    )


def _delay(service: ServiceModel) -> int:
    """Ticks from a decision until its tasks serve."""
    timing = service.timing
    return max(1, math.ceil(timing.start_s / RESOLUTION_S)) + math.ceil(
        timing.ready_s / RESOLUTION_S
    )


def _reactive(
    rate: NDArray[np.float64],
    arrivals: NDArray[np.float64],
    service: ServiceModel,
    judged_by: ServiceModel,
    budget_pct: float,
) -> float:
    """The fewest task-ticks within the budget, over headrooms and memories; inf without any."""
    best = math.inf
    for memory in MEMORIES_TICKS:
        highest = maximum_filter1d(rate, memory, origin=(memory - 1) // 2)
        seen = np.concatenate((highest[:1].repeat(SEEN_TICKS), highest[:-SEEN_TICKS]))
        for headroom in HEADROOMS:
            ordered = service.needed(seen * headroom)
            cost = _cost(ordered, service)
            if cost >= best:
                break
            if _violating_pct(ordered, arrivals, judged_by) <= budget_pct:
                best = cost
                break
    return best


def _cost(ordered: Counts, service: ServiceModel) -> float:
    """Task-ticks paid for, with the drain of those stopped."""
    stopped = np.maximum(0, -np.diff(ordered)).sum()
    return float(ordered.sum() + stopped * service.timing.drain_s / RESOLUTION_S)


def _violating_pct(ordered: Counts, arrivals: NDArray[np.float64], service: ServiceModel) -> float:
    """Percent of requests in minutes with p95 over the SLO, by the curve's model."""
    serving = ordered.copy()
    for late in range(1, _delay(service) + 1):
        serving[late:] = np.minimum(serving[late:], ordered[:-late])
    at = np.minimum(serving, len(service.c_slo_rps) - 1)
    load = arrivals / RESOLUTION_S / serving / service.c_slo_rps[at]
    slow = expit(LOGIT_5_PCT + service.steepness[at] * (load - 1.0))
    ticks = JUDGE_S // RESOLUTION_S
    whole = len(arrivals) // ticks * ticks
    requests = arrivals[:whole].reshape(-1, ticks).sum(axis=1)
    slow_requests = (slow * arrivals)[:whole].reshape(-1, ticks).sum(axis=1)
    bad = slow_requests > 0.05 * requests * (1.0 + 1e-12)
    return float(100.0 * requests[bad].sum() / requests.sum())


if __name__ == "__main__":
    main()
