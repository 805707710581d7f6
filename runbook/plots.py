"""Every figure of the reports: titled with its finding, units on the axes, the SLO drawn.

Functions return a matplotlib Figure that is not registered with pyplot, so a notebook shows
it once and nothing has to be closed. Colours are Okabe and Ito's; each series also has its
own marker, because colour may not be the only signal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from runbook.capacity.curve import CapacityCurve, CountCurve
from runbook.capacity.measured import LoadTest

STYLE = Path(__file__).with_name("style.mplstyle")
SLO_COLOUR = "#B00020"
MARKERS = ("o", "s", "^", "D", "v", "P")
_TITLE_LETTERS = 66
"""What a title's line holds in a figure of the usual width."""


@contextmanager
def style() -> Iterator[None]:
    """The shared style, for the figures made inside."""
    with mpl.rc_context(fname=STYLE):
        yield


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with style():
        figure.savefig(path)
    return path


def colour(index: int) -> str:
    """The index-th colour of the style; "C0" would be looked up after the style is gone."""
    cycle: list[str] = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    return cycle[index % len(cycle)]


def draw_slo(axes: Axes, slo_ms: float) -> None:
    """The line that a response time must stay under."""
    axes.axhline(slo_ms, color=SLO_COLOUR, linewidth=1.3, linestyle="--", zorder=1)
    axes.annotate(
        f"SLO {slo_ms:g} ms",
        xy=(0.0, slo_ms),
        xycoords=("axes fraction", "data"),
        xytext=(3, 3),
        textcoords="offset points",
        ha="left",
        color=SLO_COLOUR,
        fontsize=9,
    )


