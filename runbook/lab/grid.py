"""From stamped counts to counts on an even grid: the interval found, gaps seen and filled.

Histories are as people keep them. CloudWatch keeps 60 s, 300 s and 3600 s by age, so one export
can hold all three; some collectors stamp when they happened to wake up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runbook.errors import InputInvalid

_LONGEST_STEP_S = 3600
_USUAL_STEPS_S = np.array([1, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 3600])
_NEAR_USUAL = 0.05
_MOST_GAPS = 0.5
_REGIME_ROWS = 12
"""Rows at one distance that make it the interval of that part of the history."""
_BESIDE_ROWS = 3
_EVEN_SHARE = 0.5
_WILDEST = 6.0
"""90th over 10th percentile of distances beyond which stamps have no interval."""
_COVERS = 2.5
"""Intervals a row may stand for where stamps are uneven; a longer distance is a gap."""
_COLLISIONS = 0.02
_SHORT_GAP_S = 3600
_DAY_S = 86_400

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Requests per interval of `step_s` from `start` on; NaN where nothing is known."""

    start: pd.Timestamp
    step_s: int
    counts: Floats
    duplicates: int
    off_grid: int
    notes: tuple[str, ...]


def to_grid(name: str, stamps: pd.DatetimeIndex, requests: Floats) -> Grid:
    """Put counts (stamps in UTC, any order) on a grid. Raises InputInvalid where there is none."""
    at_us = stamps.as_unit("us").asi8
    whole_s = _exact_s(at_us)
    if whole_s:
        # The usual case, without the copies that the others need: histories may be long.
        return Grid(stamps[0], whole_s, np.asarray(requests, dtype=np.float64), 0, 0, ())
    at_us, inverse, many = np.unique(at_us, return_inverse=True, return_counts=True)
    counts = np.bincount(inverse, weights=requests) / many
    duplicates = len(requests) - len(counts)
    seconds = (at_us - at_us[0]) / 1e6
    distances = np.diff(seconds)
    if len(distances) == 0:
        raise InputInvalid(
            f"{name} is no history", "all its stamps are the same", "give one row an interval"
        )
    told = np.median(distances)
    if told < 0.95:
        raise InputInvalid(
            f"{name} is too fine",
            f"its stamps are {told:g} s apart",
            f"sum them up to intervals of 1 s to {_LONGEST_STEP_S} s",
        )
    steps = _steps_s(np.rint(distances), counts)
    first = stamps.min()
    if steps is None:
        step_s, phase_s, placed, notes = _uneven(name, first, seconds, counts)
        off_grid = 0
    else:
        step_s, phase_s, placed, off_grid, notes = _even(name, first, seconds, counts, steps)
    start = first + pd.Timedelta(seconds=phase_s)
    if duplicates:
        notes.append(f"{duplicates} duplicate stamps: their mean was taken")
    return Grid(start, step_s, placed, duplicates, off_grid, tuple(notes))


def _exact_s(at_us: NDArray[np.int64]) -> int:
    """The interval in seconds of stamps that keep it without any exception, else 0."""
    if len(at_us) < 2:
        return 0
    step_us = int(at_us[1] - at_us[0])
    if step_us % 1_000_000 or not 1 <= step_us // 1_000_000 <= _LONGEST_STEP_S:
        return 0
    return step_us // 1_000_000 if (np.diff(at_us) == step_us).all() else 0


def _steps_s(distances: Floats, counts: Floats) -> NDArray[np.int64] | None:
    """The interval each row stands for, seconds; None where stamps are uneven.

    An interval holds where several rows in a row keep it. A longer one is believed only if the
    counts grow with it: a row that is merely missing leaves its neighbours as they were.
    """
    values, many = np.unique(distances, return_counts=True)
    commonest = values[np.argmax(many)]
    starts = np.concatenate(([0], np.flatnonzero(np.diff(distances)) + 1))
    lengths = np.diff(np.append(starts, len(distances)))
    kept = lengths >= _REGIME_ROWS
    if max(lengths[kept].sum(), many.max()) < _EVEN_SHARE * len(distances):
        return None
    if not kept.any():
        return np.full(len(counts), int(commonest))
    since, steps = [0], [distances[starts[kept][0]]]
    for at in map(int, starts[kept][1:]):
        if distances[at] != steps[-1] and _grows(counts, at, distances[at] / steps[-1]):
            since.append(at)
            steps.append(distances[at])
    rows = np.diff([*since, len(counts)])
    return np.repeat(np.array(steps, dtype=np.int64), rows)


