"""What a request costs in CPU, and what a task uses besides, from the steps of a load test.

A line through CPU over the rate, one intercept for all task counts, tells the two apart. A
task that nobody asks anything is not measured for it: shortly before a load test it has just
started, and what it still spends on that is no steady use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runbook.capacity.measured import MeasuredStep

#: Beyond this CPU percentage a task is near its quota and CPU no longer follows the rate.
_SATURATED_PCT = 95.0
#: The intercept counts where it is this many of its standard errors above zero.
_SIGNIFICANT = 2.0
#: An idle task uses at most this share of what the calmest step used.
_MOST = 0.5


@dataclass(frozen=True)
class CpuCost:
    """`idle_pct` of its CPU a task uses without requests; `cost_s` a request, by task count."""

    idle_pct: float
    cost_s: dict[int, float]


def cpu_cost(steps: Sequence[MeasuredStep], share_cores: float, period_s: float) -> CpuCost:
    """The cost from steps that count; task counts without published CPU are left out.

    The cost of a count is the median over its steps, so that one odd step does not decide.
    """
    known = [step for step in steps if step.cpu_pct and step.requests]
    idle_pct = _idle_pct([s for s in known if (s.cpu_pct or 0.0) < _SATURATED_PCT], period_s)
    made: dict[int, list[float]] = {}
    for step in known:
        busy_pct = max((step.cpu_pct or 0.0) - idle_pct, 0.0)
        seconds = busy_pct / 100.0 * step.tasks * share_cores * period_s
        made.setdefault(step.tasks, []).append(seconds / (step.requests or 1.0))
    return CpuCost(idle_pct, {n: float(np.median(values)) for n, values in made.items()})


def _idle_pct(steps: Sequence[MeasuredStep], period_s: float) -> float:
    """The intercept of CPU over requests/s per task if it is surely above zero, else 0."""
    counts = sorted({step.tasks for step in steps})
    if len(steps) < len(counts) + 3:
        return 0.0
    cpu = np.array([step.cpu_pct for step in steps], dtype=float)
    rate = np.array([(step.requests or 0.0) / period_s / step.tasks for step in steps])
    slopes = [np.where([step.tasks == n for step in steps], rate, 0.0) for n in counts]
    design = np.column_stack([np.ones(len(steps)), *slopes])
    line, _, rank, _ = np.linalg.lstsq(design, cpu, rcond=None)
    if rank < design.shape[1]:
        return 0.0
    free = len(steps) - design.shape[1]
    variance = float(np.sum((cpu - design @ line) ** 2)) / free
    error = float(np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0]))
    if line[0] <= _SIGNIFICANT * error:
        return 0.0
    return float(min(line[0], _MOST * cpu.min()))
