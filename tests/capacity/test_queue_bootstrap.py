"""The model's interval: from blocks and steps, refitted, and wider by its own error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from runbook.capacity.queue_bootstrap import HELD_OUT_PCT, MODEL_ERROR, bootstrap
from runbook.capacity.queue_model import QueueModel, fit_model
from runbook.capacity.queue_step import ModelStep
from runbook.capacity.quota_queue import Task, response_times_s
from runbook.capacity.weighing import weighed

TASK = Task(cpu_s=0.004, cv=0.2, quota_cores=0.25, extra_s=0.0005)


def _model(repeats: int = 1, seed: int = 4) -> QueueModel:
    rng = np.random.default_rng(seed)
    made = []
    for rate in np.repeat([20.0, 30.0, 38.0, 44.0, 48.0, 52.0], repeats):
        arrivals = np.cumsum(rng.exponential(1 / rate, int(rate * 10)))
        times_ms = 1e3 * response_times_s(arrivals, 1, TASK, rng)
        inside = np.ones(len(arrivals), dtype=bool)
        block = np.minimum((arrivals * 2).astype(np.intp), 19)
        made.append(ModelStep(1, rate, arrivals, inside, TASK.cpu_s, times_ms, block))
    model = fit_model(made, share_cores=0.25, slo_ms=20, allowed_share=0.05)
    assert model is not None
    return model


def test_every_parameter_is_fitted_anew_in_each_resample() -> None:
    resampled = bootstrap(_model(), resamples=60)
    factors = {item.factor for item in resampled.replicates}
    # Between the factors that are tried, too: no grid is seen in them.
    assert len(factors) > 30
    assert len({item.cv for item in resampled.replicates}) > 30
    assert len({item.wait.by_count[1] for item in resampled.replicates}) > 30
    assert np.mean([item.factor for item in resampled.replicates]) == pytest.approx(
        resampled.model.quota_factor, abs=0.03
    )


def test_chance_shrinks_with_the_measurements_and_the_models_error_stays() -> None:
    few = bootstrap(_model(), resamples=150).capacity(1)
    many = bootstrap(_model(repeats=4), resamples=150).capacity(1)
    assert few is not None
    assert many is not None
    assert many.chance < 0.75 * few.chance
    # However much is measured: whether a service is such a queue is not learnt from more of it.
    assert np.log(many.hi_per_task_rps / many.lo_per_task_rps) > 3 * MODEL_ERROR
    assert pytest.approx(np.sqrt(np.mean(np.square(HELD_OUT_PCT)))) == 100 * MODEL_ERROR


def test_a_count_that_cannot_keep_the_slo_has_no_capacity() -> None:
    model = _model()
    hopeless = replace(model, wait=replace(model.wait, by_count={1: 0.05}))
    assert replace(bootstrap(model, resamples=3), model=hopeless).capacity(1) is None


def test_two_answers_weigh_by_their_certainty() -> None:
    found = bootstrap(_model(), resamples=60).capacity(1)
    assert found is not None
    model = replace(found, rate_per_task_rps=50.0, chance=0.0)
    sure = weighed((60.0, 59.9, 60.1), model, 0.95)
    assert sure == pytest.approx((60.0, 59.9, 60.1), rel=1e-3)
    # As unsure as the model: half way, and surer than either.
    times = np.exp(1.96 * MODEL_ERROR)
    rate, lo, hi = weighed((60.0, 60.0 / times, 60.0 * times), model, 0.95)
    assert rate == pytest.approx(np.sqrt(50 * 60), rel=1e-3)
    assert np.log(hi / lo) == pytest.approx(2 * 1.96 * MODEL_ERROR / np.sqrt(2), rel=1e-2)
