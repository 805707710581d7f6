"""What a replay was worth: totals, shares, elasticity, and how sure they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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
"""Columns of the loop's account, a row a day; `_s` are seconds or task-seconds."""
_AT = {name: index for index, name in enumerate(COLUMNS)}
_RESAMPLES = 1000
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Outcome:
    """One policy on one history: means over seeds.

    `violating_requests_pct` is the share of requests in minutes whose p95 was over the SLO,
    `violating_periods` the number of such minutes, `longest_violation_s` the longest run of them
    in any seed. `under_accuracy_pct` and `over_accuracy_pct` are SPEC's theta_U and theta_O,
    `under_time_pct` and `over_time_pct` tau_U and tau_O, `jitter_pct` upsilon
    (SPEC-RG-2016-01), all against the oracle's task count. `intervals` holds (lower, upper)
    with 95 % by bootstrap over days and seeds, and over the unknowns where they were swept.
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
) -> Outcome:
    """The outcome of `accounts` (seeds, days, columns) over `seconds` of history."""
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
        cost_usd=task_hours * task_hour_usd,
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
    )


def _intervals(accounts: NDArray[np.float64]) -> dict[str, tuple[float, float]]:
    """95 % intervals by resampling days and seeds together; empty with under 3 days."""
    _, days, _ = accounts.shape
    full = accounts[:, accounts[:, :, _AT["requests"]].sum(axis=0) > 0]
    days = full.shape[1]
    if days < 3:
        return {}
    generator = np.random.default_rng(0)
    by_day = full.mean(axis=0)
    picked = by_day[generator.integers(0, days, (_RESAMPLES, days))].sum(axis=1)
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
