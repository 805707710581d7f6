"""An arrival-rate history: read from CSV, mended and told about, made a rate, scaled, redrawn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runbook.errors import InputInvalid
from runbook.lab.service import ServiceModel
from runbook.lab.stamps import fill_gaps, read_stamps

COLUMNS = ("timestamp", "requests")
_ENOUGH_PER_WINDOW = 200.0
"""Requests a window needs for its count to be a rate: 7 % counting noise."""
_LONGEST_WINDOW_S = 3600
_FEWEST_ROWS = 30
_MOST_GAPS = 0.5
_TOLD_AS = "give a CSV with the columns timestamp,requests, one row an interval"


@dataclass(frozen=True)
class Mended:
    """What was wrong with a history and what was done about it, in rows and intervals."""

    rows: int
    gaps: int
    gap_intervals: int
    duplicates: int
    out_of_order: int
    off_grid: int
    dst_hours: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class History:
    """Arrival rates over time, requests/s, one value each `step_s` seconds from `start` (UTC).

    `scale` is what the rates were multiplied with; the train window is the first `train` values.
    """

    name: str
    start: pd.Timestamp
    step_s: int
    rate_rps: NDArray[np.float64]
    mended: Mended
    train: int
    rate_window_s: int
    scale: float = 1.0
    peak_tasks: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> int:
        """The length, seconds."""
        return len(self.rate_rps) * self.step_s

    @property
    def days(self) -> float:
        """The length, days."""
        return self.seconds / 86_400

    def part(self, first: int, last: int) -> History:
        """The values from `first` up to before `last` as a history of their own."""
        moved = self.start + pd.Timedelta(seconds=first * self.step_s)
        train = min(max(self.train - first, 0), last - first)
        return replace(self, start=moved, rate_rps=self.rate_rps[first:last], train=train)

    @property
    def train_part(self) -> History:
        """The earlier part, on which policies may be tuned."""
        return self.part(0, self.train)

    @property
    def test_part(self) -> History:
        """The later part, which tuning never sees."""
        return self.part(self.train, len(self.rate_rps))

    def rates(self, tick_s: int, first: int, last: int) -> NDArray[np.float64]:
        """The rate in ticks `first` up to before `last`, requests/s.

        Between the middles of the history's intervals it runs straight; ticks as long as the
        intervals take the values as they are.
        """
        if tick_s == self.step_s:
            return self.rate_rps[first:last]
        middles = (np.arange(first, last) + 0.5) * tick_s / self.step_s - 0.5
        left = max(math.floor(middles[0]), 0)
        right = min(math.ceil(middles[-1]) + 1, len(self.rate_rps))
        inside = self.rate_rps[left:right]
        return np.interp(middles, np.arange(left, right), inside)

    def draws(self, tick_s: int, seed: int | None, chunk: int) -> Iterator[NDArray[np.float64]]:
        """Requests per tick, chunk by chunk: Poisson counts, or with no seed the rate itself."""
        generator = None if seed is None else np.random.default_rng(seed)
        ticks = self.seconds // tick_s
        for first in range(0, ticks, chunk):
            mean = self.rates(tick_s, first, min(first + chunk, ticks)) * tick_s
            yield mean if generator is None else generator.poisson(mean).astype(np.float64)

    def scaled(self, service: ServiceModel, peak_tasks: int | None) -> History:
        """The history with the train window's p99 needing `peak_tasks` tasks; None: as it is."""
        if peak_tasks is None:
            return self
        train = self.rate_rps[: self.train]
        peak_rps = float(np.quantile(train, 0.99))
        if peak_rps <= 0:
            raise InputInvalid(
                f"{self.name} cannot be scaled",
                "fewer than 1 in 100 intervals of its train window have requests",
                "give a history with traffic",
            )
        scale = service.carried_rps(peak_tasks) / peak_rps
        note = (
            f"rates multiplied by {scale:.4g}: the train window's p99 of {peak_rps:.4g} requests/s"
            f" then needs {peak_tasks} tasks of {service.carried_rps(peak_tasks) / peak_tasks:.1f}"
            " requests/s (--peak-tasks; 0 leaves the rates as they are)"
        )
        return replace(
            self,
            rate_rps=self.rate_rps * scale,
            scale=self.scale * scale,
            peak_tasks=peak_tasks,
            notes=(*self.notes, note),
        )

    def describe(self) -> dict[str, Any]:
        """What a report says about the history."""
        mended = asdict(self.mended)
        return {
            "name": self.name,
            "start": self.start.isoformat(),
            "end": (self.start + pd.Timedelta(seconds=self.seconds)).isoformat(),
            "days": round(self.days, 3),
            "step_s": self.step_s,
            **{key: mended[key] for key in mended if key != "notes"},
            "rate_window_s": self.rate_window_s,
            "scale": self.scale,
            "peak_tasks": self.peak_tasks,
            "train_until": (
                self.start + pd.Timedelta(seconds=self.train * self.step_s)
            ).isoformat(),
            "mean_rps": float(self.rate_rps.mean()),
            "p99_rps": float(np.quantile(self.rate_rps, 0.99)),
            "max_rps": float(self.rate_rps.max()),
            "notes": [*self.mended.notes, *self.notes],
        }


def read_history(path: Path, *, timezone: str = "UTC", train_share: float = 0.5) -> History:
    """Read `timestamp,requests`, requests per interval, one row an interval.

    Stamps without an offset are in `timezone`. Duplicates are averaged, gaps filled, order
    restored; all of it is told in `mended`. Raises InputInvalid for what is no history.
    """
    stamps, requests, mended = _rows(path, timezone)
    return make_history(path.name, stamps, requests, mended, train_share=train_share)


