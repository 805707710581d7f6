"""A step's requests that count: on CloudWatch's level, without warm-up, disturbance, passwords."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from runbook.capacity.crossing import StepBlocks, blocks
from runbook.capacity.disturbance import MOST, Disturbed, Observed, find_disturbed
from runbook.capacity.measured import DISTURBED, LoadTest, MeasuredStep
from runbook.capacity.stationarity import judge
from runbook.load.kinds import RouteClass
from runbook.load.measurement import RawLoad, percentile_ms

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: The SLO is on p95: this share of requests may be slower.
ALLOWED_SLOW_SHARE = 0.05
#: Hashing a password is slow by design: the SLO is on the other route classes.
OUTSIDE_SLO: RouteClass = "credential"
#: A metric period has so many blocks of time, and a step with fewer is too short to say how
#: sure it is.
BLOCKS_PER_PERIOD = MIN_BLOCKS = 20
#: More than this share of the steps, and more than this many, are no accident.
RECURRING, _FEW = 0.25, 2
#: What came before a step is simulated too: it begins with the backlog that it really had.
LEAD_IN_S = 5.0


@dataclass(frozen=True)
class Sample:
    """A step's requests that count, with latencies on CloudWatch's level.

    `arrivals_s` are all arrivals of the step and shortly before it, whether they count or not,
    from the step's start; `counted` tells which count, and `latency_ms` has one entry for each
    of those. `dropped` are the spans (start, end; seconds) that are left out; `note` says why,
    and what else is not steady. `void` says why the step does not count at all, "" if it does.
    `disturbed`: something else than its load made requests slow in it.
    """

    step: MeasuredStep
    arrivals_s: Floats
    counted: Bools
    latency_ms: Floats
    duration_s: float
    dropped: tuple[tuple[float, float], ...] = ()
    note: str = ""
    void: str = ""
    disturbed: bool = False

    @property
    def kept_s(self) -> float:
        """How many seconds of the step count."""
        return self.duration_s - sum(end - start for start, end in self.dropped)

    @property
    def block_count(self) -> int:
        """Into how many blocks of time the step is cut."""
        return max(round(BLOCKS_PER_PERIOD * self.kept_s / self.duration_s), 1)

    @property
    def block_of(self) -> NDArray[np.intp]:
        """The block of each request that counts; the spans left out take no time."""
        at_s = self.arrivals_s[self.counted]
        gone_s = sum((np.clip(at_s, start, end) - start for start, end in self.dropped), 0.0 * at_s)
        number = (at_s - gone_s) / self.kept_s * self.block_count
        return np.asarray(np.clip(number, 0, self.block_count - 1).astype(np.intp))

    def blocks(self, slo_ms: float) -> StepBlocks:
        """The step cut into blocks, with the rate per task that was really offered."""
        return blocks(
            self.step.offered_per_task_rps,
            self.block_of.astype(np.float64),
            self.latency_ms > slo_ms,
            duration_s=float(self.block_count),
            block_s=1.0,
        )

    def pieces(self) -> list[Floats]:
        """The latencies by block of time; empty blocks are left out."""
        number = self.block_of
        parts = [self.latency_ms[number == block] for block in range(self.block_count)]
        return [part for part in parts if len(part)]


def samples_of(test: LoadTest) -> list[Sample]:
    """What counts of each valid step of a recorded load test. Raises InputInvalid.

    A disturbance of the measurement is rare. What disturbs more than `RECURRING` of the steps is
    the service's own doing, a collection of garbage say, and its users will meet it: then
    nothing is left out for it, nor are the steps that the load test drove once more for it.
    """
    valid = [step for step in test.steps if step.valid]
    taken = [_sample_of(test, step, disturbance=True) for step in valid]
    disturbed = sum(sample.disturbed for sample in taken)
    if disturbed <= max(_FEW, RECURRING * len(valid)):
        return taken
    kept = [_sample_of(test, step, disturbance=False) for step in valid]
    why = (
        f"{disturbed} of {len(valid)} steps have slow stretches that their load does not explain: "
        "they recur, so they are the service's own and count"
    )
    return [
        replace(new, note=f"{new.note}; {why}" if new.note else why) if old.disturbed else new
        for old, new in zip(taken, kept, strict=True)
    ]


def _sample_of(test: LoadTest, step: MeasuredStep, *, disturbance: bool) -> Sample:
    return take_sample(
        step,
        test.recording(step),
        slo_ms=test.slo_ms,
        share_cores=test.share_cores,
        period_s=test.period_s,
        route_classes=test.route_classes,
        disturbance=disturbance,
    )


def take_sample(
    step: MeasuredStep,
    recording: RawLoad,
    *,
    slo_ms: float,
    share_cores: float,
    period_s: float,
    route_classes: Sequence[str],
    disturbance: bool = True,
) -> Sample:
    """What counts of a step, from the recording that it is part of.

    `route_classes` has the class of each kind of request, empty where there is one kind only.
    Disturbed times are looked for and left out with `disturbance`.
    """
    start_s, end_s = step.client.start_s, step.client.end_s
    raw = recording.between(start_s - LEAD_IN_S, end_s)
    arrivals_s, duration_s = raw.intended_s - start_s, end_s - start_s
    timed = raw.timed & (arrivals_s >= 0)
    latency_ms = np.zeros(len(raw))
    # CloudWatch does not tell route classes apart: its level is that of all requests together.
    latency_ms[timed] = on_cloudwatchs_level(raw.latency_ms[timed], step)
    counted = timed & _within_slo(raw, route_classes)
    cpu_s = None
    if step.cpu_pct and step.requests:
        cpu_s = step.cpu_pct / 100.0 * step.tasks * share_cores * period_s / step.requests
    found = Disturbed()
    if disturbance:
        found = find_disturbed(
            Observed(arrivals_s, latency_ms, raw.lag_ms, counted, duration_s, step.tasks,
                     share_cores, cpu_s, slo_ms)
        )  # fmt: skip
    whole = Sample(step, arrivals_s, counted, latency_ms[counted], duration_s)
    if found.length_s > MOST * duration_s:
        reason = (
            f"{DISTURBED}{found.length_s:.1f} of {duration_s:.1f} s "
            f"({_spans_text(found.spans)}): {found.evidence}"
        )
        return replace(whole, void=reason, disturbed=True)
    if found.spans:
        note = f"{_spans_text(found.spans)} left out: {found.evidence}"
        return _without(whole, found.spans, note, disturbed=True)
    verdict = judge(arrivals_s[counted], latency_ms[counted], duration_s)
    spans = ((0.0, verdict.drop_s),) if verdict.drop_s else ()
    return _without(whole, spans, verdict.note, disturbed=False)


def _without(
    whole: Sample, spans: tuple[tuple[float, float], ...], note: str, *, disturbed: bool
) -> Sample:
    """A step without some spans of it; how short that leaves it is said."""
    counted, kept = whole.counted.copy(), np.ones(len(whole.latency_ms), dtype=bool)
    at_s = whole.arrivals_s[whole.counted]
    for start, end in spans:
        counted &= ~((whole.arrivals_s >= start) & (whole.arrivals_s < end))
        kept &= ~((at_s >= start) & (at_s < end))
    made = replace(
        whole,
        counted=counted,
        latency_ms=whole.latency_ms[kept],
        dropped=spans,
        note=note,
        disturbed=disturbed,
    )
    if made.block_count >= MIN_BLOCKS:
        return made
    short = f"too short: {made.block_count} blocks of time are left, {MIN_BLOCKS} are needed"
    return replace(made, note=f"{note}; {short}" if note else short)


def on_cloudwatchs_level(latency_ms: Floats, step: MeasuredStep) -> Floats:
    """The client's latencies as CloudWatch would have them: its percentiles become the others.

    What the client sees besides (balancer, wire, the driver's lag) is added to a response time
    and does not stretch it, so between the percentiles that both have the difference is
    interpolated, and outside of them it is the nearest's. With p95 alone it is one for all.
    """
    pairs = [
        (own, told)
        for own, told in (
            (percentile_ms(latency_ms, 50), step.trt_p50_ms),
            (percentile_ms(latency_ms, 95), step.trt_p95_ms),
            (percentile_ms(latency_ms, 99), step.trt_p99_ms),
        )
        if own is not None and told is not None
    ]
    if step.trt_p95_ms is None or not pairs:
        return latency_ms
    own_ms = np.array([own for own, _ in pairs])
    # p95 decides: where the others contradict it, which no percentiles do, they give way.
    told_ms = np.array([told for _, told in pairs])
    at = told_ms.tolist().index(step.trt_p95_ms) if step.trt_p95_ms in told_ms else 0
    told_ms[:at] = np.minimum(told_ms[:at], told_ms[at])
    told_ms[at:] = np.maximum(told_ms[at:], told_ms[at])
    shifted = latency_ms + np.interp(latency_ms, own_ms, told_ms - own_ms)
    # Below the median a constant difference may take more than there is.
    return np.asarray(np.maximum(shifted, latency_ms * min(told_ms[0] / own_ms[0], 1.0) * 0.5))


def _within_slo(raw: RawLoad, route_classes: Sequence[str]) -> Bools:
    """Which requests the SLO is on; all of them where there is nothing else."""
    if raw.kind is None or not route_classes:
        return np.ones(len(raw), dtype=bool)
    inside = np.array([name != OUTSIDE_SLO for name in route_classes])
    return np.asarray(inside[raw.kind]) if inside.any() else np.ones(len(raw), dtype=bool)


def _spans_text(spans: Sequence[tuple[float, float]]) -> str:
    return ", ".join(f"{start:.1f} to {end:.1f} s" for start, end in spans)
