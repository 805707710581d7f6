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
from runbook.lab.grid import fill_gaps, to_grid
from runbook.lab.rows import TOLD_AS, Rows, read_rows
from runbook.lab.service import ServiceModel

_ENOUGH_PER_WINDOW = 200.0
"""Requests a window needs for its count to be a rate: 7 % counting noise."""
_LONGEST_WINDOW_S = 3600
_MOST_RPS = 1e9
"""Beyond what any service takes: a count over it is a mistake."""
_WILD = 100.0


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
        intervals take the values as they are, longer ones the mean over each.
        """
        if tick_s == self.step_s:
            return self.rate_rps[first:last]
        if tick_s > self.step_s:
            edges = np.arange(first, last + 1) * tick_s / self.step_s
            start, end = math.floor(edges[0]), math.ceil(edges[-1])
            totals = np.concatenate(([0.0], np.cumsum(self.rate_rps[start:end])))
            at_edges = np.interp(edges, np.arange(start, start + len(totals)), totals)
            return np.diff(at_edges) * self.step_s / tick_s
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
    restored, changes of the interval evened out; all of it is told in `mended`. Raises
    InputInvalid for what is no history.
    """
    return history_of(path.name, read_rows(path, timezone), train_share=train_share)


def history_of(name: str, rows: Rows, *, train_share: float = 0.5) -> History:
    """The history of rows already read. Raises InputInvalid."""
    notes = rows.notes, rows.dst_hours
    return make_history(name, rows.stamps, rows.requests, notes, train_share=train_share)


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
    grid = to_grid(name, stamps, requests)
    step_s = grid.step_s
    missing = np.isnan(grid.counts)
    gaps = int((np.diff(np.concatenate(([0], missing.astype(np.int8)))) == 1).sum())
    filled, fill_notes = fill_gaps(grid.counts, step_s)
    highest = int(np.argmax(filled))
    if not filled[highest] > 0:
        raise InputInvalid(f"{name} is no usable history", "it has no requests", TOLD_AS)
    when = f"{grid.start + pd.Timedelta(seconds=highest * step_s):%Y-%m-%d %H:%M} UTC"
    if filled[highest] > _MOST_RPS * step_s:
        raise InputInvalid(
            f"{name} is no usable history",
            f"{filled[highest]:.3g} requests in {step_s} s at {when} is more than"
            f" {_MOST_RPS:.0e} a second",
            "mend or leave out the row; an interval that is left out counts as a gap",
        )
    rate, window_s = _rate(filled, step_s)
    notes_all = [*told, *fill_notes, *grid.notes]
    if out_of_order:
        notes_all.append(f"{out_of_order} rows out of order: sorted")
    usual = float(np.quantile(filled, 0.99))
    if usual > 0 and filled[highest] > _WILD * usual:
        notes_all.append(
            f"the highest count, at {when}, is {filled[highest] / usual:.0f} times the 99th"
            " percentile: it is kept; mend it if it is mistyped"
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
        grid.duplicates,
        out_of_order,
        grid.off_grid,
        dst_hours,
        tuple(notes_all),
    )
    train = max(1, int(len(rate) * train_share))
    return History(name, grid.start, step_s, rate, mended, train, window_s)


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
