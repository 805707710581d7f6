"""Bounds over time: what scheduled actions and a forecast make of a policy's min and max."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runbook.lab.history import History
from runbook.lab.policy import Policy, Predictive
from runbook.scaling import predictive as aws

_HOUR_S = aws.INTERVAL_S
_SLOT_S = 60
_MINUTE_S = 60.0
_ROUNDING = 1e-9
_DAY_H, _WEEK_H = 24, 168
_LEAST_H, _LEARNED_H = aws.LEARNS_FROM_H
_REFRESH_H = aws.REFRESH_H
_LEVEL = (0.5, 2.0)


def hourly(history: History) -> NDArray[np.float64]:
    """The mean rate of each hour from the start, requests/s; a last part of an hour counts."""
    per_hour = max(1, _HOUR_S // history.step_s)
    rate = history.rate_rps
    edges = np.arange(0, len(rate), per_hour)
    sums = np.add.reduceat(rate, edges)
    return sums / np.diff(np.append(edges, len(rate)))


def forecast(seen: NDArray[np.float64], hours: int) -> NDArray[np.float64]:
    """The next `hours` hourly rates after `seen`; empty with under 24 hours to learn from.

    AWS forecasts with a model of its own, from at least 24 hours and at most 14 days. Here: the
    mean of the same hour of the week (of the day with under 8 days of data), times how much the
    last day differed from what the same rule would have said of it, within a factor of two.
    """
    seen = seen[-_LEARNED_H:]
    if len(seen) < _LEAST_H:
        return np.empty(0)
    season = _WEEK_H if len(seen) >= _WEEK_H + _DAY_H else _DAY_H

    def seasonal(past: NDArray[np.float64], many: int) -> NDArray[np.float64]:
        # Hours are counted back from the end, so that hour h after it repeats h - season, ...
        at = np.arange(many)
        guesses = []
        for back in range(1, len(past) // season + 1):
            index = len(past) - back * season + at % season
            guesses.append(past[index])
        return np.asarray(np.mean(guesses, axis=0))

    level = 1.0
    before = seen[:-_DAY_H]
    if len(before) >= season:
        guessed = seasonal(before, _DAY_H).sum()
        if guessed > 0:
            level = float(np.clip(seen[-_DAY_H:].sum() / guessed, *_LEVEL))
    return np.asarray(seasonal(seen, hours) * level)


def forecast_floor(
    history: History, predictive: Predictive, learned: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The forecast's floor in tasks per hour of `history`; 0 where there is no forecast yet.

    `learned` are the hourly rates right before the history. The forecast is made anew every six
    hours and never sees an hour before it is over.
    """
    actual = hourly(history)
    known = np.concatenate((learned, actual))
    floor = np.zeros(len(actual), dtype=np.int64)
    for first in range(0, len(actual), _REFRESH_H):
        many = min(_REFRESH_H, len(actual) - first)
        expected = forecast(known[: len(learned) + first], many)
        if len(expected):
            per_task_rps = predictive.requests_per_target / _MINUTE_S
            floor[first : first + many] = np.ceil(expected / per_task_rps - _ROUNDING)
    return floor


def bounds_over_time(
    policy: Policy,
    history: History,
    tick_s: int,
    learned: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """(first tick, min, max) rows, ascending from tick 0. A change takes place within a minute."""
    if policy.fixed_tasks is not None:
        return np.array([[0, policy.fixed_tasks, policy.fixed_tasks]], dtype=np.int64)
    if not policy.schedule and policy.predictive is None:
        return np.array([[0, policy.min_tasks, policy.max_tasks]], dtype=np.int64)
    slots = -(-history.seconds // _SLOT_S)
    low = np.full(slots, policy.min_tasks, dtype=np.int64)
    high = np.full(slots, policy.max_tasks, dtype=np.int64)
    _apply_schedule(policy, history.start, low, high)
    if policy.predictive is not None:
        seen = np.empty(0) if learned is None else learned
        floor = forecast_floor(history, policy.predictive, seen)
        minute = np.arange(slots) * _SLOT_S
        now = floor[np.minimum(minute // _HOUR_S, len(floor) - 1)]
        ahead = (minute + int(policy.predictive.buffer_s)) // _HOUR_S
        soon = floor[np.minimum(ahead, len(floor) - 1)]
        low = np.minimum(np.maximum(low, np.maximum(now, soon)), high)
    changed = np.flatnonzero(np.concatenate(([True], (np.diff(low) != 0) | (np.diff(high) != 0))))
    first = -(-changed * _SLOT_S // tick_s)
    return np.stack((first, low[changed], high[changed]), axis=1).astype(np.int64)


def _apply_schedule(
    policy: Policy, start: pd.Timestamp, low: NDArray[np.int64], high: NDArray[np.int64]
) -> None:
    """Put the bounds of recurring actions over the slots, as the last one before set them."""
    if not policy.schedule:
        return
    end = start + pd.Timedelta(seconds=len(low) * _SLOT_S)
    # From a week before, so that the bounds at the start are those the week set.
    days = pd.date_range(start.floor("D") - pd.Timedelta(days=7), end, freq="D")
    events = sorted(
        (
            (day + pd.Timedelta(hours=item.at.hour, minutes=item.at.minute), item)
            for day in days
            for item in policy.schedule
            if day.weekday() in item.weekdays
        ),
        key=lambda pair: pair[0],
    )
    for moment, item in events:
        slot = max(0, int(-(-(moment - start).total_seconds() // _SLOT_S)))
        if slot >= len(low):
            break
        if item.min_tasks is not None:
            low[slot:] = item.min_tasks
        if item.max_tasks is not None:
            high[slot:] = item.max_tasks
    np.minimum(low, high, out=low)
