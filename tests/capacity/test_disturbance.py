"""Disturbed times are found by evidence; what the queue itself does is left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runbook.capacity.disturbance import MOST, Disturbed, Observed, find_disturbed
from runbook.load import schedule

#: c_SLO per task of the simulated service, by simulating 2000 s at each rate.
C_SLO = {1: 74.5, 3: 89.0}


def _observed(
    service: Any, rate_per_task: float, seed: int, pause: tuple[float, float] | None = None
) -> Observed:
    """A step of 10 s after another of the same rate; the service stands still for `pause`."""
    arrivals = schedule.arrivals(schedule.steps([rate_per_task * service.tasks] * 2, 10), seed=seed)
    served = arrivals
    if pause is not None:
        start, end = 10 + pause[0], 10 + pause[0] + pause[1]
        served = np.where((arrivals >= start) & (arrivals < end), end, arrivals)
    done, _ = service.serve(served, seed)
    own = arrivals >= 5
    at, latency_ms = arrivals[own] - 10, 1e3 * (done - arrivals)[own]
    return Observed(
        at, latency_ms, 0 * at, at >= 0, 10.0, service.tasks, service.share, service.cpu_s, 20.0
    )


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("load", [0.9, 1.0, 1.1])
def test_what_a_queue_does_near_the_knee_is_left_alone(
    simulated_service, tasks: int, load: float
) -> None:
    """A rule that drops slow seconds would move the crossing: here it must not fire."""
    service = simulated_service(tasks=tasks)
    steps = [_observed(service, load * C_SLO[tasks], seed) for seed in range(20)]
    assert max((step.latency_ms[step.counted] > 20).mean() for step in steps) > 0.01
    assert [find_disturbed(step) for step in steps] == [Disturbed()] * 20


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("length_s", [0.5, 1.0, 2.0])
def test_a_service_that_stood_still_is_found_where_and_as_long_as_it_did(
    simulated_service, tasks: int, length_s: float
) -> None:
    service = simulated_service(tasks=tasks)
    for seed in range(8):
        found = find_disturbed(_observed(service, 0.8 * C_SLO[tasks], seed, (3.0, length_s)))
        ((start, end),) = found.spans
        assert start == pytest.approx(3.0, abs=0.5)
        # The backlog goes slowly: it is part of the disturbance.
        assert end >= 3.0 + length_s
        assert "leave the tasks time" in found.evidence
    assert length_s < 2.0 or found.length_s > MOST * 10


def test_a_late_driver_is_evidence_whatever_the_service_did(simulated_service) -> None:
    step = _observed(simulated_service(), 20.0, 1)
    late = np.where((step.arrivals_s >= 6) & (step.arrivals_s < 7), 8.0, 0.2)
    found = find_disturbed(
        Observed(**{**step.__dict__, "lag_ms": late})  # the other fields as they are
    )
    assert found == Disturbed(((6.0, 7.0),), "the driver was late")


def test_without_published_cpu_nothing_is_evidence(simulated_service) -> None:
    step = _observed(simulated_service(), 50.0, 1, (3.0, 1.0))
    assert find_disturbed(step).spans
    assert find_disturbed(Observed(**{**step.__dict__, "cpu_s": None})) == Disturbed()


def test_a_service_that_is_no_such_queue_is_not_judged_by_it(simulated_service) -> None:
    """Slow all along for a reason of its own: nothing of that is a disturbance."""
    step = _observed(simulated_service(), 40.0, 1)
    slow = np.where(np.arange(len(step.latency_ms)) % 5 < 3, 40.0, step.latency_ms)
    assert find_disturbed(Observed(**{**step.__dict__, "latency_ms": slow})) == Disturbed()
