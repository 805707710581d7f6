"""The service inside the compiled loop: requests served, metrics gathered, tasks stopped."""

from __future__ import annotations

import math
from typing import Any

from runbook.lab.jit import called, compiled
from runbook.lab.layout import (
    CPU,
    IDLE_PCT,
    LOGIT_5_PCT,
    POINTS,
    QUEUE_S,
    REQUESTS,
    RUNNING,
    SHARE_CORES,
    SLO_S,
    SLOW,
    STARTUP_PCT,
    TICK_S,
    ZERO_REPORTED,
)


@called
def capacity(
    serving: int, tables: Any, service: Any
) -> tuple[float, float, float, float, float, float]:
    """What so many serving tasks can do in a tick.

    Requests served at most; the backlog beyond which all requests are slow; the longest backlog;
    CPU seconds a request; and a, b of the share of slow requests, 1 / (1 + exp(a - b * count)).

    Up to what the tasks can do at all the measured model says who is slow; beyond it requests
    queue, all are slow, and those that would wait longer than `QUEUE_S` are given up.
    """
    if serving <= 0:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    most = tables.shape[1] - 1
    n = serving if serving < most else most
    able_rps = serving * tables[2, n]
    steep = tables[1, n]
    return (
        able_rps * service[TICK_S],
        service[SLO_S] * able_rps,
        service[QUEUE_S] * able_rps,
        tables[3, n],
        steep - LOGIT_5_PCT,
        steep / (tables[0, n] * service[TICK_S] * serving),
    )


@compiled
def next_due(streams: Any) -> int:
    """The tick of the next publication."""
    first = streams[0, 4]
    for s in range(1, streams.shape[0]):
        first = min(first, streams[s, 4])
    return int(first)


@compiled
def gather(
    s: int,
    requests: float,
    used: float,
    slow: float,
    running: int,
    serving: int,
    streams: Any,
    sums: Any,
) -> None:
    """Add what has come together to the metrics of stream `s`."""
    sums[s, 0] += requests
    sums[s, 1] += used
    sums[s, 2] += running
    sums[s, 3] += serving
    sums[s, 4] += slow


@compiled
def publish(s: int, running: int, service: Any, streams: Any, sums: Any, ring: Any) -> None:
    """End the period of stream `s`: its datapoints, for when they are published."""
    tick_s = service[TICK_S]
    streams[s, 3] = streams[s, 0]
    at = streams[s, 6]
    streams[s, 6] = at + 1 if at + 1 < POINTS else 0
    ring[s, CPU, at] = math.nan
    if sums[s, 2] > 0.0:
        # What tasks use beside requests: idling, and starting.
        busy_pct = sums[s, 2] * service[IDLE_PCT]
        busy_pct += (sums[s, 2] - sums[s, 3]) * service[STARTUP_PCT]
        asked = service[SHARE_CORES] * tick_s
        cpu = (sums[s, 1] * 100.0 + busy_pct * asked) / (sums[s, 2] * asked)
        ring[s, CPU, at] = min(cpu, 100.0)
    total = sums[s, 0]
    ring[s, REQUESTS, at] = math.nan
    if sums[s, 3] > 0.0 and (total > 0.0 or service[ZERO_REPORTED] > 0.0):
        # Per target and minute, whatever the period.
        ring[s, REQUESTS, at] = total * 60.0 / (sums[s, 3] * tick_s)
    ring[s, SLOW, at] = sums[s, 4] / total if total > 0.0 else math.nan
    ring[s, RUNNING, at] = running
    for column in range(5):
        sums[s, column] = 0.0


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
