"""The queueing model of a load test, and what of it goes into the capacity curve."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from runbook.capacity.curve import ModelReport, PredictedCount, StepResidual
from runbook.capacity.measured import LoadTest
from runbook.capacity.queue_model import ModelStep, QueueModel, fit_model
from runbook.capacity.sample import ALLOWED_SLOW_SHARE, Sample, recentred
from runbook.load.measurement import RawLoad

_LEAD_IN_S = 5.0


def model_of(test: LoadTest, samples: Iterable[Sample]) -> QueueModel | None:
    """The model fitted to the valid steps of all task counts; None where it cannot be."""
    steps = [step for sample in samples if (step := _model_step(test, sample)) is not None]
    return fit_model(
        steps,
        share_cores=test.share_cores,
        slo_ms=test.slo_ms,
        allowed_share=ALLOWED_SLOW_SHARE,
    )


def model_steps(test: LoadTest) -> list[ModelStep]:
    """What the model needs of each valid step."""
    samples = [recentred(step, test.latencies(step)) for step in test.steps if step.valid]
    return [step for sample in samples if (step := _model_step(test, sample)) is not None]


def _model_step(test: LoadTest, sample: Sample) -> ModelStep | None:
    step = sample.step
    if not step.cpu_pct or not step.requests or step.trt_p95_ms is None:
        return None
    start_s, end_s = step.client.start_s + sample.dropped_s, step.client.end_s
    # What came before is simulated too, so that a step begins with the backlog it really had.
    raw = RawLoad.load(test.folder / step.raw_file).between(start_s - _LEAD_IN_S, end_s)
    intended_s = raw.intended_s
    # What a task uses besides requests takes from its quota too, so it is part of their cost.
    cpu_s = step.cpu_pct / 100.0 * step.tasks * test.share_cores * test.period_s / step.requests
    inside = intended_s >= start_s
    if cpu_s <= 0 or not inside.any():
        return None
    return ModelStep(
        tasks=step.tasks,
        rate_per_task_rps=step.offered_per_task_rps,
        arrivals_s=intended_s,
        inside=np.asarray(inside),
        cpu_s=cpu_s,
        slow_share=float(np.mean(sample.latency_ms > test.slo_ms)),
        p25_ms=float(np.percentile(sample.latency_ms, 25)),
        p50_ms=float(np.percentile(sample.latency_ms, 50)),
        p95_ms=step.trt_p95_ms,
        host_busy_cores=step.host_busy_cores,
    )


def report_of(
    model: QueueModel, predicted: Sequence[int], *, confidence: float, seed: int
) -> ModelReport:
    """The model for the curve's file, with predictions for task counts that were not measured."""
    made = [model.capacity(tasks, confidence=confidence, seed=seed) for tasks in predicted]
    return ModelReport(
        quota_factor=model.quota_factor,
        cpu_variation=model.cv,
        wait_ms={str(tasks): 1e3 * extra for tasks, extra in model.wait.by_count.items()},
        rms_residual=model.rms_residual,
        doubt=model.doubt,
        residuals=tuple(
            StepResidual(
                item.tasks,
                item.rate_per_task_rps,
                item.slow_pct,
                item.predicted_slow_pct,
                item.p95_ms,
                item.predicted_p95_ms,
                item.z,
            )
            for item in model.residuals
        ),
        predictions=tuple(
            PredictedCount(
                item.tasks, item.rate_per_task_rps, item.lo_per_task_rps, item.hi_per_task_rps
            )
            for item in made
        ),
    )
