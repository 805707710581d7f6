"""The queueing model of a load test, and what of it goes into the capacity curve."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runbook.capacity.curve import ModelReport, PredictedCount, StepResidual
from runbook.capacity.measured import LoadTest
from runbook.capacity.queue_bootstrap import MODEL_ERROR, Bootstrap, Capacity
from runbook.capacity.queue_model import QueueModel, fit_model
from runbook.capacity.queue_step import ModelStep
from runbook.capacity.sample import ALLOWED_SLOW_SHARE, Sample, samples_of


def model_of(test: LoadTest, samples: Iterable[Sample]) -> QueueModel | None:
    """The model fitted to the valid steps of all task counts; None where it cannot be."""
    return fit_model(
        [step for sample in samples if (step := _model_step(test, sample)) is not None],
        share_cores=test.share_cores,
        slo_ms=test.slo_ms,
        allowed_share=ALLOWED_SLOW_SHARE,
    )


def model_steps(test: LoadTest) -> list[ModelStep]:
    """What the model needs of each step that counts."""
    made = [_model_step(test, sample) for sample in samples_of(test) if not sample.void]
    return [step for step in made if step is not None]


def _model_step(test: LoadTest, sample: Sample) -> ModelStep | None:
    step = sample.step
    if not step.cpu_pct or not step.requests or not sample.counted.any():
        return None
    return ModelStep(
        tasks=step.tasks,
        rate_per_task_rps=step.offered_per_task_rps,
        arrivals_s=sample.arrivals_s,
        inside=sample.counted,
        # What a task uses besides requests takes from its quota too: it is part of their cost.
        cpu_s=step.cpu_pct / 100.0 * step.tasks * test.share_cores * test.period_s / step.requests,
        latency_ms=sample.latency_ms,
        block=sample.block_of,
        host_busy_cores=step.host_busy_cores,
        host_cores=test.host_cores,
    )


def capacities(
    resampled: Bootstrap, counts: Sequence[int], *, confidence: float, seed: int
) -> dict[int, Capacity]:
    """c_SLO as the model has it, for the task counts that can keep the SLO at all."""
    made = {n: resampled.capacity(n, confidence=confidence, seed=seed) for n in counts}
    return {tasks: item for tasks, item in made.items() if item is not None}


def report_of(model: QueueModel, predicted: Iterable[Capacity], doubt: str) -> ModelReport:
    """The model for the curve's file, with predictions for task counts that were not measured."""
    return ModelReport(
        quota_factor=model.quota_factor,
        cpu_variation=model.cv,
        wait_ms={str(tasks): 1e3 * extra for tasks, extra in model.wait.by_count.items()},
        rms_residual=model.rms_residual,
        doubt=doubt,
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
            for item in predicted
        ),
        error_pct=100.0 * MODEL_ERROR,
    )
