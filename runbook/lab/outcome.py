"""What a replay was worth: totals, shares, elasticity, and how sure they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLUMNS = (
    "requests",
    "violating_requests",
    "violating_periods",
    "task_s",
    "oracle_task_s",
    "actions_out",
    "actions_in",
    "theta_under_s",
    "theta_over_s",
    "tau_under_s",
    "tau_over_s",
    "unsteady_s",
    "lost_requests",
    "slow_requests",
    "peak_tasks",
)
"""Columns of the loop's account, a row a block of time; `_s` are seconds or task-seconds."""
_AT = {name: index for index, name in enumerate(COLUMNS)}
_RESAMPLES = 1000
_CONFIDENCE = 0.95
_FEWEST_BLOCKS = 3


@dataclass(frozen=True)
class Outcome:
    """One policy on one history: means over seeds.

    `violating_requests_pct` is the share of requests in minutes whose p95 was over the SLO,
    `violating_periods` the number of such minutes, `longest_violation_s` the longest run of them
    in any seed. `under_accuracy_pct` and `over_accuracy_pct` are SPEC's theta_U and theta_O,
    `under_time_pct` and `over_time_pct` tau_U and tau_O, `jitter_pct` upsilon
    (SPEC-RG-2016-01), all against the oracle's task count. `intervals` holds (lower, upper)
    with 95 % by bootstrap over days and seeds; with under three days over hours, as
    `interval_blocks` says, which are less independent of each other. `unknowns` holds the
    outcome with each undocumented choice at another value, and `unknown_range` (least, most)
    over them and the outcome itself: a bound, as nobody knows which holds; both are empty where
    they were not swept. `cost_usd` is task-hours and `metrics_usd`, what metrics of 20 s cost.
    """

    name: str
    told: str
    task_hours: float
    oracle_task_hours: float
    over_oracle: float
    violating_requests_pct: float
    violating_periods: float
    longest_violation_s: float
    actions_per_day: float
    cost_usd: float
    slow_requests_pct: float
    lost_requests_pct: float
    under_accuracy_pct: float
    over_accuracy_pct: float
    under_time_pct: float
    over_time_pct: float
    jitter_pct: float
    peak_tasks: int
    mean_tasks: float
    seeds: int
    intervals: dict[str, tuple[float, float]]
    unknowns: dict[str, dict[str, Any]]
    unknown_range: dict[str, tuple[float, float]]
    interval_blocks: str
    metrics_usd: float

    def with_unknowns(self, rows: dict[str, dict[str, Any]]) -> Outcome:
        """The outcome with what the sweep of the unknowns gave."""
        found = {}
        for key in ("violating_requests_pct", "over_oracle"):
            values = [float(getattr(self, key)), *(float(row[key]) for row in rows.values())]
            found[key] = (min(values), max(values))
        return replace(self, unknowns=rows, unknown_range=found)

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def outcome(
    name: str,
    told: str,
    accounts: NDArray[np.float64],
    longest_s: float,
    seconds: float,
    task_hour_usd: float,
    *,
    metrics_usd: float = 0.0,
    blocks: str = "day",
) -> Outcome:
    """The outcome of `accounts` (seeds, blocks, columns) over `seconds` of history."""
    totals = accounts.sum(axis=1)
    mean = totals.mean(axis=0)

    def at(column: str) -> float:
        return float(mean[_AT[column]])

    task_hours, oracle_hours = at("task_s") / 3600.0, at("oracle_task_s") / 3600.0
    requests = max(at("requests"), 1e-12)
    return Outcome(
        name=name,
        told=told,
        task_hours=task_hours,
        oracle_task_hours=oracle_hours,
        over_oracle=task_hours / oracle_hours if oracle_hours else float("inf"),
        violating_requests_pct=100.0 * at("violating_requests") / requests,
        violating_periods=at("violating_periods"),
        longest_violation_s=longest_s,
        actions_per_day=(at("actions_out") + at("actions_in")) / (seconds / 86_400.0),
        cost_usd=task_hours * task_hour_usd + metrics_usd,
        slow_requests_pct=100.0 * at("slow_requests") / requests,
        lost_requests_pct=100.0 * at("lost_requests") / requests,
        under_accuracy_pct=100.0 * at("theta_under_s") / seconds,
        over_accuracy_pct=100.0 * at("theta_over_s") / seconds,
        under_time_pct=100.0 * at("tau_under_s") / seconds,
        over_time_pct=100.0 * at("tau_over_s") / seconds,
        jitter_pct=100.0 * at("unsteady_s") / seconds,
        peak_tasks=int(accounts[:, :, _AT["peak_tasks"]].max()),
        mean_tasks=at("task_s") / seconds,
        seeds=len(accounts),
        intervals=_intervals(accounts),
        unknowns={},
        unknown_range={},
        interval_blocks=blocks,
        metrics_usd=metrics_usd,
    )


def _intervals(accounts: NDArray[np.float64]) -> dict[str, tuple[float, float]]:
    """95 % intervals by resampling blocks and seeds together; empty with under 3 blocks."""
    full = accounts[:, accounts[:, :, _AT["requests"]].sum(axis=0) > 0]
    seeds, blocks, columns = full.shape
    if blocks < _FEWEST_BLOCKS:
        return {}
    generator = np.random.default_rng(0)
    by_seed = generator.multinomial(seeds, np.full(seeds, 1.0 / seeds), _RESAMPLES) / seeds
    by_block = generator.multinomial(blocks, np.full(blocks, 1.0 / blocks), _RESAMPLES)
    picked = np.empty((_RESAMPLES, columns))
    for column in range(columns):
        picked[:, column] = ((by_seed @ full[:, :, column]) * by_block).sum(axis=1)
    tail = 50.0 * (1.0 - _CONFIDENCE)
    requests = np.maximum(picked[:, _AT["requests"]], 1e-12)
    found = {
        "violating_requests_pct": 100.0 * picked[:, _AT["violating_requests"]] / requests,
        "over_oracle": picked[:, _AT["task_s"]] / np.maximum(picked[:, _AT["oracle_task_s"]], 1e-9),
        "task_hours": picked[:, _AT["task_s"]] / 3600.0,
    }
    return {
        key: (float(np.percentile(values, tail)), float(np.percentile(values, 100.0 - tail)))
        for key, values in found.items()
    }