def _grows(counts: Floats, at: int, ratio: float) -> bool:
    """Whether counts from row `at` on are those of intervals `ratio` times as long as before."""
    before = float(np.mean(counts[max(0, at - _BESIDE_ROWS) : at])) + 1e-9
    after = float(np.mean(counts[at : at + _BESIDE_ROWS])) + 1e-9
    grown, wanted = np.log(after / before), np.log(ratio)
    return bool(grown / wanted > 0.5)


def _even(
    name: str, first: pd.Timestamp, seconds: Floats, counts: Floats, steps: NDArray[np.int64]
) -> tuple[int, float, Floats, int, list[str]]:
    step_s = _checked_step(name, int(steps.min()), int(steps.max()))
    if (steps % step_s).any():
        told = ", ".join(f"{value} s" for value in np.unique(steps))
        raise InputInvalid(
            f"{name} is no usable history",
            f"its interval changes between {told}, which are no multiples of one another",
            "give each part as a history of its own",
        )
    notes = _told_changes(first, seconds, steps, step_s)
    residues, many = np.unique(np.rint(seconds % step_s) % step_s, return_counts=True)
    phase_s = float(residues[np.argmax(many)])
    at = np.rint((seconds - phase_s) / step_s).astype(np.int64)
    off_grid = int((np.abs(seconds - phase_s - at * step_s) > 0.5).sum())
    if off_grid:
        notes.append(f"{off_grid} stamps off the {step_s} s grid: moved to the nearest interval")
    phase_s += float(at[0]) * step_s
    at -= at[0]
    pieces = steps // step_s
    if pieces.max() > 1:
        within = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        at = np.repeat(at, pieces) + within
        counts = np.repeat(counts / pieces, pieces)
    return step_s, phase_s, _placed(name, at, counts, step_s, first, seconds), off_grid, notes


def _uneven(
    name: str, first: pd.Timestamp, seconds: Floats, counts: Floats
) -> tuple[int, float, Floats, list[str]]:
    """Stamps without an exact interval: each row moved to its place, or spread over its time."""
    distances = np.diff(seconds)
    low, high = np.percentile(distances, (10, 90))
    if high > _WILDEST * low:
        raise InputInvalid(
            f"{name} is no usable history",
            f"its stamps keep no interval: they are {low:g} to {high:g} s apart",
            "sum the requests up to even intervals",
        )
    usual = distances[distances <= _COVERS * np.median(distances)]
    step_s = _nominal(float(usual.mean()))
    _checked_step(name, step_s, step_s)
    turn = 2.0 * np.pi / step_s
    phase_s = float(np.angle(np.exp(1j * turn * seconds).mean()) / turn)
    at = np.rint((seconds - phase_s) / step_s).astype(np.int64)
    told = f"stamps are {low:g} to {high:g} s apart (10th to 90th percentile), taken as {step_s} s"
    if len(at) - len(np.unique(at)) <= _COLLISIONS * len(at):
        placed = _placed(name, at - at[0], counts, step_s, first, seconds)
        return (
            step_s,
            phase_s + float(at[0]) * step_s,
            placed,
            [f"{told}: each moved to the nearest interval"],
        )
    covers = np.append(np.where(distances <= _COVERS * step_s, distances, step_s), step_s)
    intervals = int(np.ceil((seconds[-1] + step_s) / step_s - 1e-9))
    _refuse_holes(name, covers.sum() / step_s, intervals, step_s, first, seconds)
    edges = np.arange(intervals + 1) * float(step_s)
    knots = np.stack((seconds, seconds + covers), axis=1).ravel()
    known_s = np.diff(np.interp(edges, knots, _stairs(covers)))
    requests = np.diff(np.interp(edges, knots, _stairs(counts)))
    known = known_s >= 0.5 * step_s
    placed = np.where(known, requests * step_s / np.where(known, known_s, 1.0), np.nan)
    return step_s, 0.0, placed, [f"{told}: counts spread over the time until the next stamp"]


