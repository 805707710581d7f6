"""From a load test to its capacity curve: pure computation over the recorded requests.

CloudWatch's percentiles decide. The client's raw latencies give what CloudWatch does not:
the share of slow requests and blocks of time for the interval. So each step's latencies
are taken to the percentiles that CloudWatch published for that period.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from runbook.capacity.cpu_cost import CpuCost, cpu_cost
from runbook.capacity.crossing import Crossing
from runbook.capacity.curve import CapacityCurve, CountCurve, ModelReport, VoidStep
from runbook.capacity.direct import NEAR, Direct, fit_direct
from runbook.capacity.measured import LoadTest
from runbook.capacity.points import curve_points
from runbook.capacity.queue_bootstrap import MODEL_ERROR, MOST_RESAMPLES, Capacity, bootstrap
from runbook.capacity.queue_fit import capacities, model_of, report_of
from runbook.capacity.queue_model import QueueModel
from runbook.capacity.remarks import (
    gap_remarks,
    knee_remarks,
    throttled_pct,
    throttling_remarks,
)
from runbook.capacity.sample import ALLOWED_SLOW_SHARE, Sample, samples_of
from runbook.capacity.scalability import fit_usl, knee_rps
from runbook.capacity.weighing import weighed

__all__ = ["NEAR", "fit_curve"]

#: The model predicts c_SLO for task counts up to this, or the highest measured one.
PREDICT_UP_TO = 6
#: The model contradicts the steps where its c_SLO lies further than this outside of their interval.
_AGREEMENT = 0.05
LOGISTIC, BOTH = "logistic fit", "logistic fit and queueing model"


@dataclass(frozen=True)
class _Modelled:
    """What the queueing model says of each task count, and why it may not, "" if it may."""

    model: QueueModel | None
    capacity: Mapping[int, Capacity]
    doubt: str

    def report(self, measured: Sequence[int]) -> ModelReport | None:
        """For the curve's file; a doubted model predicts nothing."""
        if self.model is None:
            return None
        unseen = [item for tasks, item in self.capacity.items() if tasks not in measured]
        return report_of(self.model, [] if self.doubt else unseen, self.doubt)


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
    taken = samples_of(load_test)
    valid = [sample for sample in taken if not sample.void]
    samples = {n: [s for s in valid if s.step.tasks == n] for n in load_test.task_counts}
    void = {n: _void_steps(load_test, taken, n) for n in load_test.task_counts}
    cpu = cpu_cost([s.step for s in valid], load_test.share_cores, load_test.period_s)
    direct = {
        tasks: fit_direct(
            load_test,
            tasks,
            some,
            void[tasks],
            cpu.cost_s.get(tasks, load_test.cpu_s_per_request),
            confidence=confidence,
            resamples=resamples,
            seed=seed + tasks,
        )
        for tasks, some in samples.items()
    }
    modelled = _modelled(load_test, valid, direct, predict_up_to, confidence, resamples, seed)
    counts = tuple(
        _count_curve(load_test, tasks, samples[tasks], void[tasks], cpu, modelled, found,
                     confidence, seed + tasks)
        for tasks, found in direct.items()
    )  # fmt: skip
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
        model=modelled.report(load_test.task_counts),
        # A lower bound is no capacity: it would show contention where nobody looked further.
        scalability=fit_usl(
            {count.tasks: count.c_slo_per_task_rps for count in counts if not count.censored},
            {
                count.tasks: (count.lo_per_task_rps, count.hi_per_task_rps)
                for count in counts
                if count.hi_per_task_rps is not None
            },
        ),
    )


def _void_steps(test: LoadTest, taken: Sequence[Sample], tasks: int) -> tuple[VoidStep, ...]:
    """The steps of a task count that do not count, when measured or now that they are looked at."""
    late = {id(sample.step): sample.void for sample in taken}
    reasons = [
        (step, step.void_reason or late.get(id(step), ""))
        for step in test.steps
        if step.tasks == tasks
    ]
    return tuple(
        VoidStep(step.rate_per_task_rps, step.trt_p95_ms, reason)
        for step, reason in reasons
        if reason
    )


