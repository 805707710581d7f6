"""The service inside the compiled loop: requests served, metrics gathered, tasks stopped."""

from __future__ import annotations

import math
from typing import Any

from runbook.lab.jit import called, compiled
from runbook.lab.layout import (
    CPU,
    IDLE_PCT,
    LOGIT_5_PCT,
    P95,
    P95_PER_LOGIT,
    POINTS,
    QUEUE_S,
    REQUESTS,
    RUNNING,
    SHARE_CORES,
    SLO_S,
    STARTUP_PCT,
    TICK_S,
    ZERO_REPORTED,
)


@compiled
def serve(
    count: float, backlog: float, serving: int, tables: Any, service: Any
) -> tuple[float, float, float, float]:
    """One tick of `count` requests: the backlog after it, the share that was slow, the CPU
    seconds used, the requests given up.

    Up to what the tasks can do at all the measured model says who is slow; beyond it requests
    queue, all are slow, and those that would wait longer than `QUEUE_S` are given up.
    """
    if serving <= 0:
        return 0.0, 1.0, 0.0, count + backlog
    tick_s = service[TICK_S]
    most = tables.shape[1] - 1
    n = serving if serving < most else most
    able_rps = serving * tables[2, n]
    able = able_rps * tick_s
    work = backlog + count
    served, left, given_up = work, 0.0, 0.0
    if work > able:
        served = able
        left = work - able
        limit = able_rps * service[QUEUE_S]
        if left > limit:
            given_up = left - limit
            left = limit
    slow = 1.0
    if backlog + left <= service[SLO_S] * able_rps:
        load = count / (tick_s * serving)
        slow = 1.0 / (1.0 + math.exp(-LOGIT_5_PCT - tables[1, n] * (load / tables[0, n] - 1.0)))
    return left, slow, served * tables[3, n], given_up


@compiled
def meter(
    s: int,
    count: float,
    used: float,
    running: int,
    serving: int,
    slow_count: float,
    service: Any,
    streams: Any,
    sums: Any,
    ring: Any,
) -> None:
    """Add a tick to the metrics of stream `s`; at the end of its period publish datapoints."""
    tick_s = service[TICK_S]
    # What tasks use beside requests: idling, and starting.
    busy_pct = running * service[IDLE_PCT] + (running - serving) * service[STARTUP_PCT]
    sums[s, 0] += count
    sums[s, 1] += used * 100.0 + busy_pct * service[SHARE_CORES] * tick_s
    sums[s, 2] += running
    sums[s, 3] += serving
    sums[s, 4] += slow_count
    streams[s, 3] -= 1
    if streams[s, 3] > 0:
        return
    streams[s, 3] = streams[s, 0]
    at = streams[s, 6]
    streams[s, 6] = at + 1 if at + 1 < POINTS else 0
    ring[s, CPU, at] = math.nan
    if sums[s, 2] > 0.0:
        cpu = sums[s, 1] / (sums[s, 2] * service[SHARE_CORES] * tick_s)
        ring[s, CPU, at] = min(cpu, 100.0)
    total = sums[s, 0]
    ring[s, REQUESTS, at] = math.nan
    if sums[s, 3] > 0.0 and (total > 0.0 or service[ZERO_REPORTED] > 0.0):
        # Per target and minute, whatever the period.
        ring[s, REQUESTS, at] = total * 60.0 / (sums[s, 3] * tick_s)
    if streams[s, 2] > 0:
        ring[s, P95, at] = _p95_s(total, sums[s, 4], service[SLO_S])
    ring[s, RUNNING, at] = running
    for column in range(5):
        sums[s, column] = 0.0


@called
def _p95_s(total: float, slow: float, slo_s: float) -> float:
    """p95 of a period in seconds, by the share of slow requests; NaN without requests.

    The measured model gives the share of slow requests; the response time rises with its odds.
    One in twenty is the SLO by definition, see `P95_PER_LOGIT`.
    """
    if total <= 0.0:
        return math.nan
    share = min(max(slow / total, 1e-6), 1.0 - 1e-6)
    odds = math.log(share / (1.0 - share)) - LOGIT_5_PCT
    return slo_s * math.exp(P95_PER_LOGIT * odds)


@called
def stop_tasks(
    surplus: int,
    slot: int,
    start_ticks: int,
    ready_ticks: int,
    starting: int,
    running: int,
    serving: int,
    starts: Any,
) -> tuple[int, int, int, int]:
    """Stop `surplus` tasks, the youngest first: those on their way, then those not serving yet.

    Returns starting, running and serving tasks, and how many of those stopped had been serving.
    """
    slots = starts.shape[1]
    for k in range(start_ticks, 0, -1):
        if surplus == 0:
            break
        at = (slot + k) % slots
        cut = min(surplus, starts[0, at])
        starts[0, at] -= cut
        starting -= cut
        surplus -= cut
    for k in range(ready_ticks, 0, -1):
        if surplus == 0:
            break
        at = (slot + k) % slots
        cut = min(surplus, starts[1, at])
        starts[1, at] -= cut
        running -= cut
        surplus -= cut
    return starting, running - surplus, serving - surplus, surplus
