"""What requests wait for besides CPU: how much, how many of them, and on how busy a machine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from runbook.capacity.queue_step import ModelStep
from runbook.capacity.queue_wait import extra_waits_s, fitted_wait, wait_of, waiting_factor
from runbook.capacity.quota_queue import Task, poisson_response_times_s, response_times_s

SHARE = 0.25


@pytest.mark.parametrize(
    ("busy", "cores", "factor"),
    # Erlang's C of two servers at a load of 1 is 1/3; one server waits rho / (1 - rho).
    [(0.0, 2, 0.0), (1.0, 2, 1 / 3), (0.5, 1, 1.0), (0.8, 1, 4.0), (2.0, 3, 4 / 9)],
)
def test_the_waiting_factor_is_erlangs(busy: float, cores: int, factor: float) -> None:
    assert waiting_factor(busy, cores) == pytest.approx(factor)


def test_a_full_machine_is_not_taken_for_an_endless_queue() -> None:
    assert waiting_factor(2.5, 2) == waiting_factor(1.9, 2) < 20


def _step(task: Task, rate: float, tasks: int = 1, seed: int = 1, busy: float = 0.0) -> ModelStep:
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1.0 / (rate * tasks), int(rate * tasks * 60)))
    times_ms = 1e3 * response_times_s(arrivals, tasks, task, rng)
    inside = np.ones(len(arrivals), dtype=bool)
    block = (arrivals // 3).astype(np.intp)
    return ModelStep(tasks, rate, arrivals, inside, task.cpu_s, times_ms, block, busy or None, 2)


@pytest.mark.parametrize(("extra_s", "each_s"), [(0.0010, 0.0), (0.0010, 0.004), (0.0015, 0.003)])
def test_how_much_and_how_many_wait_is_found(extra_s: float, each_s: float) -> None:
    task = Task(0.004, 0.18, SHARE, extra_s, each_s)
    steps = [_step(task, rate, seed=at) for at, rate in enumerate((12.0, 16.0, 20.0, 24.0))]
    found = extra_waits_s(steps, 0.18, SHARE, 20.0)
    assert np.median(list(found.values())) == pytest.approx(extra_s, abs=0.0003)
    wait = fitted_wait(steps, found, 0.18, SHARE)
    assert max(wait.each_s, extra_s) == pytest.approx(max(each_s, extra_s), rel=0.55)


def test_waits_of_a_shared_machine_are_found_and_carried_to_other_loads() -> None:
    held_s = 0.006
    steps = []
    for at, (tasks, rate) in enumerate([(1, 15.0), (1, 25.0), (3, 15.0), (3, 25.0)]):
        busy = 0.1 + 0.012 * rate * tasks
        task = Task(0.004, 0.18, SHARE, held_s * waiting_factor(busy, 2), 0.002)
        steps.append(_step(task, rate, tasks, at, busy))
    wait = wait_of(steps, extra_waits_s(steps, 0.18, SHARE, 20.0))
    assert wait.core_held_s == pytest.approx(held_s, rel=0.3)
    assert wait.at(2, 30.0) == pytest.approx(held_s * waiting_factor(0.82, 2), rel=0.3)


def test_an_idle_machine_tells_nothing_and_what_is_usual_holds() -> None:
    task = Task(0.004, 0.18, SHARE)
    steps = [_step(task, rate, seed=at, busy=0.02) for at, rate in enumerate((10.0, 15.0, 20.0))]
    wait = wait_of(steps, dict.fromkeys(range(3), 0.0004))
    assert wait.core_held_s == pytest.approx(2 * 0.004, rel=0.02)


def test_only_some_wait_and_the_mean_stays() -> None:
    all_of_them = Task(0.004, 0.18, SHARE, 0.001)
    some = replace(all_of_them, wait_each_s=0.008)
    at = [poisson_response_times_s(5.0, 4000.0, 1, task, 3) for task in (all_of_them, some)]
    assert at[1].mean() == pytest.approx(at[0].mean(), rel=0.03)
    assert np.percentile(at[1], 97) > np.percentile(at[0], 97) + 0.002
    assert np.percentile(at[1], 50) < np.percentile(at[0], 50)


@pytest.mark.parametrize(
    ("busy", "slope", "idle"),
    [
        ([0.5, 0.5, 0.5], 0.0, 0.5),
        ([0.5, 0.5, 0.4999], 0.0, 0.4999666),
        ([0.3, 0.5, 0.7], 0.02, 0.1),
        ([0.1, 0.3, 0.5], 0.015, 0.0),
    ],
)
def test_what_makes_a_machine_busy_is_neither_negative(
    busy: list[float], slope: float, idle: float
) -> None:
    steps = [_step(Task(0.004, 0.18, SHARE), rate, busy=0.1) for rate in (10.0, 20.0, 30.0)]
    told = [replace(step, host_busy_cores=cores) for step, cores in zip(steps, busy, strict=True)]
    wait = wait_of(told, dict.fromkeys(range(3), 0.0004))
    assert (wait.busy_per_rps, wait.busy_idle) == pytest.approx((slope, idle), abs=1e-5)
