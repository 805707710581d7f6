"""From a load test to its capacity curve: pure computation over the recorded requests.

CloudWatch's percentiles decide. The client's raw latencies give what CloudWatch does not:
the share of slow requests and blocks of time for the interval. So each step's latencies
are scaled until their p95 is the p95 that CloudWatch published for that period.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runbook.capacity.crossing import Crossing, StepBlocks, blocks, find_crossing
from runbook.capacity.curve import CapacityCurve, CountCurve, CurvePoint, VoidStep
from runbook.capacity.measured import LoadTest, MeasuredStep
from runbook.errors import MeasurementVoid, SloMissed
from runbook.load.measurement import RawLoad, percentile_ms

Floats = NDArray[np.float64]

#: The SLO is on p95: this share of requests may be slower.
ALLOWED_SLOW_SHARE = 0.05
#: A block is this part of a metric period, so a period has ten.
BLOCKS_PER_PERIOD = 10
#: Steps within this fraction of c_SLO are "near": the interval rests on them.
NEAR = 0.12
MIN_BLOCKS = 20
#: Below this share of a task's CPU, never having left the SLO says too little.
MIN_CENSORED_UTILISATION = 0.6
#: Steps whose rates differ by no more than this factor make one point of the curve.
SAME_RATE = 1.03
_POINT_RESAMPLES = 400


@dataclass(frozen=True)
class Sample:
    """A valid step with its latencies on CloudWatch's level, offsets from the step's start."""

    step: MeasuredStep
    offsets_s: Floats
    latency_ms: Floats
    duration_s: float

    def blocks(self, slo_ms: float) -> StepBlocks:
        """The step cut into blocks, with the rate per task that was really offered."""
        return blocks(
            self.step.offered_per_task_rps,
            self.offsets_s,
            self.latency_ms > slo_ms,
            duration_s=self.duration_s,
            block_s=self.duration_s / BLOCKS_PER_PERIOD,
        )


def recentred(step: MeasuredStep, raw: RawLoad) -> Sample:
    """The step's latencies, scaled so that their p95 is CloudWatch's."""
    timed = raw.timed
    latency_ms = raw.latency_ms[timed]
    client_p95 = percentile_ms(latency_ms, 95)
    if client_p95 and step.trt_p95_ms:
        latency_ms = latency_ms * (step.trt_p95_ms / client_p95)
    offsets_s = raw.intended_s[timed] - step.client.start_s
    return Sample(step, offsets_s, latency_ms, step.client.end_s - step.client.start_s)


def fit_curve(
    load_test: LoadTest, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 1
) -> CapacityCurve:
    """The capacity curve of a load test, c_SLO and its interval for each task count.

    Raises MeasurementVoid when void steps leave the decision open, SloMissed when even the
    lowest rate misses the SLO, InputInvalid when a recording cannot be read.
    """
    counts = []
    for tasks in load_test.task_counts:
        steps = [step for step in load_test.steps if step.tasks == tasks]
        samples = [recentred(step, load_test.latencies(step)) for step in steps if step.valid]
        counts.append(
            _fit_count(load_test, tasks, steps, samples, confidence, resamples, seed + tasks)
        )
    return CapacityCurve(
        service=load_test.service,
        environment=load_test.environment,
        run_id=load_test.run_id,
        measured_at=load_test.measured_at,
        task_cpu=load_test.task_cpu,
        slo_ms=load_test.slo_ms,
        period_s=load_test.period_s,
        enforcement=load_test.enforcement,
        confidence=confidence,
        counts=tuple(counts),
    )


def _fit_count(
    test: LoadTest,
    tasks: int,
    steps: Sequence[MeasuredStep],
    samples: Sequence[Sample],
    confidence: float,
    resamples: int,
    seed: int,
) -> CountCurve:
    void = tuple(
        VoidStep(step.rate_per_task_rps, step.trt_p95_ms, step.void_reason)
        for step in steps
        if step.void_reason is not None
    )
    if len(samples) < 3:
        raise _void(tasks, void, f"only {len(samples)} of {len(steps)} steps count")
    cost_s, idle_pct = _cpu_cost(test, samples), test.cpu_idle_pct
    cut = [sample.blocks(test.slo_ms) for sample in samples]
    highest = max(step.rate_rps for step in cut)
    found = find_crossing(
        cut, ALLOWED_SLOW_SHARE, confidence=confidence, resamples=resamples, seed=seed
    )
    notes = []
    missed = [step.rate_rps for step in cut if step.share > ALLOWED_SLOW_SHARE]
    kept = [step.rate_rps for step in cut if step.share <= ALLOWED_SLOW_SHARE]
    if not kept:
        raise SloMissed(
            f"The SLO of {test.slo_ms:g} ms is missed with {tasks} task(s) at every rate",
            f"even {min(missed):.1f} requests/s per task were too many",
            "find what is slow before scaling: look at the service itself, its store, its CPU",
        )
    censored = not missed or found is None or found.rate_rps > highest
    if censored:
        rate, lo, hi = _lower_bound(tasks, kept, void, found, cost_s / test.share_cores)
        near_blocks = sum(len(step.requests) for step in cut if step.rate_rps >= rate * (1 - NEAR))
        notes.append("the SLO was never left for good: c_SLO is a lower bound")
    else:
        assert found is not None
        # Resamples may extrapolate; nobody carries more than the CPU share allows.
        saturation = max(test.share_cores / cost_s, found.rate_rps)
        rate, lo, hi = found.rate_rps, found.lo_rps, min(found.hi_rps, saturation)
        near = [step for step in cut if abs(step.rate_rps - rate) <= NEAR * rate]
        near_blocks = sum(len(step.requests) for step in near)
        notes += _doubts(tasks, near_blocks, void, rate, found)
    if lo <= 0:
        raise _void(tasks, void, f"the interval of c_SLO around {rate:.1f} reaches {lo:.1f}")
    notes += _gap_notes(samples)
    return CountCurve(
        tasks=tasks,
        points=_points(test, samples, confidence, seed),
        void=void,
        c_slo_per_task_rps=rate,
        lo_per_task_rps=lo,
        hi_per_task_rps=hi,
        censored=censored,
        knee_utilisation=rate * cost_s / test.share_cores,
        cpu_pct_at_c_slo=idle_pct + 100.0 * rate * cost_s / test.share_cores,
        cpu_s_per_request=cost_s,
        cpu_idle_pct=idle_pct,
        blocks=near_blocks,
        logit=(found.model.intercept, found.model.slope) if found and not censored else None,
        notes=tuple(notes),
    )


def _void(tasks: int, void: Sequence[VoidStep], why: str) -> MeasurementVoid:
    reasons = "; ".join(sorted({step.reason for step in void})) or "too few steps were driven"
    return MeasurementVoid(
        f"No capacity can be stated for {tasks} task(s)",
        f"{why} ({reasons})",
        "end what else uses this machine, then run the load test again: runbook run 20_load_test",
    )


def _lower_bound(
    tasks: int,
    kept: Sequence[float],
    void: Sequence[VoidStep],
    found: Crossing | None,
    cost_per_share: float,
) -> tuple[float, float, float | None]:
    """c_SLO when the SLO was never left: the highest valid rate, if it is high enough."""
    rate = max(kept)
    if rate * cost_per_share < MIN_CENSORED_UTILISATION and void:
        raise _void(
            tasks,
            void,
            f"the highest valid rate, {rate:.1f} requests/s per task, "
            f"uses only {rate * cost_per_share:.0%} of a task's CPU",
        )
    return rate, min(rate, found.lo_rps) if found else rate, None


def _doubts(
    tasks: int, near_blocks: int, void: Sequence[VoidStep], rate: float, found: Crossing
) -> list[str]:
    """What weakens the interval. Raises MeasurementVoid when void steps were the decisive ones."""
    decisive = [step for step in void if abs(step.rate_per_task_rps - rate) <= NEAR * rate]
    if near_blocks < MIN_BLOCKS and decisive:
        raise _void(
            tasks,
            decisive,
            f"{len(decisive)} steps near the crossing at {rate:.1f} requests/s per task are void "
            f"and the rest give {near_blocks} blocks of time, {MIN_BLOCKS} are needed",
        )
    notes = []
    if near_blocks < MIN_BLOCKS:
        notes.append(
            f"weak interval: {near_blocks} blocks of time near the crossing, {MIN_BLOCKS} needed"
        )
    if found.unresolved > 0.05:
        notes.append(f"weak interval: {found.unresolved:.0%} of the resamples had no crossing")
    return notes


def _gap_notes(samples: Sequence[Sample]) -> list[str]:
    """One sentence on client against CloudWatch: the median gap, and what it consists of."""
    gaps = [sample.step.gap_p95_ms for sample in samples]
    known = [gap for gap in gaps if gap is not None]
    if not known:
        return []
    return [
        f"the client's p95 lies {np.median(known):+.1f} ms (median of {len(known)} steps) from "
        "CloudWatch's: it also counts balancer, connection, body and the driver's lag, from the "
        "intended start"
    ]


def _cpu_cost(test: LoadTest, samples: Sequence[Sample]) -> float:
    """CPU seconds a request: the median over the steps, without what an idle task uses."""
    costs = [
        max(step.cpu_pct - test.cpu_idle_pct, 0.0) / 100.0 * step.tasks * test.share_cores
        * test.period_s / step.requests
        for step in (sample.step for sample in samples)
        if step.cpu_pct is not None and step.requests
    ]  # fmt: skip
    return float(np.median(costs)) if costs else test.cpu_s_per_request


def _points(
    test: LoadTest, samples: Sequence[Sample], confidence: float, seed: int
) -> tuple[CurvePoint, ...]:
    ordered = sorted(samples, key=lambda sample: sample.step.offered_per_task_rps)
    groups: list[list[Sample]] = []
    for sample in ordered:
        rate = sample.step.offered_per_task_rps
        if groups and rate <= groups[-1][0].step.offered_per_task_rps * SAME_RATE:
            groups[-1].append(sample)
        else:
            groups.append([sample])
    rng = np.random.default_rng(seed)
    return tuple(_point(test, group, confidence, rng) for group in groups)


def _point(
    test: LoadTest, group: Sequence[Sample], confidence: float, rng: np.random.Generator
) -> CurvePoint:
    latency_ms = np.concatenate([sample.latency_ms for sample in group])
    pieces = [piece for sample in group for piece in _pieces(sample)]
    drawn = [
        np.percentile(np.concatenate([pieces[i] for i in pick]), 95, method="inverted_cdf")
        for pick in rng.integers(0, len(pieces), (_POINT_RESAMPLES, len(pieces)))
    ]
    tail = 100.0 * (1.0 - confidence) / 2.0
    p50, p95, p99 = np.percentile(latency_ms, [50, 95, 99], method="inverted_cdf")
    lo, hi = np.percentile(drawn, [tail, 100.0 - tail])
    cpu = [sample.step.cpu_pct for sample in group if sample.step.cpu_pct is not None]
    return CurvePoint(
        rate_per_task_rps=float(np.mean([s.step.offered_per_task_rps for s in group])),
        p50_ms=float(p50),
        p95_ms=float(p95),
        p99_ms=float(p99),
        p95_lo_ms=float(min(lo, p95)),
        p95_hi_ms=float(max(hi, p95)),
        slow_pct=100.0 * float(np.mean(latency_ms > test.slo_ms)),
        cpu_pct=float(np.mean(cpu)) if cpu else None,
        requests=len(latency_ms),
        repeats=len(group),
    )


def _pieces(sample: Sample) -> list[Floats]:
    """The latencies of a step by block of time; empty blocks are left out."""
    block_s = sample.duration_s / BLOCKS_PER_PERIOD
    number = np.clip(sample.offsets_s / block_s, 0, BLOCKS_PER_PERIOD - 1).astype(int)
    parts = [sample.latency_ms[number == block] for block in range(BLOCKS_PER_PERIOD)]
    return [part for part in parts if len(part)]
