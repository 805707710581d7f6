"""One phase of a load test: a continuous run of the driver, each step one metric period."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from runbook.capacity.measured import MeasuredStep
from runbook.capacity.plan import ExperimentPlan
from runbook.capacity.rig import Rig
from runbook.capacity.sample import OUTSIDE_SLO, Sample, take_sample
from runbook.load.connection import FAILURE_NAMES, UNFINISHED
from runbook.load.measurement import RawLoad, StepStats
from runbook.load.plan import LoadPlan
from runbook.load.recording import DriverRun
from runbook.load.run import START_UP_S
from runbook.load.schedule import Segment, constant, steps
from runbook.load.validity import StepConditions, void_reason

_WARM_UP_S = 2.0
_METRICS_POLL_S = 0.5
#: Arrivals that wait for an answer beyond this many seconds of load end a phase at once; so
#: does this share of the driver's connections, which is all that it can let wait.
_HARM_BACKLOG_S, _HARM_CONNECTIONS = 3.0, 0.9
#: Nobody answered for this many seconds although this many arrivals wait: nobody is there.
_SILENCE_S, _SILENCE_WAITING = 3.0, 5
#: So few failures are chance, whatever share of a young step they are.
_CHANCE_FAILURES = 3


@dataclass(frozen=True)
class Stop:
    """Why a phase ended early, and at which total rate; `harm`: nothing as high may follow."""

    rate_rps: float
    why: str
    harm: bool


@dataclass(frozen=True)
class Phase:
    """The steps of a phase that were completed; `stop` is None when that are all of them."""

    steps: list[MeasuredStep]
    stop: Stop | None = None


@dataclass(frozen=True)
class PhaseRunner:
    """Drives phases and joins the driver's steps with CloudWatch's numbers.

    `say(phase, message)` is told what happens.
    """

    rig: Rig
    plan: ExperimentPlan
    out_dir: Path
    say: Callable[[str, str], None]

    def run(self, name: str, tasks: int, phase: str, rates: Sequence[float], seed: int) -> Phase:
        """Drive rising total rates back-to-back, until one of them would do harm.

        A warm-up fills the time up to the first period's boundary. Recordings go to a folder
        called `name`.
        """
        period_s = self.rig.facts.period_s
        ready = self.rig.now() + START_UP_S[self.plan.driver]
        boundary = _next_boundary(ready + _WARM_UP_S, period_s)
        start = min(ready, boundary - _WARM_UP_S)
        warm_up = constant(min(rates[0], 10.0 * tasks), boundary - start, "warm-up")
        segments = (*warm_up, *steps(rates, period_s))

        def say(rate_rps: float) -> None:
            self.say(phase, f"{tasks} task(s), {phase}: {rate_rps:.0f} requests/s")

        watch = Watch(self.plan, segments, say)
        run = self.rig.drive(
            segments,
            seed=seed,
            start_at_epoch_s=start,
            folder=self.out_dir / "raw" / name,
            on_event=watch.see,
        )
        whole = [step for step in run.steps[1:] if step.end_s - step.start_s > 0.99 * period_s]
        return Phase(self._join(tasks, phase, run, whole, boundary), watch.stop)

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
        raw = run.raw()
        return [
            self._judged(
                self._measured(tasks, phase, run.plan.seed, client, raw_file, start, frame), raw
            )
            for client, start in zip(whole, starts, strict=True)
        ]

    def sample(self, step: MeasuredStep, raw: RawLoad) -> Sample:
        """What counts of a step, from the recording of its phase."""
        return take_sample(
            step,
            raw,
            slo_ms=self.plan.slo_ms,
            share_cores=self.rig.facts.task_cpu / 1024.0,
            period_s=self.rig.facts.period_s,
            route_classes=self.plan.route_classes,
        )

    def _judged(self, step: MeasuredStep, raw: RawLoad) -> MeasuredStep:
        """The step, told if too much of it was disturbed: then it is driven once more.

        Nothing more is decided here: what is seen to recur in the end counts after all.
        """
        return replace(step, disturbance=self.sample(step, raw).void) if step.valid else step

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
class Watch:
    """Follows a phase and ends it before it does harm; `stop` says why. Segment 0 is warm-up.

    A service can be harmed without its response time showing it: a refusal is quick, and what
    is never answered has no response time. So failures, silence and the backlog count too.
    """

    plan: ExperimentPlan
    segments: Sequence[Segment]
    say: Callable[[float], None]
    stop: Stop | None = None
    slow_steps: int = 0
    # At the beginning of the step that is being driven: requests sent and failed until then.
    _step: int = 0
    _sent_before: int = 0
    _failed_before: int = 0
    _answered: int = 0
    _answered_at_s: float = 0.0

    def see(self, event: dict[str, Any]) -> bool:
        """Whether the driver is to stop after this event of its."""
        if event["event"] == "tick":
            self._see_tick(event)
        elif event["event"] == "step" and event["step"] > 0:
            self._see_step(event)
        return self.stop is not None

    def _see_tick(self, event: dict[str, Any]) -> None:
        elapsed_s, waiting = event["elapsed_s"], event["outstanding"]
        step, rate_rps = self._at(elapsed_s)
        self.say(rate_rps)
        if step != self._step:
            self._step = step
            self._sent_before, self._failed_before = event["sent"], event["failures"]
        answered = event["sent"] - waiting - event["failures"]
        if answered > self._answered:
            self._answered, self._answered_at_s = answered, elapsed_s
        failed = event["failures"] - self._failed_before
        sent = event["sent"] - self._sent_before
        most = min(
            max(50.0, _HARM_BACKLOG_S * rate_rps), _HARM_CONNECTIONS * LoadPlan.max_connections
        )
        # In the warm-up it is not the rate that does harm: tasks may just have been replaced.
        harm = step > 0
        if self._too_many(failed, sent):
            self._end(rate_rps, f"{failed} of {sent} requests failed", harm=harm)
        elif waiting > most:
            self._end(rate_rps, f"{waiting} requests were waiting for an answer", harm=harm)
        elif waiting >= _SILENCE_WAITING and elapsed_s - self._answered_at_s > _SILENCE_S:
            self._end(rate_rps, f"nothing was answered for {_SILENCE_S:g} s", harm=harm)

    def _see_step(self, event: dict[str, Any]) -> None:
        rate_rps, requests = self.segments[event["step"]].mean_rps, event["requests"]
        p95_ms = slo_p95_ms(event)
        if self._too_many(event["failures"], requests):
            # Whoever waits when a step ends counts here, and may be answered yet.
            waited = event.get("failure_kinds", {}).get(FAILURE_NAMES[UNFINISHED], 0)
            what = "failed or had no answer at the step's end" if waited else "failed"
            self._end(rate_rps, f"{event['failures']} of {requests} requests {what}", harm=True)
        elif p95_ms is None:
            if requests:
                self._end(rate_rps, f"none of {requests} requests was answered", harm=True)
        elif p95_ms > self.plan.harm_factor * self.plan.slo_ms:
            self._end(rate_rps, f"p95 was {p95_ms:.0f} ms", harm=False)
        elif p95_ms > self.plan.stop_factor * self.plan.slo_ms:
            # One slow step may be chance, and cut the sweep off below the knee.
            self.slow_steps += 1
            if self.slow_steps >= 2:
                self._end(rate_rps, f"p95 was {p95_ms:.0f} ms, a second step so slow", harm=False)

    def _too_many(self, failed: int, sent: int) -> bool:
        return failed > max(_CHANCE_FAILURES, self.plan.harm_failures_pct / 100.0 * sent)

    def _end(self, rate_rps: float, why: str, *, harm: bool) -> None:
        # The driver goes on for a moment after it was told to stop: the first reason stays.
        self.stop = self.stop or Stop(rate_rps, why, harm)

    def _at(self, elapsed_s: float) -> tuple[int, float]:
        """The segment at a time, and its rate."""
        for number, segment in enumerate(self.segments):
            if elapsed_s < segment.duration_s:
                return number, segment.mean_rps
            elapsed_s -= segment.duration_s
        return len(self.segments) - 1, self.segments[-1].mean_rps


def slo_p95_ms(step: Mapping[str, Any]) -> float | None:
    """The worst p95 of the route classes that the SLO is on; None when nothing was timed."""
    classes = {name: of["p95_ms"] for name, of in step["by_class"].items() if name != OUTSIDE_SLO}
    known = [value for value in classes.values() if value is not None]
    # Where nothing but credentials is asked, they are all there is to go by.
    return max(known) if known else None if classes else step["p95_ms"]


def _next_boundary(at_epoch_s: float, period_s: int) -> float:
    return math.ceil(at_epoch_s / period_s) * float(period_s)


def _utc(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)
