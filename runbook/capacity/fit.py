"""From a load test to its capacity curve: pure computation over the recorded requests.

CloudWatch's percentiles decide. The client's raw latencies give what CloudWatch does not:
the share of slow requests and blocks of time for the interval. So each step's latencies
are scaled until their p95 is the p95 that CloudWatch published for that period.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runbook.capacity.cpu_cost import CpuCost, cpu_cost
from runbook.capacity.crossing import Crossing, find_crossing
from runbook.capacity.curve import CapacityCurve, CountCurve, CurvePoint, VoidStep
from runbook.capacity.measured import LoadTest, MeasuredStep
from runbook.capacity.queue_fit import model_of, report_of
from runbook.capacity.queue_model import QueueModel
from runbook.capacity.sample import ALLOWED_SLOW_SHARE, Sample, recentred
from runbook.capacity.scalability import fit_usl, knee_rps
from runbook.errors import MeasurementVoid, SloMissed
from runbook.load.measurement import weak_percentiles

Floats = NDArray[np.float64]

#: Steps within this fraction of c_SLO are "near": the interval rests on them.
NEAR = 0.12
MIN_BLOCKS = 20
#: The model predicts c_SLO for task counts up to this, or the highest measured one.
PREDICT_UP_TO = 6
#: From this share of throttled quota periods on, every twentieth request can meet one.
_GOVERNED_PCT = 5.0
#: The model decides where its c_SLO lies no further than this outside of the direct interval.
_AGREEMENT = 0.05
#: Below this share of a task's CPU, never having left the SLO says too little.
MIN_CENSORED_UTILISATION = 0.6
#: Steps whose rates differ by no more than this factor make one point of the curve.
SAME_RATE = 1.03
_POINT_RESAMPLES = 400


def fit_curve(
    load_test: LoadTest,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 1,
    predict_up_to: int = PREDICT_UP_TO,
) -> CapacityCurve:
    """The capacity curve of a load test, c_SLO and its interval for each task count.

    For counts up to `predict_up_to` that were not measured the queueing model predicts it.

    Raises MeasurementVoid when void steps leave the decision open, SloMissed when even the
    lowest rate misses the SLO, InputInvalid when a recording cannot be read.
    """
    by_count = {
        tasks: [step for step in load_test.steps if step.tasks == tasks]
        for tasks in load_test.task_counts
    }
    samples = {
        tasks: [recentred(step, load_test.latencies(step)) for step in steps if step.valid]
        for tasks, steps in by_count.items()
    }
    model = model_of(load_test, (sample for some in samples.values() for sample in some))
    cpu = cpu_cost(
        [sample.step for some in samples.values() for sample in some],
        load_test.share_cores,
        load_test.period_s,
    )
    counts = tuple(
        _fit_count(
            load_test, tasks, steps, samples[tasks], cpu, model, confidence, resamples, seed + tasks
        )
        for tasks, steps in by_count.items()
    )
    most = max(predict_up_to, *by_count)
    unseen = [tasks for tasks in range(1, most + 1) if tasks not in by_count]
    if model and model.doubt:
        unseen = []
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
        counts=counts,
        model=report_of(model, unseen, confidence=confidence, seed=seed) if model else None,
        scalability=fit_usl({count.tasks: count.c_slo_per_task_rps for count in counts}),
    )


def _fit_count(
    test: LoadTest,
    tasks: int,
    steps: Sequence[MeasuredStep],
    samples: Sequence[Sample],
    cpu: CpuCost,
    model: QueueModel | None,
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
    cost_s, idle_pct = cpu.cost_s.get(tasks, test.cpu_s_per_request), cpu.idle_pct
    cut = [sample.blocks(test.slo_ms) for sample in samples]
    highest = max(step.rate_rps for step in cut)
    found = find_crossing(
        cut, ALLOWED_SLOW_SHARE, confidence=confidence, resamples=resamples, seed=seed
    )
    notes = [f"at {_rate(sample)}: {sample.note}" for sample in samples if sample.note]
    method, direct = "logistic fit", None
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
        direct = (rate, lo, hi)
        modelled, why = _modelled(model, tasks, direct, confidence, seed)
        notes.append(why)
        if modelled is not None:
            method = "queueing model"
            rate, lo, hi = modelled[0], modelled[1], min(modelled[2], saturation)
    notes += _gap_notes(samples)
    throttled = _throttled(samples, test.slo_ms)
    notes += _throttling_notes(samples, throttled, test.slo_ms)
    points = _points(test, samples, confidence, seed)
    knee = knee_rps([p.rate_per_task_rps for p in points], [p.p95_ms for p in points])
    return CountCurve(
        tasks=tasks,
        points=points,
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
        logit=_through(found, rate) if found and not censored else None,
        notes=tuple(notes),
        method=method,
        direct=direct,
        knee_per_task_rps=knee,
        throttled_pct=throttled,
    )


def _rate(sample: Sample) -> str:
    return f"{sample.step.offered_per_task_rps:.0f}/s per task"


def _modelled(
    model: QueueModel | None,
    tasks: int,
    direct: tuple[float, float, float],
    confidence: float,
    seed: int,
) -> tuple[tuple[float, float, float] | None, str]:
    """c_SLO with its interval by the queueing model, if it may decide, and a sentence on it.

    The model uses every step of all counts, its arrivals known, so its interval is narrower;
    the logistic fit of this count's steps alone must not contradict it.
    """
    if model is None:
        return None, "no queueing model: too few steps with published CPU"
    if model.doubt:
        doubt = f"the queueing model does not describe this service: {model.doubt}"
        return None, f"{doubt}; the logistic fit decides"
    found = model.capacity(tasks, confidence=confidence, seed=seed)
    rate, lo, hi = direct
    direct_text = f"{rate:.1f} ({lo:.1f}-{hi:.1f}) by the logistic fit of these steps alone"
    text = f"{found.rate_per_task_rps:.1f} requests/s per task by the queueing model"
    if not lo * (1 - _AGREEMENT) <= found.rate_per_task_rps <= hi * (1 + _AGREEMENT):
        return None, f"the queueing model is not used: {text}, {direct_text}"
    values = (found.rate_per_task_rps, found.lo_per_task_rps, found.hi_per_task_rps)
    return values, f"c_SLO is {text}, which agrees with {direct_text}"


def _through(found: Crossing, rate_rps: float) -> tuple[float, float]:
    """The logistic fit, moved to cross at c_SLO: who reads both finds one capacity."""
    odds = float(np.log(ALLOWED_SLOW_SHARE / (1.0 - ALLOWED_SLOW_SHARE)))
    return odds - found.model.slope * rate_rps, found.model.slope


def _throttled(samples: Sequence[Sample], slo_ms: float, *, beyond: bool = True) -> float | None:
    """The median share of throttled quota periods in steps beyond (or within) the SLO."""
    known = [
        sample.step.throttled_pct
        for sample in samples
        if sample.step.throttled_pct is not None
        and ((sample.step.trt_p95_ms or 0.0) > slo_ms) == beyond
    ]
    return float(np.median(known)) if known else None


def _throttling_notes(
    samples: Sequence[Sample], beyond_pct: float | None, slo_ms: float
) -> list[str]:
    """Whether the CPU quota governs p95, in a sentence; nothing without steps beyond the SLO."""
    if all((sample.step.trt_p95_ms or 0.0) <= slo_ms for sample in samples):
        return []
    if beyond_pct is None:
        return ["CPU throttling is not published here: whether it governs p95 cannot be told"]
    within_pct = _throttled(samples, slo_ms, beyond=False)
    before = "" if within_pct is None else f", {within_pct:.0f} % within it"
    seen = f"{beyond_pct:.0f} % of the CPU-quota periods are throttled beyond the SLO{before}"
    if beyond_pct < _GOVERNED_PCT:
        return [f"{seen}: CPU throttling does not govern p95"]
    return [f"{seen}: CPU throttling governs p95, so larger tasks would move it"]


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
    pieces = [piece for sample in group for piece in sample.pieces()]
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
        weak=weak_percentiles(len(latency_ms)),
    )