def _stairs(values: Floats) -> Floats:
    """What has come together before each row, and after it."""
    after = np.cumsum(values)
    return np.stack((after - values, after), axis=1).ravel()


def _nominal(step_s: float) -> int:
    """The usual interval near `step_s`, else whole seconds."""
    nearest = float(_USUAL_STEPS_S[np.argmin(np.abs(np.log(_USUAL_STEPS_S / step_s)))])
    return round(nearest if abs(nearest / step_s - 1.0) <= _NEAR_USUAL else step_s)


def _checked_step(name: str, step_s: int, longest_s: int) -> int:
    if longest_s > _LONGEST_STEP_S:
        raise InputInvalid(
            f"{name} is too coarse",
            f"its interval is {longest_s} s, scaling acts within minutes",
            "give intervals of at most an hour",
        )
    return step_s


def _told_changes(
    first: pd.Timestamp, seconds: Floats, steps: NDArray[np.int64], step_s: int
) -> list[str]:
    changes = np.flatnonzero(np.diff(steps)) + 1
    if not len(changes):
        return []
    told = [f"{steps[0]} s"] + [
        f"{steps[at]} s from {first + pd.Timedelta(seconds=float(seconds[at])):%Y-%m-%d %H:%M} UTC"
        for at in changes[:5]
    ]
    more = f" and {len(changes) - 5} changes more" if len(changes) > 5 else ""
    return [
        f"the interval changes: {', '.join(told)}{more}; counts of longer intervals are spread"
        f" evenly over intervals of {step_s} s"
    ]


def _placed(
    name: str,
    at: NDArray[np.int64],
    counts: Floats,
    step_s: int,
    first: pd.Timestamp,
    seconds: Floats,
) -> Floats:
    """Counts by interval; where two fall into one, their mean, as of duplicates."""
    known = np.unique(at)
    intervals = int(known[-1]) + 1
    _refuse_holes(name, len(known), intervals, step_s, first, seconds)
    whole = np.full(intervals, np.nan)
    many = np.bincount(at, minlength=intervals)
    whole[known] = np.bincount(at, weights=counts, minlength=intervals)[known] / many[known]
    return whole


def _refuse_holes(
    name: str, known: float, intervals: int, step_s: int, first: pd.Timestamp, seconds: Floats
) -> None:
    """Refuse what is mostly holes, before room for them is made."""
    missing = 1.0 - known / intervals
    if missing <= _MOST_GAPS:
        return
    longest = int(np.argmax(np.diff(seconds)))
    edges = [_stamp(first, float(seconds[longest + side])) for side in (0, 1)]
    raise InputInvalid(
        f"{name} is no usable history",
        f"{missing:.0%} of its {step_s} s intervals are missing, the longest gap lies between"
        f" {edges[0]} and {edges[1]}",
        "give a history with fewer gaps; leave out stamps that are mistyped",
    )


def _stamp(first: pd.Timestamp, seconds: float) -> str:
    return f"{first + pd.Timedelta(microseconds=round(seconds * 1e6)):%Y-%m-%d %H:%M:%S}"


def fill_gaps(values: Floats, step_s: int) -> tuple[Floats, tuple[str, ...]]:
    """Values without holes; up to an hour straight across, longer ones like the day before."""
    missing = np.isnan(values)
    if not missing.any():
        return values, ()
    edges = np.flatnonzero(np.diff(np.concatenate(([0], missing.astype(np.int8), [0]))))
    filled = values.copy()
    day = _DAY_S // step_s
    short = long = 0
    straight = np.interp(np.arange(len(values)), np.flatnonzero(~missing), values[~missing])
    for first, last in edges.reshape(-1, 2):
        if (last - first) * step_s <= _SHORT_GAP_S:
            filled[first:last] = straight[first:last]
            short += 1
            continue
        long += 1
        for at in range(first, last):
            options = [filled[at - day]] if at >= day else []
            options += [values[at + day]] if at + day < len(values) else []
            usable = [value for value in options if not np.isnan(value)]
            filled[at] = usable[0] if usable else straight[at]
    notes = []
    if short:
        notes.append(f"{short} gap(s) of up to an hour: filled straight across")
    if long:
        notes.append(f"{long} longer gap(s): filled with the same time of the day before or after")
    return filled, tuple(notes)