def log_ms(axes: Axes) -> None:
    """A logarithmic axis of milliseconds with plain numbers on it."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def capacity_curve(curve: CapacityCurve) -> Figure:
    """p95 against the arrival rate per task, one line a task count, c_SLO with its interval."""
    with style():
        figure = Figure()
        axes = figure.subplots()
        for index, count in enumerate(curve.counts):
            _draw_count(axes, count, index)
        log_ms(axes)
        draw_slo(axes, curve.slo_ms)
        axes.set_xlabel("arrival rate per task (requests/s)")
        axes.set_ylabel("p95 target response time (ms)")
        axes.set_title(_capacity_title(curve))
        axes.set_xlim(0, 1.06 * _highest_rate(curve))
        axes.legend(loc="upper left")
    return figure


def _draw_count(axes: Axes, count: CountCurve, index: int) -> None:
    hue, marker = colour(index), MARKERS[index % len(MARKERS)]
    points = sorted(count.points, key=lambda point: point.rate_per_task_rps)
    rate = np.array([point.rate_per_task_rps for point in points])
    p95 = np.array([point.p95_ms for point in points])
    low = np.array([point.p95_lo_ms for point in points])
    high = np.array([point.p95_hi_ms for point in points])
    name = "1 task" if count.tasks == 1 else f"{count.tasks} tasks"
    bound = "≥ " if count.censored else ""
    label = f"{name}: c_SLO {bound}{count.c_slo_per_task_rps:.0f}/s ({count.interval})"
    axes.fill_between(rate, low, high, color=hue, alpha=0.15, linewidth=0)
    axes.plot(rate, p95, marker=marker, color=hue, label=label)
    axes.axvline(count.c_slo_per_task_rps, color=hue, linewidth=1.1, linestyle=":")
    high_rate = count.hi_per_task_rps or count.c_slo_per_task_rps
    axes.axvspan(count.lo_per_task_rps, high_rate, color=hue, alpha=0.07, linewidth=0)
    for reason, steps in _void_by_reason(count).items():
        axes.plot(
            *np.array(steps).T,
            linestyle="none",
            marker=marker,
            markerfacecolor="none",
            color=hue,
            label=f"{name}, void: {reason} ({len(steps)})",
        )


def _highest_rate(curve: CapacityCurve) -> float:
    """The highest rate per task that was driven; an interval beyond it is cut off."""
    rates = [step.rate_per_task_rps for count in curve.counts for step in count.void]
    rates += [point.rate_per_task_rps for count in curve.counts for point in count.points]
    return max(rates, default=1.0)


def _void_by_reason(count: CountCurve) -> dict[str, list[tuple[float, float]]]:
    """Rate and p95 of the void steps that have one, by the gist of their reason."""
    found: dict[str, list[tuple[float, float]]] = {}
    for step in count.void:
        if step.p95_ms is not None:
            gist = step.reason.split(":")[0]
            found.setdefault(gist, []).append((step.rate_per_task_rps, step.p95_ms))
    return found


def _capacity_title(curve: CapacityCurve) -> str:
    """The finding: where p95 leaves the SLO, per task, for each count."""
    found = []
    for count in curve.counts:
        bound = "at least " if count.censored else ""
        found.append(f"{bound}{count.c_slo_per_task_rps:.0f}/s with {count.tasks}")
    told = f"p95 leaves {curve.slo_ms:g} ms at, per task: {', '.join(found)} task(s)"
    return textwrap.fill(told, _TITLE_LETTERS)


def residuals(curve: CapacityCurve) -> Figure:
    """Slow requests of each step, measured against the queueing model: on the line it is right."""
    found = curve.model.residuals if curve.model else ()
    with style():
        figure = Figure(figsize=(7.2, 4.2))
        axes = figure.subplots()
        top = 1.15 * max([1.0, *(max(r.slow_pct, r.predicted_slow_pct) for r in found)])
        axes.plot([0, top], [0, top], color="#777777", linewidth=1.0, linestyle=":")
        axes.axvline(5.0, color=SLO_COLOUR, linewidth=1.0, linestyle="--")
        for index, tasks in enumerate(sorted({item.tasks for item in found})):
            some = [item for item in found if item.tasks == tasks]
            axes.plot(
                [item.predicted_slow_pct for item in some],
                [item.slow_pct for item in some],
                linestyle="none",
                marker=MARKERS[index % len(MARKERS)],
                color=colour(index),
                label="1 task" if tasks == 1 else f"{tasks} tasks",
            )
        axes.set_xlabel("slow requests by the queueing model (%)")
        axes.set_ylabel("slow requests measured (%)")
        axes.set_title(_residual_title(curve))
        if found:
            axes.legend(loc="upper left")
    return figure


def _residual_title(curve: CapacityCurve) -> str:
    if curve.model is None:
        return "No queueing model: too few steps with published CPU"
    if curve.model.doubt:
        return "The queueing model does not describe this service and is not used"
    gaps = [abs(r.slow_pct - r.predicted_slow_pct) for r in curve.model.residuals]
    return f"The queueing model explains the steps to {np.median(gaps):.1f} points (median)"


def response_times(load_test: LoadTest) -> Figure:
    """p50, p95 and p99 by arrival rate: CloudWatch's (which decide) against the client's."""
    frame = load_test.frame()
    counts = load_test.task_counts
    with style():
        figure = Figure(figsize=(7.2, 2.9 * len(counts) + 0.6))
        grid = figure.subplots(len(counts), 1, squeeze=False)
        for axes, tasks in zip(grid[:, 0], counts, strict=True):
            steps = frame[(frame["tasks"] == tasks) & frame["void_reason"].isna()]
            means = steps.groupby("rate_per_task_rps").median(numeric_only=True)
            for index, percentile in enumerate(("p50", "p95", "p99")):
                hue, marker = colour(index), MARKERS[index]
                axes.plot(
                    means.index,
                    means[f"trt_{percentile}_ms"],
                    color=hue,
                    marker=marker,
                    label=f"{percentile} CloudWatch",
                )
                axes.plot(
                    means.index,
                    means[f"client_{percentile}_ms"],
                    color=hue,
                    linestyle=":",
                    label=f"{percentile} client",
                )
            log_ms(axes)
            draw_slo(axes, load_test.slo_ms)
            axes.set_ylabel("response time (ms)")
            axes.set_title("1 task" if tasks == 1 else f"{tasks} tasks", fontsize=10.5)
        grid[-1, 0].set_xlabel("arrival rate per task (requests/s)")
        grid[0, 0].legend(ncols=3, loc="upper left")
        figure.suptitle(_gap_title(load_test), x=0.01, ha="left", fontweight="bold")
    return figure


def _gap_title(load_test: LoadTest) -> str:
    gaps = [step.gap_p95_ms for step in load_test.steps if step.valid and step.gap_p95_ms]
    if not gaps:
        return "CloudWatch and the client measured the same requests"
    return f"The client's p95 lies {np.median(gaps):.1f} ms above CloudWatch's (median of steps)"
