"""The figure of a verification: load, response time, tasks and alarms on one clock."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runbook.plots import colour, draw_slo, log_ms, style
from runbook.verify.analysis import Verification
from runbook.verify.timeline import AlarmTrack, Timeline

_STATE_INDEX = {"ALARM": 1, "OK": 2, "INSUFFICIENT_DATA": 4}
_STATE_HATCH = {"ALARM": "", "OK": "...", "INSUFFICIENT_DATA": "///"}
_MOMENTS = ("t1", "t2", "t3", "t4")


def verification_timeline(timeline: Timeline, verification: Verification) -> Figure:
    """Arrival rate, p95 with the SLO, tasks, alarm states; t1 to t4 marked through all."""
    tracks = _shown_tracks(timeline)
    with style():
        figure = Figure(figsize=(7.2, 7.6 + 0.26 * len(tracks)))
        rate, p95, tasks, states = figure.subplots(
            4, 1, sharex=True, height_ratios=(2.0, 2.4, 1.6, 0.4 + 0.32 * len(tracks))
        )
        _draw_rate(rate, timeline)
        _draw_p95(p95, timeline)
        _draw_tasks(tasks, timeline)
        _draw_alarms(states, timeline, tracks)
        states.set_xlabel("seconds after the load began to rise")
        for axes in (rate, p95, tasks, states):
            _mark(axes, verification, name=axes is rate)
        figure.suptitle(_title(timeline, verification), x=0.01, ha="left", fontweight="bold")
    return figure


def _title(timeline: Timeline, verification: Verification) -> str:
    if verification.verdict == "fail":
        return "The service did not keep its promise under the rising load"
    tasks = f"{verification.desired_before} to {verification.desired_peak} tasks"
    if not verification.t3_s:
        return f"{tasks}, and p95 never left {timeline.slo_ms:g} ms"
    return f"{tasks}, and p95 back under {timeline.slo_ms:g} ms after {verification.t3_s:.0f} s"


def _draw_rate(axes: Axes, timeline: Timeline) -> None:
    traffic = timeline.traffic
    seconds = [timeline.seconds(moment) + 0.5 for moment in traffic.index]
    for index, (name, line) in enumerate((("offered", "-"), ("served", "--"))):
        # Five seconds smooth the counting noise and still show a backlog.
        smooth = traffic[f"{name}_rps"].rolling(5, center=True, min_periods=1).mean()
        axes.plot(seconds, smooth, linestyle=line, color=colour((0, 3)[index]), label=name)
    axes.set_ylabel("requests/s")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower center", ncols=2)


def _draw_p95(axes: Axes, timeline: Timeline) -> None:
    half = timeline.period_s / 2
    middles = [timeline.seconds(moment) + half for moment in timeline.metrics.index]
    axes.plot(middles, timeline.metrics["trt_p95_ms"], marker="s", color=colour(1))
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


def _shown_tracks(timeline: Timeline) -> list[AlarmTrack]:
    """The alarms that were on at any time, those that scale out first."""
    alarms = timeline.alarms
    rang = set(alarms.loc[alarms["to_state"] == "ALARM", "alarm"])
    shown = [t for t in timeline.tracks if t.name in rang or t.initial_state == "ALARM"]
    return sorted(shown, key=lambda track: (track.direction != "out", track.label))


def _draw_alarms(axes: Axes, timeline: Timeline, tracks: list[AlarmTrack]) -> None:
    end = timeline.seconds(timeline.ended_at)
    seen = set()
    for row, track in enumerate(tracks):
        changes = timeline.alarms[timeline.alarms["alarm"] == track.name]
        moments = [timeline.seconds(moment) for moment in changes.index]
        begins = [timeline.seconds(timeline.started_at), *moments]
        states = [track.initial_state, *changes["to_state"]]
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
    axes.set_yticks(range(len(tracks)))
    axes.set_yticklabels([track.label for track in tracks], fontsize=8.5)
    axes.set_ylabel("alarms")
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    if tracks:
        handles, labels = axes.get_legend_handles_labels()
        axes.figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8.5)


def _mark(axes: Axes, verification: Verification, *, name: bool) -> None:
    """Vertical lines at the moments that came; names at two heights, as some lie close."""
    for index, moment in enumerate(_MOMENTS):
        at = getattr(verification, f"{moment}_s")
        if at is None or pd.isna(at) or (moment == "t3" and at == 0):
            continue
        axes.axvline(at, color="0.35", linewidth=0.9, linestyle=":")
        if name:
            axes.annotate(
                moment,
                xy=(at, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(2, -10 - 12 * (index % 2)),
                textcoords="offset points",
                fontsize=9,
                color="0.25",
            )
