"""Arrival schedules: when requests are meant to leave, decided before the first one does.

A schedule is a sequence of segments, each with a rate that changes linearly.
Arrival times come from inverting the cumulative rate, which is exact for
piecewise linear rates: a Poisson process of unit rate, or evenly spaced points,
is mapped through the inverse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runbook.errors import InputInvalid

Process = Literal["poisson", "uniform"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Segment:
    """A stretch of time in which the arrival rate moves linearly between two values."""

    duration_s: float
    start_rps: float
    end_rps: float
    label: str = ""

    def __post_init__(self) -> None:
        if self.duration_s <= 0 or self.start_rps < 0 or self.end_rps < 0:
            raise InputInvalid(
                "The load schedule cannot be used",
                f"a segment of {self.duration_s} s from {self.start_rps} to {self.end_rps} "
                "requests/s has no length or a negative rate",
                "give a positive duration and rates of zero or more",
            )

    @property
    def expected_requests(self) -> float:
        """The mean number of arrivals: the area under the rate."""
        return self.duration_s * (self.start_rps + self.end_rps) / 2

    @property
    def mean_rps(self) -> float:
        """The mean arrival rate of the segment."""
        return (self.start_rps + self.end_rps) / 2

    def to_dict(self) -> dict[str, Any]:
        """The segment as JSON-able values."""
        return asdict(self)


def constant(rate_rps: float, duration_s: float, label: str = "") -> tuple[Segment, ...]:
    """One segment at a constant rate."""
    return (Segment(duration_s, rate_rps, rate_rps, label),)


def steps(rates_rps: Iterable[float], duration_s: float) -> tuple[Segment, ...]:
    """Back-to-back constant segments of equal length, in the order given."""
    return tuple(Segment(duration_s, rate, rate, f"{rate:.1f} rps") for rate in rates_rps)


def ramp(from_rps: float, to_rps: float, duration_s: float, label: str = "") -> tuple[Segment, ...]:
    """One segment whose rate rises or falls linearly."""
    return (Segment(duration_s, from_rps, to_rps, label),)


def replay(
    history: Path, *, rate_scale: float = 1.0, time_scale: float = 1.0
) -> tuple[Segment, ...]:
    """A recorded history as a schedule: a CSV with `timestamp,requests`, evenly spaced.

    Each row's requests arrive within the time to the next row. `rate_scale` multiplies the
    rates; `time_scale` is how much faster time passes (the rates stay). Raises InputInvalid.
    """
    try:
        frame = pd.read_csv(history)
        if len(frame) < 2 or not {"timestamp", "requests"} <= set(frame.columns):
            raise ValueError(f"it has {len(frame)} rows of {', '.join(frame.columns)}")
        stamps = pd.to_datetime(frame["timestamp"], utc=True)
        at_s = ((stamps - stamps.iloc[0]) / pd.Timedelta(seconds=1)).to_numpy()
        requests = frame["requests"].to_numpy(dtype=np.float64)
        steps_s = np.diff(at_s)
        if np.isnan(requests).any() or (requests < 0).any():
            raise ValueError("it needs counts of requests in every row")
        if not np.allclose(steps_s, steps_s[0], rtol=0.01) or steps_s[0] <= 0:
            raise ValueError("its rows are not evenly spaced in time")
        if rate_scale <= 0 or time_scale <= 0:
            raise ValueError("the scales must be above 0")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputInvalid(
            f"{history} cannot be replayed",
            str(error),
            "give a CSV with the columns timestamp and requests, one row a period",
        ) from error
    spacing_s = float(steps_s[0])
    labels = frame["timestamp"].astype(str)
    return tuple(
        Segment(spacing_s / time_scale, rate, rate, label)
        for rate, label in zip(requests / spacing_s * rate_scale, labels, strict=True)
    )


def duration_s(segments: Sequence[Segment]) -> float:
    """The length of the whole schedule in seconds."""
    return float(sum(segment.duration_s for segment in segments))


def rate_at(segments: Sequence[Segment], at_s: Floats) -> Floats:
    """The scheduled rate (requests/s) at offsets from the start; 0 outside the schedule."""
    edges = np.concatenate([[0.0], np.cumsum([segment.duration_s for segment in segments])])
    at = np.asarray(at_s, dtype=np.float64)
    index = np.clip(np.searchsorted(edges, at, side="right") - 1, 0, len(segments) - 1)
    start = np.array([segment.start_rps for segment in segments])[index]
    slope = np.array([(s.end_rps - s.start_rps) / s.duration_s for s in segments])[index]
    rate = start + slope * (at - edges[index])
    return np.where((at >= 0) & (at < edges[-1]), rate, 0.0)


def arrivals(segments: Sequence[Segment], *, seed: int = 1, process: Process = "poisson") -> Floats:
    """Intended arrival times in seconds after the start, ascending.

    `poisson` draws an inhomogeneous Poisson process from `seed`; `uniform` spaces
    arrivals evenly in cumulative rate and ignores the seed.
    Raises InputInvalid for an empty schedule or an unknown process.
    """
    if not segments:
        raise InputInvalid("The load schedule cannot be used", "it is empty", "add a segment")
    areas = np.array([segment.expected_requests for segment in segments])
    total = float(areas.sum())
    if process == "poisson":
        levels = _poisson_levels(total, np.random.default_rng(seed))
    elif process == "uniform":
        levels = np.arange(0.5, total, 1.0)
    else:
        raise InputInvalid(
            "The load schedule cannot be used",
            f"{process!r} is no arrival process",
            "use poisson or uniform",
        )
    return _invert(segments, areas, levels)


def _poisson_levels(total: float, rng: np.random.Generator) -> Floats:
    """Points of a unit-rate Poisson process on [0, total): uniform, given their number."""
    return np.sort(rng.uniform(0.0, total, rng.poisson(total)))


def _invert(segments: Sequence[Segment], areas: Floats, levels: Floats) -> Floats:
    """Times at which the cumulative rate reaches each level."""
    level_edges = np.concatenate([[0.0], np.cumsum(areas)])
    time_edges = np.concatenate([[0.0], np.cumsum([s.duration_s for s in segments])])
    index = np.clip(np.searchsorted(level_edges, levels, side="right") - 1, 0, len(segments) - 1)
    start = np.array([s.start_rps for s in segments])[index]
    half_slope = np.array([(s.end_rps - s.start_rps) / s.duration_s for s in segments])[index] / 2
    level = levels - level_edges[index]
    # half_slope * t^2 + start * t = level, solved in the form that is exact for a slope of 0 too.
    root = np.sqrt(np.maximum(start * start + 4 * half_slope * level, 0.0))
    offset = 2 * level / np.maximum(start + root, 1e-300)
    times = time_edges[index] + np.minimum(offset, np.diff(time_edges)[index])
    return np.asarray(times, dtype=np.float64)
