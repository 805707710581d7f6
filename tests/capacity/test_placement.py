"""Where steps are placed."""

from __future__ import annotations

import numpy as np
import pytest

from runbook.capacity.crossing import StepBlocks
from runbook.capacity.placement import (
    crossing_estimate,
    predicted_knee,
    rates_to_retry,
    repeat_rates,
    saturation_rps,
    share_of_steps,
    sweep_rates,
)


def _step(rate: float, share: float) -> StepBlocks:
    return StepBlocks(rate, np.full(10, 100 * share), np.full(10, 100.0))


SWEEP = [_step(60, 0.0), _step(70, 0.02), _step(80, 0.10)]


def test_saturation_is_the_cpu_share_over_the_cost() -> None:
    assert saturation_rps(3, 0.25, 0.0025) == pytest.approx(300)


def test_the_knee_moves_up_with_the_task_count() -> None:
    knees = [predicted_knee(tasks) for tasks in (1, 2, 3, 4)]
    assert knees == sorted(knees)
    assert knees[0] == pytest.approx(0.72)


def test_fewer_tasks_get_more_steps_and_none_gets_too_few() -> None:
    assert share_of_steps((1, 3), 17) == 10
    assert share_of_steps((3,), 7) == 7
    assert share_of_steps((1, 3), 9) == 5
    assert share_of_steps((1, 100), 9) == 5


@pytest.mark.parametrize("tasks", [1, 3])
def test_a_sweep_rises_through_the_knee_and_stays_below_saturation(tasks: int) -> None:
    rates = sweep_rates(tasks, 100.0, 6, 30.0)
    assert rates == sorted(rates)
    assert rates[0] < 100 * predicted_knee(tasks) < rates[-1] < 100


def test_a_sweep_does_not_leap_to_where_only_the_cpu_would_let_it() -> None:
    """A service that waits for something else than CPU: 4,000 requests/s would use it up."""
    rates = sweep_rates(1, 4000.0, 5, 20.0)
    assert rates == pytest.approx([50.0, 125.0, 312.5, 781.25, 1953.125])
    # Where equal factors are enough to reach the top, they are smaller.
    rates = sweep_rates(1, 300.0, 5, 20.0)
    assert rates[0] < 2.5 * 20.0
    assert rates[-1] == pytest.approx(0.89 * 300)


def test_repeats_beyond_a_calm_sweep_do_not_leap_and_stay_below_harm() -> None:
    calm = [_step(50, 0.0), _step(120, 0.0)]
    rates = repeat_rates(calm, 0.05, 3, 4000.0)
    assert max(np.divide(rates, [120.0, *rates[:-1]])) <= 2.5 + 1e-9
    assert max(repeat_rates(calm, 0.05, 3, 4000.0, harm_rps=200.0)) == pytest.approx(190)
    # Harm just above what was calm: the little that is left is looked at.
    assert max(repeat_rates(calm, 0.05, 3, 4000.0, harm_rps=121.0)) < 121
    assert max(repeat_rates(SWEEP, 0.05, 4, 100.0, harm_rps=78.0)) == pytest.approx(0.95 * 78)


def test_repeats_lie_around_the_crossing() -> None:
    crossing = crossing_estimate(SWEEP, 0.05)
    assert crossing is not None
    assert 70 < crossing < 80
    rates = repeat_rates(SWEEP, 0.05, 4, 100.0)
    assert rates == sorted(rates)
    assert rates[0] < crossing < rates[-1]


def test_without_a_crossing_repeats_go_further_up() -> None:
    calm = SWEEP[:2]
    assert crossing_estimate(calm, 0.05) is None
    rates = repeat_rates(calm, 0.05, 3, 100.0)
    assert min(rates) > 70
    assert max(rates) == pytest.approx(98)
    # Beyond what was thought to be saturation, a little further still.
    assert max(repeat_rates(calm, 0.05, 3, 60.0)) == pytest.approx(70 * 1.06)
    assert repeat_rates([], 0.05, 3, 100.0) == []


def test_a_share_that_falls_with_the_rate_sends_repeats_to_the_middle() -> None:
    assert crossing_estimate([_step(60, 0.2), _step(80, 0.1)], 0.05) == pytest.approx(70)


def test_only_void_steps_near_the_crossing_are_retried() -> None:
    assert rates_to_retry([40, 72, 78, 85], 75.0, 2) == [72, 78]
    assert rates_to_retry([40], 75.0, 2) == []
    assert rates_to_retry([90, 80], None, 1) == [80]
    assert rates_to_retry([72], 75.0, 0) == []