def _modelled(
    test: LoadTest,
    samples: Sequence[Sample],
    direct: Mapping[int, Direct],
    predict_up_to: int,
    confidence: float,
    resamples: int,
    seed: int,
) -> _Modelled:
    """The queueing model, and whether it may say anything.

    One task count whose own steps it contradicts is enough to doubt what it says of others.
    """
    model = model_of(test, samples)
    if model is None or model.doubt:
        return _Modelled(model, {}, model.doubt if model else "")
    counts = range(1, max(predict_up_to, *direct) + 1)
    resampled = bootstrap(model, resamples=min(resamples, MOST_RESAMPLES), seed=seed)
    found = capacities(resampled, counts, confidence=confidence, seed=seed)
    against = [
        f"{tasks} task(s): {found[tasks].rate_per_task_rps if tasks in found else 0:.1f} "
        f"requests/s per task, their own steps say {_direct_text(known)}"
        for tasks, known in direct.items()
        if not _agrees(found.get(tasks), known)
    ]
    doubt = f"it contradicts the steps with {'; '.join(against)}" if against else ""
    return _Modelled(model, found, doubt)


def _agrees(found: Capacity | None, direct: Direct) -> bool:
    if found is None:
        return False
    if direct.hi is None:
        return found.rate_per_task_rps >= direct.lo * (1 - _AGREEMENT)
    low, high = direct.lo * (1 - _AGREEMENT), direct.hi * (1 + _AGREEMENT)
    return low <= found.rate_per_task_rps <= high


def _direct_text(direct: Direct) -> str:
    if direct.hi is None:
        return f"at least {direct.lo:.1f}"
    return f"{direct.rate:.1f} ({direct.lo:.1f}-{direct.hi:.1f})"


def _count_curve(
    test: LoadTest,
    tasks: int,
    samples: Sequence[Sample],
    void: tuple[VoidStep, ...],
    cpu: CpuCost,
    modelled: _Modelled,
    direct: Direct,
    confidence: float,
    seed: int,
) -> CountCurve:
    cost_s, idle_pct = cpu.cost_s.get(tasks, test.cpu_s_per_request), cpu.idle_pct
    censored = direct.hi is None
    notes = [f"at {_rate(sample)}: {sample.note}" for sample in samples if sample.note]
    notes += direct.notes
    method, rate, lo, hi = LOGISTIC, direct.rate, direct.lo, direct.hi
    if hi is not None:
        if modelled.model is None:
            notes.append("no queueing model: too few steps with published CPU")
        elif modelled.doubt:
            doubt = f"the queueing model does not describe this service: {modelled.doubt}"
            notes.append(f"{doubt}; the logistic fit decides")
        else:
            found = modelled.capacity[tasks]
            method = BOTH
            rate, lo, hi = weighed((rate, lo, hi), found, confidence)
            hi = min(hi, max(test.share_cores / cost_s, rate))
            notes.append(
                f"c_SLO is {_direct_text(direct)} requests/s per task by the logistic fit of "
                f"these steps, resampled in blocks of time, and {found.rate_per_task_rps:.1f} "
                f"({found.lo_per_task_rps:.1f}-{found.hi_per_task_rps:.1f}) by the queueing model "
                f"of all steps, resampled likewise, {100 * MODEL_ERROR:.0f} % for its own error "
                "in predicting held-back task counts; each weighs by its certainty"
            )
    throttled = throttled_pct(samples, test.slo_ms)
    points = curve_points(samples, test.slo_ms, confidence, seed)
    knee = knee_rps([p.rate_per_task_rps for p in points], [p.p95_ms for p in points])
    notes += gap_remarks(samples)
    notes += throttling_remarks(samples, throttled, test.slo_ms)
    notes += knee_remarks(knee, rate, censored)
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
        blocks=direct.blocks,
        logit=_through(direct.crossing, rate) if direct.crossing and not censored else None,
        notes=tuple(notes),
        method=method,
        direct=None if direct.hi is None else (direct.rate, direct.lo, direct.hi),
        knee_per_task_rps=knee,
        throttled_pct=throttled,
    )


def _rate(sample: Sample) -> str:
    return f"{sample.step.offered_per_task_rps:.0f}/s per task"


def _through(found: Crossing, rate_rps: float) -> tuple[float, float]:
    """The logistic fit, moved to cross at c_SLO: who reads both finds one capacity."""
    odds = float(np.log(ALLOWED_SLOW_SHARE / (1.0 - ALLOWED_SLOW_SHARE)))
    return odds - found.model.slope * rate_rps, found.model.slope
