"""Whether a step was in a steady state: warm-up is found and dropped, drift is named."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, mannwhitneyu

Floats = NDArray[np.float64]

#: A step is judged in this many windows of equal length.
WINDOWS = 20
#: At most this part of a step is dropped, and only when its median is this much higher.
_MOST_DROPPED, _WARM_UP_FACTOR, _WARM_UP_P = 0.5, 1.25, 0.005
_ABOUT_AS_GOOD = 1.5
#: Beyond this ratio of p95 to the median a step's requests wait for each other.
_CALM = 4.0
#: A rising or falling trend counts when chance gives it less often, and moves this much.
_TREND_P, _TREND_FACTOR = 0.001, 1.5


@dataclass(frozen=True)
class Verdict:
    """`drop_s` seconds from the step's start do not count; `note` says so, or names a trend."""

    drop_s: float
    note: str


def judge(offsets_s: Floats, latency_ms: Floats, duration_s: float) -> Verdict:
    """Judge one step by the medians of its windows.

    Warm-up: the cut that minimises the standard error of the rest (MSER, White 1997), if what
    lies before it is clearly slower (Mann-Whitney). A trend over the rest (Kendall) is kept and
    named: where a queue grows, the rate is beyond what the service carries: a finding.
    """
    number = np.clip(offsets_s / duration_s * WINDOWS, 0, WINDOWS - 1).astype(int)
    medians = np.array(
        [np.median(latency_ms[number == w]) if (number == w).any() else np.nan
         for w in range(WINDOWS)]
    )  # fmt: skip
    if np.isnan(medians).sum() > WINDOWS // 4:
        return Verdict(0.0, "")
    medians = np.where(np.isnan(medians), np.nanmedian(medians), medians)
    # On a logarithmic scale one window full of waits does not outweigh all others.
    level = np.log(np.maximum(medians, 1e-6))
    most = int(WINDOWS * _MOST_DROPPED)
    errors = [level[cut:].var() / (WINDOWS - cut) for cut in range(most)]
    # The first cut that is about as good: the very best is often a lucky one further on.
    cut = int(np.argmax(np.array(errors) <= _ABOUT_AS_GOOD * min(errors)))
    drop_s, note = 0.0, ""
    # In a queue that swings, a slow beginning is chance or a backlog: that is no warm-up.
    median = float(np.median(latency_ms))
    calm = np.percentile(latency_ms, 95) <= _CALM * median
    slower = (
        calm and cut > 0 and np.median(medians[:cut]) > _WARM_UP_FACTOR * np.median(medians[cut:])
    )
    if slower and mannwhitneyu(level[:cut], level[cut:], alternative="greater").pvalue < _WARM_UP_P:
        drop_s = cut * duration_s / WINDOWS
        note = (
            f"the first {drop_s:.1f} s do not count: warm-up, median {np.median(medians[:cut]):.1f}"
            f" ms, then {np.median(medians[cut:]):.1f} ms"
        )
    rest = medians[cut if drop_s else 0 :]
    tau = kendalltau(np.arange(len(rest)), rest)
    third = max(len(rest) // 3, 1)
    change = float(np.median(rest[-third:]) / max(np.median(rest[:third]), 1e-9))
    if tau.pvalue < _TREND_P and max(change, 1.0 / max(change, 1e-9)) > _TREND_FACTOR:
        word = "rises: the queue grows" if change > 1 else "falls: it had not settled"
        trend = f"not stationary, the median {word} ({change:.1f} times from first to last third)"
        note = f"{note}; {trend}" if note else trend
    return Verdict(drop_s, note)
