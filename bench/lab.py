"""How fast the policy lab replays, beside an event-by-event implementation of the same rules.

    python bench/lab.py [--policies 1000] [--repeats 5]

Prints periods a second on one core, the time a year at 60 s takes with many policies on two
cores, peak memory by length of the history, and that both implementations give the same counts.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lab_events import Events

from runbook.capacity.curve import CapacityCurve
from runbook.lab.builtin import builtin
from runbook.lab.compiled import compile_policy
from runbook.lab.history import read_history
from runbook.lab.kernel import advance
from runbook.lab.policy import Policy
from runbook.lab.replay import play
from runbook.lab.service import ServiceModel, service_model

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("cpu-70-60s", "requests-60s", "step-p95", "static-peak")
YEAR = 365 * 1440
AGREE_TICKS = 1440


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    service = service_model(CapacityCurve.load(ROOT / "examples" / "capacity_curve.json"))
    read = read_history(ROOT / "examples" / "nasa_http_1995_07_5min.csv").scaled(service, 30)
    rate = np.resize(read.rates(60, 0, read.seconds // 60), YEAR)
    year = dataclasses.replace(read, rate_rps=rate, step_s=60, train=YEAR)
    arrivals = np.random.default_rng(0).poisson(rate * 60).astype(float)
    demand = service.needed(arrivals / 60)
    nothing = np.zeros((0, 3), dtype=np.int32)
    print("| policy | compiled, periods/s | event by event, periods/s | ratio | same counts |")
    print("|---|---|---|---|---|")
    for name in NAMES:
        policy = builtin(name, service, peak_tasks=30, max_tasks=300)
        many = policy.fixed_tasks
        bounds = [(0, many or policy.min_tasks, many or policy.max_tasks)]
        ready = partial(_arguments, policy, service, np.array(bounds, dtype=np.int64), many or 10)
        trace = np.zeros((AGREE_TICKS, 3), dtype=np.int32)
        advance(arrivals[:AGREE_TICKS], demand[:AGREE_TICKS], *ready(), trace)
        events = Events(policy, service, arrivals[:AGREE_TICKS], bounds, 60, many or 10)
        slow_s = _cpu_s(events.run)
        runs = [partial(advance, arrivals, demand, *ready(), nothing) for _ in range(given.repeats)]
        fast_s = min(map(_cpu_s, runs))
        same = [tuple(row) for row in trace.tolist()] == events.trace
        fast, slow = YEAR / fast_s, AGREE_TICKS / slow_s
        print(f"| {name} | {fast / 1e6:.1f} million | {slow:,.0f} | {fast / slow:,.0f} | {same} |")
    policies = [
        dataclasses.replace(
            builtin(f"cpu-{30 + index % 60}-60s", service, peak_tasks=30, max_tasks=300),
            name=str(index),
        )
        for index in range(given.policies)
    ]
    before_mb = _peak_mb()
    play(policies, year.part(0, YEAR // 12), service, resolution_s=60)
    month_mb = _peak_mb()
    started = time.perf_counter()
    play(policies, year, service, resolution_s=60)
    took_s = time.perf_counter() - started
    print(
        f"\na year at 60 s x {given.policies} policies: {took_s:.1f} s wall,"
        f" {YEAR * given.policies / took_s / 1e6:.1f} million periods/s"
    )
    print(
        f"peak memory: before {before_mb:.0f}, a month {month_mb:.0f}, a year {_peak_mb():.0f} MB"
    )


def _arguments(policy: Policy, service: ServiceModel, bounds: Any, initial: int) -> tuple[Any, ...]:
    return compile_policy(policy, service, bounds, tick_s=60, ticks=YEAR, initial_tasks=initial)[0]


def _cpu_s(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


if __name__ == "__main__":
    main()
