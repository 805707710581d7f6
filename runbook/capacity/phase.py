"""One phase of a load test: a continuous run of the driver, each step one metric period."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from runbook.capacity.measured import MeasuredStep
from runbook.capacity.plan import ExperimentPlan
from runbook.capacity.rig import Rig
from runbook.load.measurement import StepStats
from runbook.load.recording import DriverRun
from runbook.load.schedule import Segment, constant, steps
from runbook.load.validity import StepConditions, void_reason

_LEAD_S = 1.5
_WARM_UP_S = 2.0
_METRICS_POLL_S = 0.5
#: Arrivals that wait for an answer beyond this many seconds of load end a phase at once.
_HARM_BACKLOG_S = 3.0


@dataclass(frozen=True)
class PhaseRunner:
    """Drives phases and joins the driver's steps with CloudWatch's numbers.

    `say(phase, message)` is told what happens.
    """

    rig: Rig
    plan: ExperimentPlan
    out_dir: Path
    say: Callable[[str, str], None]

    def run(
        self, name: str, tasks: int, phase: str, rates: Sequence[float], seed: int
    ) -> list[MeasuredStep]:
        """Drive rising total rates back-to-back; the steps that were completed are returned.

        A warm-up fills the time up to the first period's boundary. Recordings go to a folder
        called `name`.
        """
        period_s = self.rig.facts.period_s
        boundary = _next_boundary(self.rig.now() + _LEAD_S + _WARM_UP_S, period_s)
        start = min(self.rig.now() + _LEAD_S, boundary - _WARM_UP_S)
        warm_up = constant(min(rates[0], 10.0 * tasks), boundary - start, "warm-up")
        segments = (*warm_up, *steps(rates, period_s))

        def say(rate_rps: float) -> None:
            self.say(phase, f"{tasks} task(s), {phase}: {rate_rps:.0f} requests/s")

        run = self.rig.drive(
            segments,
            seed=seed,
            start_at_epoch_s=start,
            folder=self.out_dir / "raw" / name,
            on_event=_Watch(self.plan, segments, say).see,
        )
        whole = [step for step in run.steps[1:] if step.end_s - step.start_s > 0.99 * period_s]
        return self._join(tasks, phase, run, whole, boundary)

    def _join(
        self,
        tasks: int,
        phase: str,
        run: DriverRun,
        whole: Sequence[StepStats],
        boundary: float,
    ) -> list[MeasuredStep]:
        """The driver's steps with CloudWatch's numbers of the same periods."""
        starts = [boundary + number * self.rig.facts.period_s for number in range(len(whole))]
        frame = self._wait_for_metrics(starts)
        raw_file = run.raw_path.relative_to(self.out_dir).as_posix()
        return [
            self._measured(tasks, phase, run.plan.seed, client, raw_file, start, frame)
            for client, start in zip(whole, starts, strict=True)
        ]

    def _wait_for_metrics(self, starts: Sequence[float]) -> pd.DataFrame:
        period_s = self.rig.facts.period_s
        if not starts:
            return pd.DataFrame()
        begin, end = _utc(starts[0]), _utc(starts[-1] + period_s)
        settled = starts[-1] + period_s + self.rig.facts.settle_s
        give_up = settled + max(3.0 * period_s, 15.0)
        while True:
            if self.rig.now() >= settled:
                frame = self.rig.metrics(begin, end)
                last = frame.loc[frame.index == end - pd.Timedelta(seconds=period_s)]
                if len(last) and last[["requests", "trt_p95_ms", "cpu_pct"]].notna().all(axis=None):
                    return frame
                if self.rig.now() > give_up:
                    return frame
            self.say("metrics", "waiting for CloudWatch")
            self.rig.sleep(_METRICS_POLL_S)

    def _measured(
        self,
        tasks: int,
        phase: str,
        seed: int,
        client: StepStats,
        raw_file: str,
        start: float,
        frame: pd.DataFrame,
    ) -> MeasuredStep:
        rows = frame.loc[frame.index == _utc(start)] if len(frame) else frame
        row = rows.iloc[0] if len(rows) else pd.Series(dtype=float)

        def value(column: str) -> float | None:
            number = row.get(column)
            return None if number is None or math.isnan(number) else float(number)

        busy = value("host_busy_cores")
        reason = void_reason(
            StepConditions(
                slo_ms=self.plan.slo_ms,
                p95_ms=value("trt_p95_ms"),
                requests=client.requests,
                failures=client.failures,
                offered_rps=client.offered_rps,
                achieved_rps=client.achieved_rps,
                driver_lag_p99_ms=client.lag_p99_ms,
                host_busy_cores=client.host_busy_cores if busy is None else busy,
                host_cores=self.rig.facts.host_cores,
                throttled_pct=value("throttled_pct"),
                served=client.served_rps * (client.end_s - client.start_s),
                balancer_requests=value("requests"),
            ),
            self.plan.limits,
        )
        return MeasuredStep(
            tasks=tasks,
            phase=phase,
            seed=seed,
            started_at=_utc(start),
            rate_rps=client.rate_rps,
            client=client,
            raw_file=raw_file,
            trt_p50_ms=value("trt_p50_ms"),
            trt_p95_ms=value("trt_p95_ms"),
            trt_p99_ms=value("trt_p99_ms"),
            requests=value("requests"),
            cpu_pct=value("cpu_pct"),
            throttled_pct=value("throttled_pct"),
            host_busy_cores=client.host_busy_cores if busy is None else busy,
            void_reason=reason,
        )


@dataclass
class _Watch:
    """Follows a phase and ends it before it does harm. Segment 0 is the warm-up."""

    plan: ExperimentPlan
    segments: Sequence[Segment]
    say: Callable[[float], None]
    slow_steps: int = 0

    def see(self, event: dict[str, Any]) -> bool:
        """Whether the driver is to stop after this event of its."""
        if event["event"] == "tick":
            rate_rps = self._rate_at(event["elapsed_s"])
            self.say(rate_rps)
            return bool(event["outstanding"] > max(50.0, _HARM_BACKLOG_S * rate_rps))
        if event["event"] == "step" and event["step"] > 0 and event["p95_ms"] is not None:
            times_slo = event["p95_ms"] / self.plan.slo_ms
            self.slow_steps += times_slo > self.plan.stop_factor
            # One slow step may be chance, and cut the sweep off below the knee.
            return bool(self.slow_steps >= 2 or times_slo > self.plan.harm_factor)
        return False

    def _rate_at(self, elapsed_s: float) -> float:
        for segment in self.segments:
            if elapsed_s < segment.duration_s:
                return segment.mean_rps
            elapsed_s -= segment.duration_s
        return self.segments[-1].mean_rps


def _next_boundary(at_epoch_s: float, period_s: int) -> float:
    return math.ceil(at_epoch_s / period_s) * float(period_s)


def _utc(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)