def make_history(
    name: str,
    stamps: pd.DatetimeIndex,
    requests: NDArray[np.float64],
    notes: tuple[tuple[str, ...], int] = ((), 0),
    *,
    train_share: float = 0.5,
) -> History:
    """A history from stamps (UTC) and requests per interval, in any order. Raises InputInvalid."""
    if not 0.1 <= train_share <= 1.0:
        raise InputInvalid(
            "The history cannot be split", f"train share {train_share}", "use 0.1 to 1"
        )
    told, dst_hours = notes
    out_of_order = int((np.diff(stamps.asi8) < 0).sum())
    series = pd.Series(requests, index=stamps).sort_index(kind="stable")
    duplicates = int(series.index.duplicated().sum())
    if duplicates:
        series = series.groupby(level=0).mean()
    step_s = _step_s(name, pd.DatetimeIndex(series.index))
    seconds = (series.index - series.index[0]).total_seconds().to_numpy()
    at = np.rint(seconds / step_s).astype(np.int64)
    off_grid = int((np.abs(seconds - at * step_s) > 0.5).sum())
    whole = np.full(int(at[-1]) + 1, np.nan)
    # Two stamps may fall into one interval of the grid: the mean of them, like duplicates.
    merged = pd.Series(series.to_numpy()).groupby(at).mean()
    whole[merged.index.to_numpy()] = merged.to_numpy()
    missing = np.isnan(whole)
    if missing.mean() > _MOST_GAPS:
        raise InputInvalid(
            f"{name} is no usable history",
            f"{missing.mean():.0%} of its {step_s} s intervals are missing",
            "give a history with fewer gaps",
        )
    gaps = int((np.diff(np.concatenate(([0], missing.astype(np.int8)))) == 1).sum())
    filled, fill_notes = fill_gaps(whole, step_s)
    rate, window_s = _rate(filled, step_s)
    if not rate.max() > 0:
        raise InputInvalid(f"{name} is no usable history", "it has no requests", _TOLD_AS)
    notes_all = [*told, *fill_notes]
    if duplicates:
        notes_all.append(f"{duplicates} duplicate stamps: their mean was taken")
    if out_of_order:
        notes_all.append(f"{out_of_order} rows out of order: sorted")
    if off_grid:
        notes_all.append(
            f"{off_grid} stamps off the {step_s} s grid: moved to the nearest interval"
        )
    if window_s > step_s:
        notes_all.append(
            f"about {filled.mean():.0f} requests per {step_s} s are counting noise: the rate is the"
            f" mean over {window_s // 60} minutes, counts are redrawn from it"
        )
    mended = Mended(
        len(requests),
        gaps,
        int(missing.sum()),
        duplicates,
        out_of_order,
        off_grid,
        dst_hours,
        tuple(notes_all),
    )
    train = max(1, int(len(rate) * train_share))
    return History(name, series.index[0], step_s, rate, mended, train, window_s)


def _rows(
    path: Path, timezone: str
) -> tuple[pd.DatetimeIndex, NDArray[np.float64], tuple[tuple[str, ...], int]]:
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputInvalid(f"{path} cannot be read", str(error).strip(), _TOLD_AS) from error
    if not set(COLUMNS) <= set(frame.columns):
        raise InputInvalid(
            f"{path} is no history", f"its columns are {', '.join(frame.columns)}", _TOLD_AS
        )
    if len(frame) < _FEWEST_ROWS:
        raise InputInvalid(
            f"{path} is too short", f"{len(frame)} rows", f"give {_FEWEST_ROWS} or more"
        )
    requests = pd.to_numeric(frame["requests"], errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(requests) | (requests < 0)
    if bad.any():
        line = int(np.argmax(bad))
        raise InputInvalid(
            f"{path} is no history",
            f"line {line + 2}: {frame['requests'].iloc[line]!r} is no number of requests",
            "mend or leave out the row; an interval that is left out counts as a gap",
        )
    stamps, notes = read_stamps(path, frame["timestamp"], timezone)
    return stamps, requests, notes


def _step_s(name: str, index: pd.DatetimeIndex) -> int:
    """The interval, seconds: the commonest distance of neighbours."""
    distances = np.diff(index.asi8.astype(np.float64)) / _per_second(index)
    whole = np.rint(distances[distances > 0.5])
    if len(whole) == 0:
        raise InputInvalid(f"{name} is no history", "all its stamps are the same", _TOLD_AS)
    values, counts = np.unique(whole, return_counts=True)
    step_s = int(values[np.argmax(counts)])
    if not 1 <= step_s <= 3600:
        raise InputInvalid(
            f"{name} is too coarse",
            f"its interval is {step_s} s, scaling acts within minutes",
            "give intervals of at most an hour",
        )
    return step_s


def _per_second(index: pd.DatetimeIndex) -> float:
    return {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[index.unit]


def _rate(counts: NDArray[np.float64], step_s: int) -> tuple[NDArray[np.float64], int]:
    """Requests/s, over the shortest centred window that holds enough requests on average."""
    mean = float(counts.mean())
    wanted = _ENOUGH_PER_WINDOW / mean if mean > 0 else 1.0
    steps = min(max(1, math.ceil(wanted)), max(1, _LONGEST_WINDOW_S // step_s))
    steps += 1 - steps % 2
    if steps == 1:
        return counts / step_s, step_s
    smooth = pd.Series(counts).rolling(steps, center=True, min_periods=1).mean().to_numpy()
    return smooth / step_s, steps * step_s
