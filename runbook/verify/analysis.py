"""From a timeline to the verdict. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pandas as pd

from runbook.load.validity import Limits
from runbook.verify.timeline import Timeline


@dataclass(frozen=True)
class Verification:
    """What happened, in seconds after the load began to rise; None: it did not happen.

    `problems`: promises that were broken. `story`: what came, in order. `doubts`: what may have
    been the machine's doing.
    `t1_s`: the first alarm that scales out went off. `scaled_out_s`: the desired count rose.
    `t2_s`: all tasks that were asked for answered. `t3_s`: the end of the first metric period
    from which on p95 was within the SLO (0 when it never left it). `fall_s`: the load fell.
    `t4_s`: the desired count fell. Periods in which the host was the limit do not count.
    """

    problems: tuple[str, ...]
    story: tuple[str, ...]
    doubts: tuple[str, ...]
    t1_s: float | None
    scaled_out_s: float | None
    t2_s: float | None
    t3_s: float | None
    fall_s: float
    t4_s: float | None
    desired_before: int
    desired_peak: int
    desired_after: int
    worst_p95_ms: float | None
    alarm: str
    compression: str

    @property
    def verdict(self) -> Literal["pass", "fail"]:
        """`fail` when any promise was broken."""
        return "fail" if self.problems else "pass"

    def frame(self) -> pd.DataFrame:
        """One row an event: event, after_s (seconds after the rise began), what."""
        moved = f"desired count rises from {self.desired_before}, in the end to {self.desired_peak}"
        fell = f"desired count {self.desired_peak} -> {self.desired_after}"
        worst = "" if self.worst_p95_ms is None else f", worst period {self.worst_p95_ms:.0f} ms"
        rows = [
            ("t1: alarm", self.t1_s, self.alarm or "no alarm went off"),
            ("scale-out", self.scaled_out_s, moved),
            ("t2: tasks answer", self.t2_s, f"{self.desired_peak} tasks healthy"),
            ("t3: p95 back", self.t3_s, f"p95 within the SLO for good{worst}"),
            ("load falls", self.fall_s, "back to the base load"),
            ("t4: scale-in", self.t4_s, fell),
        ]
        return pd.DataFrame(rows, columns=["event", "after_s", "what"])


def analyse(timeline: Timeline, *, allowed_failures: int = 0) -> Verification:
    """Judge a timeline: did the alarm, the tasks, the response time and the scale-in come."""
    seen = _Events(timeline)
    problems = list(seen.problems())
    failures = sum(timeline.failures.values())
    if failures > allowed_failures:
        kinds = ", ".join(f"{count} {kind}" for kind, count in timeline.failures.items())
        problems.append(f"{failures} of {timeline.requests} requests failed: {kinds}")
    return Verification(
        problems=tuple(problems),
        story=tuple(seen.story()),
        doubts=tuple(seen.doubts()),
        t1_s=seen.after_rise(seen.alarm_at),
        scaled_out_s=seen.after_rise(seen.scaled_out_at),
        t2_s=seen.after_rise(seen.answering_at),
        t3_s=seen.back_s,
        fall_s=(timeline.fall_at - timeline.rise_at).total_seconds(),
        t4_s=seen.after_rise(seen.scaled_in_at),
        desired_before=seen.before,
        desired_peak=seen.peak,
        desired_after=seen.after,
        worst_p95_ms=seen.worst_p95_ms,
        alarm=seen.alarm,
        compression=_compression(timeline),
    )


class _Events:
    """The moments of a timeline."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        counts = timeline.counts
        before = counts.loc[counts.index <= timeline.rise_at, "desired"]
        risen = counts.loc[counts.index > timeline.rise_at]
        self.before = int(before.iloc[-1] if len(before) else counts["desired"].iloc[0])
        self.peak = int(risen["desired"].max()) if len(risen) else self.before
        self.after = int(counts["desired"].iloc[-1])
        self.scaled_out_at = _first(risen["desired"] > self.before)
        self.answering_at = (
            _first((risen["healthy"] >= self.peak) & (risen["desired"] >= self.peak))
            if self.peak > self.before
            else None
        )
        fallen = counts.loc[counts.index > timeline.fall_at]
        self.scaled_in_at = _first(fallen["desired"] < self.peak)
        self.alarm_at, self.alarm = self._alarm()
        self._response_time()

    def _alarm(self) -> tuple[datetime | None, str]:
        """The first alarm that scales out to go off while the load was up."""
        labels = {t.name: t.label for t in self.timeline.tracks if t.direction == "out"}
        history = self.timeline.alarms
        hits = history.loc[
            (history.index > self.timeline.rise_at)
            & (history.index <= self.timeline.fall_at)
            & (history["to_state"] == "ALARM")
            & history["alarm"].isin(list(labels))
        ]
        if hits.empty:
            return None, ""
        return hits.index[0].to_pydatetime(), labels[str(hits["alarm"].iloc[0])]

    def _response_time(self) -> None:
        """When CloudWatch showed p95 within the SLO for good, by whole metric periods."""
        line = self.timeline
        rows = line.metrics.loc[line.metrics.index >= pd.Timestamp(line.rise_at)]
        rows = rows.loc[rows["trt_p95_ms"].notna()]
        beyond = rows["trt_p95_ms"] > line.slo_ms
        host = beyond & _host_was_the_limit(rows, line.host_cores)
        p95, over = rows["trt_p95_ms"].loc[~host], rows["trt_p95_ms"].loc[beyond & ~host]
        self.periods_of_host = int(host.sum())
        self.worst_p95_ms = float(p95.max()) if len(p95) else None
        self.periods_over = len(over)
        self.over_at_end = self.left_again = False
        self.back_s: float | None = 0.0 if len(p95) else None
        if len(over):
            period = pd.Timedelta(seconds=line.period_s)
            # The period after the last slow one is the first that shows it.
            shown = over.index[-1] + 2 * period
            fall = pd.Timestamp(line.fall_at)
            self.left_again = bool(over.index[-1] >= fall)
            self.over_at_end = not self.left_again and bool(shown > fall)
            late = self.left_again or self.over_at_end
            self.back_s = None if late else self.after_rise(shown.to_pydatetime())

    def after_rise(self, moment: datetime | None) -> float | None:
        """Seconds after the load began to rise."""
        return None if moment is None else (moment - self.timeline.rise_at).total_seconds()

    def problems(self) -> list[str]:
        """What should have happened and did not."""
        line = self.timeline
        found = []
        if self.alarm_at is None:
            found.append("no alarm that scales out went off while the load was up")
        if self.peak < line.tasks_needed:
            found.append(
                f"the desired count rose to {self.peak} only, {line.tasks_needed} were needed"
            )
        if self.peak > self.before and self.answering_at is None:
            found.append(f"{self.peak} tasks were asked for and never all healthy")
        if self.worst_p95_ms is None:
            found.append("CloudWatch published no response time")
        elif self.over_at_end:
            found.append(f"p95 did not come back under {line.slo_ms:g} ms under the full load")
        elif self.left_again:
            found.append(f"p95 left {line.slo_ms:g} ms again after the load had fallen")
        if self.peak > self.before and self.scaled_in_at is None:
            found.append("the service did not scale in after the load had fallen")
        return found

    def story(self) -> list[str]:
        """What did happen, in order."""
        told = []
        if self.alarm_at is not None:
            told.append(f"{self.after_rise(self.alarm_at):.0f} s: alarm {self.alarm!r} went off")
        if self.scaled_out_at is not None:
            told.append(
                f"{self.after_rise(self.scaled_out_at):.0f} s: desired count rose from "
                f"{self.before}, up to {self.peak}"
            )
        if self.answering_at is not None:
            told.append(f"{self.after_rise(self.answering_at):.0f} s: {self.peak} tasks answered")
        if self.worst_p95_ms is not None and not self.periods_over:
            told.append(f"p95 never left {self.timeline.slo_ms:g} ms")
        elif self.back_s is not None:
            told.append(
                f"{self.back_s:.0f} s: p95 was back under {self.timeline.slo_ms:g} ms after "
                f"{self.periods_over} period(s) over it, the worst {self.worst_p95_ms:.0f} ms"
            )
        if self.scaled_in_at is not None:
            since = (self.scaled_in_at - self.timeline.fall_at).total_seconds()
            told.append(f"scaled in {since:.0f} s after the load had fallen, to {self.after}")
        return told

    def doubts(self) -> list[str]:
        """What may have been the machine's doing, not the service's."""
        line, limits = self.timeline, Limits()
        found = []
        allowed_ms = limits.lag_share_of_slo * line.slo_ms
        if line.driver_lag_p99_ms > allowed_ms:
            found.append(f"the driver was late: p99 {line.driver_lag_p99_ms:.1f} ms")
        if self.periods_of_host:
            found.append(
                f"{self.periods_of_host} period(s) over the SLO do not count: the host was the "
                f"limit, with more than {limits.busy_fraction * line.host_cores:.2f} cores busy or "
                f"fewer than {limits.quiet_throttle_pct:g} % throttled CPU periods"
            )
        return found


def _host_was_the_limit(rows: pd.DataFrame, cores: int) -> pd.Series[bool]:
    """Periods whose response time says nothing of the service, by the rules of a load step."""
    limits = Limits()
    busy = rows["host_busy_cores"] > limits.busy_fraction * cores
    return busy | (rows["throttled_pct"] < limits.quiet_throttle_pct)


def _first(condition: pd.Series[bool]) -> datetime | None:
    hits = condition.index[condition]
    return hits[0].to_pydatetime() if len(hits) else None


def _compression(timeline: Timeline) -> str:
    facts = timeline.compression
    if not facts:
        return f"times are real; metric period {timeline.period_s} s"
    return (
        f"time is compressed here and these are no AWS timings: metric period "
        f"{facts.get('metric_period_s')} s (AWS {facts.get('aws_metric_period_s')} s), scale-out "
        f"alarm after {facts.get('alarm_high_periods')} periods (AWS "
        f"{facts.get('aws_alarm_high_periods')}), scale-in alarm after "
        f"{facts.get('alarm_low_periods')} (AWS {facts.get('aws_alarm_low_periods')})"
    )
