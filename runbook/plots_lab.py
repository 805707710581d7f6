"""The figures of the policy lab: what policies cost against what they keep, and a day of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from runbook.lab.history import History
from runbook.lab.outcome import Outcome
from runbook.lab.service import ServiceModel
from runbook.plots import MARKERS, SLO_COLOUR, colour, style

_DAY_S = 86_400
_LEAST_PCT = 0.005


def comparison(outcomes: Sequence[Outcome], name: str, budget_pct: float = 0.5) -> Figure:
    """Task-hours over the oracle's against the share of violating requests, a point a policy."""
    with style():
        figure = Figure(figsize=(7.2, 5.0))
        axes = figure.subplots()
        for index, item in enumerate(outcomes):
            x = item.over_oracle
            y = max(item.violating_requests_pct, _LEAST_PCT)
            hue = colour(index)
            least, most = item.unknown_range.get("violating_requests_pct", (y, y))
            least, most = max(least, _LEAST_PCT), max(most, _LEAST_PCT)
            axes.plot([x, x], [least, most], color=hue, linewidth=4.0, alpha=0.2)
            low, high = item.intervals.get("violating_requests_pct", (y, y))
            low, high = max(low, _LEAST_PCT), max(high, _LEAST_PCT)
            axes.plot([x, x], [low, high], color=hue, linewidth=1.2, alpha=0.7)
            marker = MARKERS[(index // 7 + index) % len(MARKERS)]
            label = f"{item.name}: {item.violating_requests_pct:.2f} %, {x:.2f}x"
            axes.plot(x, y, marker=marker, color=hue, linestyle="none", label=label)
        axes.set_yscale("log")
        # Room for the budget's line also where every policy stays far below it.
        axes.set_ylim(_LEAST_PCT * 0.7, max(2.0 * budget_pct, axes.get_ylim()[1]))
        axes.axhline(budget_pct, color=SLO_COLOUR, linestyle="--", linewidth=1.3)
        # Beside the axes: within them it would lie on some policy's range.
        axes.annotate(
            f"budget\n{budget_pct:g} %",
            xy=(1.0, budget_pct),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            ha="left",
            va="center",
            color=SLO_COLOUR,
            fontsize=9,
        )
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel("task-hours, times the clairvoyant oracle's")
        axes.set_ylabel("requests in minutes with\np95 over the SLO (%)")
        axes.set_title(_comparison_title(outcomes, name, budget_pct))
        figure.legend(loc="outside lower center", ncols=2, fontsize=8.5)
    return figure


def _comparison_title(outcomes: Sequence[Outcome], name: str, budget_pct: float) -> str:
    within = [item for item in outcomes if item.violating_requests_pct <= budget_pct]
    if not within:
        return f"{name}: none of {len(outcomes)} policies keeps {budget_pct:g} %"
    best = min(within, key=lambda item: item.task_hours)
    return f"{best.name} keeps {budget_pct:g} % with the fewest task-hours"


def day(
    history: History,
    service: ServiceModel,
    traces: Sequence[tuple[str, NDArray[np.int32]]],
    tick_s: int,
) -> Figure:
    """The busiest day: tasks of each policy beside what the oracle needs."""
    per_day = _DAY_S // tick_s
    ticks = min(len(trace) for _, trace in traces)
    rate = history.rates(tick_s, 0, ticks)
    needed = service.needed(rate)
    busiest = int(np.argmax(rate))
    first = max(0, min(busiest - per_day // 2, ticks - per_day))
    last = min(ticks, first + per_day)
    hours = np.arange(last - first) * tick_s / 3600.0
    with style():
        figure = Figure(figsize=(7.2, 4.6))
        top, axes = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
        top.plot(hours, rate[first:last], color=colour(6), linewidth=1.2)
        top.set_ylabel("requests/s")
        axes.fill_between(
            hours, needed[first:last], step="post", color="#bbbbbb", linewidth=0, label="oracle"
        )
        lines = ("-", "--", ":", "-.")
        for index, (name, trace) in enumerate(traces):
            axes.step(
                hours,
                trace[first:last, 2],
                where="post",
                linestyle=lines[index % len(lines)],
                color=colour(index),
                linewidth=1.4,
                label=name,
            )
        axes.set_ylabel("serving tasks")
        axes.set_xlabel("hours")
        axes.legend(loc="upper left", ncols=2)
        short = [
            100.0 * float((trace[first:last, 2] < needed[first:last]).mean()) for _, trace in traces
        ]
        told = ", ".join(
            f"{name} {share:.1f} %" for (name, _), share in zip(traces[:2], short, strict=False)
        )
        figure.suptitle(
            f"Short of tasks on the busiest day: {told}", x=0.01, ha="left", fontweight="bold"
        )
    return figure
