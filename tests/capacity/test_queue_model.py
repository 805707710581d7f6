"""The queue under a CPU quota, by hand and against theory; the model's refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from runbook.capacity.queue_model import fit_model, predicted_p95_ms
from runbook.capacity.queue_step import ModelStep
from runbook.capacity.queue_wait import Wait, waiting_factor
from runbook.capacity.quota_queue import (
    QUOTA_PERIOD_S,
    Task,
    _serve,
    poisson_response_times_s,
    response_times_s,
)

TASK = Task(cpu_s=0.004, cv=0.2, quota_cores=0.25)


def test_a_burst_uses_the_quota_up_and_waits_for_the_next_period() -> None:
    # 25 ms of CPU in each 100 ms; three requests of 10 ms at the start of a period.
    done = _serve(np.zeros(3), np.full(3, 0.010), np.zeros(3), 0.025, QUOTA_PERIOD_S)
    # The third has 5 ms left in this period and needs 5 ms of the next.
    np.testing.assert_allclose(done, [0.010, 0.020, 0.105])


def test_what_a_request_waits_for_besides_uses_no_quota() -> None:
    done = _serve(np.zeros(3), np.full(3, 0.005), np.full(3, 0.02), 0.025, QUOTA_PERIOD_S)
    np.testing.assert_allclose(done, [0.025, 0.050, 0.075])


def test_a_whole_core_is_a_plain_queue() -> None:
    """With the whole core there is no throttling: M/G/1's mean wait (Pollaczek-Khinchine)."""
    task = Task(cpu_s=0.004, cv=0.5, quota_cores=1.0)
    times = poisson_response_times_s(150.0, 4000.0, 1, task, 3)
    rho = 150 * 0.004
    wait_s = rho * 0.004 * (1 + 0.5**2) / (2 * (1 - rho))
    assert times.mean() == pytest.approx(0.004 + wait_s, rel=0.03)


def test_round_robin_smooths_arrivals_so_tasks_carry_more_in_company() -> None:
    slow = [
        float((poisson_response_times_s(50.0, 600.0, tasks, TASK, 1) > 0.02).mean())
        for tasks in (1, 2, 4)
    ]
    assert slow[0] > 2 * slow[1] > 4 * slow[2]


def _steps(quota_factor: float, slow_factor: float = 1.0) -> list[ModelStep]:
    rng = np.random.default_rng(4)
    task = Task(TASK.cpu_s, TASK.cv, TASK.quota_cores * quota_factor, 0.0005)
    made = []
    for rate in (20.0, 30.0, 38.0, 44.0, 48.0, 52.0):
        arrivals = np.cumsum(rng.exponential(1 / rate, int(rate * 20)))
        times_ms = 1e3 * slow_factor * response_times_s(arrivals, 1, task, rng)
        inside = np.ones(len(arrivals), dtype=bool)
        block = np.minimum(arrivals.astype(np.intp), 19)
        made.append(ModelStep(1, rate, arrivals, inside, TASK.cpu_s, times_ms, block))
    return made


def test_the_usable_quota_is_found_and_unseen_steps_are_predicted() -> None:
    steps = _steps(1.06)
    model = fit_model(steps[::2] + steps[1::2][:2], share_cores=0.25, slo_ms=20, allowed_share=0.05)
    assert model is not None
    assert model.doubt == ""
    assert model.quota_factor == pytest.approx(1.06, abs=0.06)
    assert model.wait.by_count[1] == pytest.approx(0.0005, abs=0.0003)
    calm = steps[1:4]
    for step, p95 in zip(calm, predicted_p95_ms(model, calm), strict=True):
        assert p95 == pytest.approx(step.percentile_ms(95), rel=0.3)


def test_waits_go_with_the_load_of_a_shared_machine_where_it_is_published() -> None:
    told = [
        replace(step, host_busy_cores=0.1 + 0.01 * step.rate_per_task_rps, host_cores=2)
        for step in _steps(1.12)
    ]
    model = fit_model(told, share_cores=0.25, slo_ms=20, allowed_share=0.05)
    assert model is not None
    wait = model.wait
    assert (wait.busy_idle, wait.busy_per_rps) == pytest.approx((0.1, 0.01))
    assert wait.core_held_s is not None
    # Three tasks at this rate make the machine 0.7 cores busy.
    assert wait.at(3, 20.0) == pytest.approx(wait.core_held_s * waiting_factor(0.7, 2))
    assert wait.in_step(told[1]) == pytest.approx(wait.at(1, told[1].rate_per_task_rps))
    unknown = Wait({1: 0.001, 4: 0.003})
    assert unknown.at(2, 99.0) == pytest.approx(0.002)
    assert unknown.in_step(told[0]) == pytest.approx(0.001)


def test_what_no_quota_explains_is_refused_with_the_reason() -> None:
    model = fit_model(_steps(1.0, slow_factor=5.0), share_cores=0.25, slo_ms=20, allowed_share=0.05)
    assert model is not None
    assert model.doubt
    few = _steps(1.0)[:3]
    assert fit_model(few, share_cores=0.25, slo_ms=20, allowed_share=0.05) is None


def test_what_an_unseen_step_measured_is_not_used_to_predict_it() -> None:
    steps = _steps(1.06)
    model = fit_model(steps, share_cores=0.25, slo_ms=20, allowed_share=0.05)
    assert model is not None
    told = replace(steps[2], cpu_s=99.0, latency_ms=1e6 + steps[2].latency_ms, host_busy_cores=9.0)
    assert predicted_p95_ms(model, [told]) == predicted_p95_ms(model, [steps[2]])


def test_a_crossing_far_below_cpu_saturation_is_found_there() -> None:
    """Who waits for something else leaves 20 ms at a fraction of what the CPU allows."""
    model = fit_model(_steps(1.0), share_cores=0.25, slo_ms=20, allowed_share=0.05)
    assert model is not None
    slow = replace(model, wait=Wait({1: 0.0045}))
    rate = slow.crossing_rps(1)
    task = slow.task(1, rate)
    assert 0 < rate < 0.4 * task.saturation_rps
    share = (poisson_response_times_s(rate, 4000.0, 1, task, 3) > 0.020).mean()
    assert share == pytest.approx(0.05, abs=0.006)
    assert replace(model, wait=Wait({1: 0.050})).crossing_rps(1) == 0.0
