"""CPU a request, told apart from what a task uses anyway."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from runbook.capacity.cpu_cost import cpu_cost


@pytest.fixture
def steps(simulate, simulated_service):
    """Steps of one and of three tasks: 2.5 ms a request and 2 % of the CPU besides."""
    return list(simulate(simulated_service(1), simulated_service(3)).steps)


def test_the_line_tells_idle_use_from_requests(steps) -> None:
    found = cpu_cost(steps, 0.25, 10.0)
    assert found.idle_pct == pytest.approx(2.0, abs=0.1)
    assert found.cost_s == pytest.approx({1: 0.0025, 3: 0.0025}, rel=0.01)


def test_an_intercept_within_its_error_is_none(steps) -> None:
    rng = np.random.default_rng(3)
    noisy = [replace(s, cpu_pct=(s.cpu_pct - 2.0) * rng.lognormal(0, 0.05)) for s in steps]
    found = cpu_cost(noisy, 0.25, 10.0)
    assert found.idle_pct == 0.0
    assert found.cost_s[1] == pytest.approx(0.0025, rel=0.05)


def test_it_is_never_most_of_what_the_calmest_step_used(steps) -> None:
    rates = [s.requests / 10.0 / s.tasks for s in steps]
    flat = [replace(s, cpu_pct=40.0 + 0.1 * rate) for s, rate in zip(steps, rates, strict=True)]
    assert cpu_cost(flat, 0.25, 10.0).idle_pct <= 0.5 * min(s.cpu_pct for s in flat)


def test_steps_without_cpu_say_nothing(steps) -> None:
    assert cpu_cost([replace(s, cpu_pct=None) for s in steps], 0.25, 10.0).cost_s == {}
    assert cpu_cost(steps[:3], 0.25, 10.0).idle_pct == 0.0
