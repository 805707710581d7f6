"""The figure of a verification: load, response time, tasks and alarms on one clock."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runbook.plots import colour, draw_slo, log_ms, style
from runbook.verify.analysis import Verification
from runbook.verify.timeline import Timeline

_STATE_INDEX = {"ALARM": 1, "OK": 2, "INSUFFICIENT_DATA": 4}
_STATE_HATCH = {"ALARM": "", "OK": "...", "INSUFFICIENT_DATA": "///"}
_MOMENTS = ("t1", "t2", "t3", "t4")


def verification_timeline(timeline: Timeline, verification: Verification) -> Figure:
    """Arrival rate, p95 with the SLO, tasks, alarm states; t1 to t4 marked through all."""
    alarms = _shown_alarms(timeline)
    with style():
        figure = Figure(figsize=(7.2, 7.2 + 0.22 * len(alarms)))
        rate, p95, tasks, states = figure.subplots(
            4, 1, sharex=True, height_ratios=(2.0, 2.4, 1.6, 0.5 + 0.3 * len(alarms))
        )
        _draw_rate(rate, timeline)
        _draw_p95(p95, timeline)
        _draw_tasks(tasks, timeline)
        _draw_alarms(states, timeline, alarms)
        states.set_xlabel("seconds after the load began to rise")
        for axes in (rate, p95, tasks, states):
            _mark(axes, verification, name=axes is rate)
        figure.suptitle(_title(timeline, verification), x=0.01, ha="left", fontweight="bold")
    return figure


def _title(timeline: Timeline, verification: Verification) -> str:
    if verification.verdict == "fail":
        return "The service did not keep its promise under the rising load"
    return (
        f"{verification.desired_before} to {verification.desired_peak} tasks, "
        f"and p95 back under {timeline.slo_ms:g} ms while the load was high"
    )


def _middles(timeline: Timeline) -> list[float]:
    half = timeline.period_s / 2
    return [timeline.seconds(moment) + half for moment in timeline.metrics.index]


def _draw_rate(axes: Axes, timeline: Timeline) -> None:
    axes.plot(_middles(timeline), timeline.metrics["rate_rps"], marker="o", color=colour(0))
    axes.set_ylabel("requests/s")
    axes.set_ylim(bottom=0)


def _draw_p95(axes: Axes, timeline: Timeline) -> None:
    axes.plot(_middles(timeline), timeline.metrics["trt_p95_ms"], marker="s", color=colour(1))
    log_ms(axes)
    draw_slo(axes, timeline.slo_ms)
    axes.set_ylabel("p95 (ms)")


def _draw_tasks(axes: Axes, timeline: Timeline) -> None:
    seconds = [timeline.seconds(moment) for moment in timeline.counts.index]
    for index, (name, line) in enumerate((("desired", "--"), ("healthy", "-"))):
        axes.step(
            seconds,
            timeline.counts[name],
            where="post",
            linestyle=line,
            color=colour((5, 2)[index]),
            label=name,
        )
    axes.set_ylabel("tasks")
    axes.set_ylim(0, float(timeline.counts["desired"].max()) + 0.6)
    axes.legend(loc="upper left", ncols=2)


def _shown_alarms(timeline: Timeline) -> list[str]:
    """The alarms that changed state, those that scale out first."""
    changed = set(timeline.alarms["alarm"])
    return sorted(changed, key=lambda name: (timeline.directions.get(name) != "out", name))


def _short(name: str, direction: str) -> str:
    """A name that fits beside a bar: what is measured, and what the alarm makes happen."""
    for word, label in (("Requests", "requests"), ("Cpu", "CPU"), ("Memory", "memory")):
        if word.lower() in name.lower():
            return f"{label} ({direction})"
    return f"p95 step ({direction})" if "step" in name.lower() else name[-18:]


def _draw_alarms(axes: Axes, timeline: Timeline, alarms: list[str]) -> None:
    end = timeline.seconds(timeline.ended_at)
    seen = set()
    for row, name in enumerate(alarms):
        changes = timeline.alarms[timeline.alarms["alarm"] == name]
        moments = [timeline.seconds(moment) for moment in changes.index]
        begins = [timeline.seconds(timeline.started_at), *moments]
        states = [changes["from_state"].iloc[0], *changes["to_state"]]
        for start, stop, state in zip(begins, [*moments, end], states, strict=True):
            axes.barh(
                row,
                stop - start,
                left=start,
                height=0.6,
                color=colour(_STATE_INDEX.get(state, 6)),
                alpha=0.9 if state == "ALARM" else 0.3,
                hatch=_STATE_HATCH.get(state),
                edgecolor="white",
                label=None if state in seen else state.lower().replace("_", " "),
            )
            seen.add(state)
    axes.set_yticks(range(len(alarms)))
    axes.set_yticklabels([_short(n, timeline.directions.get(n, "?")) for n in alarms], fontsize=8.5)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    if alarms:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.45), ncols=3)


def _mark(axes: Axes, verification: Verification, *, name: bool) -> None:
    for moment in _MOMENTS:
        at = getattr(verification, f"{moment}_s")
        if at is None or pd.isna(at):
            continue
        axes.axvline(at, color="0.35", linewidth=0.9, linestyle=":")
        if name:
            axes.annotate(
                moment,
                xy=(at, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(2, -10),
                textcoords="offset points",
                fontsize=9,
                color="0.25",
            )
