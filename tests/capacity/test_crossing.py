"""The logistic crossing, against data made from a known logistic."""

from __future__ import annotations

import numpy as np
import pytest

from runbook.capacity.crossing import (
    Logistic,
    StepBlocks,
    blocks,
    find_crossing,
    fit_logistic,
    fit_steps,
)

TRUTH = Logistic(intercept=-12.0, slope=0.12)
RATES = np.array([50.0, 60, 70, 75, 80, 85])


def _steps(rng: np.random.Generator, size: int = 10) -> list[StepBlocks]:
    steps = []
    for rate in RATES:
        requests = rng.poisson(rate, size).astype(float)
        slow = rng.binomial(requests.astype(int), TRUTH.share(np.array(rate))).astype(float)
        steps.append(StepBlocks(rate, slow, requests))
    return steps


def test_exact_shares_give_back_the_model() -> None:
    requests = np.full(len(RATES), 1e5)
    model = fit_logistic(RATES, requests * TRUTH.share(RATES), requests)
    assert model is not None
    assert model.slope == pytest.approx(TRUTH.slope, rel=1e-3)
    assert model.rate_at(0.05) == pytest.approx(TRUTH.rate_at(0.05), rel=1e-4)


def test_a_share_that_does_not_rise_has_no_crossing() -> None:
    requests = np.full(len(RATES), 800.0)
    assert fit_logistic(RATES, requests * 0.3 - RATES, requests) is None
    flat = [StepBlocks(70.0, np.array([2.0]), np.array([80.0]))] * 3
    assert find_crossing(flat, 0.05) is None


def test_a_jump_from_none_to_all_is_bracketed_and_finite() -> None:
    steps = [
        StepBlocks(rate, np.full(10, slow), np.full(10, 80.0))
        for rate, slow in ((60.0, 0.0), (70.0, 0.0), (80.0, 70.0))
    ]
    found = find_crossing(steps, 0.05, resamples=100)
    assert found is not None
    assert 70 < found.rate_rps < 80
    assert np.isfinite([found.lo_rps, found.hi_rps]).all()


def test_deep_overload_does_not_move_the_crossing() -> None:
    steps = _steps(np.random.default_rng(1))
    model = fit_steps(steps)
    drowned = [StepBlocks(rate, np.full(10, 90.0), np.full(10, 90.0)) for rate in (95.0, 99.0)]
    worse = fit_steps([*steps, *drowned])
    assert model is not None
    assert worse is not None
    # Only the first overloaded step is looked at, and it agrees with the curve's direction.
    assert worse.rate_at(0.05) == pytest.approx(model.rate_at(0.05), rel=0.06)


def test_the_interval_covers_the_truth_and_shrinks_with_data() -> None:
    truth = TRUTH.rate_at(0.05)
    covered, widths = 0, []
    for seed in range(20):
        found = find_crossing(_steps(np.random.default_rng(seed)), 0.05, resamples=200, seed=seed)
        assert found is not None
        covered += found.lo_rps <= truth <= found.hi_rps
        widths.append(found.hi_rps - found.lo_rps)
    assert covered >= 17
    rng = np.random.default_rng(1)
    many = find_crossing(_steps(rng) + _steps(rng) + _steps(rng) + _steps(rng), 0.05, resamples=200)
    assert many is not None
    assert many.hi_rps - many.lo_rps < np.mean(widths)


def test_the_same_seed_gives_the_same_interval() -> None:
    steps = _steps(np.random.default_rng(5))
    assert find_crossing(steps, 0.05, resamples=50) == find_crossing(steps, 0.05, resamples=50)


def test_blocks_count_requests_by_their_time() -> None:
    offsets = np.array([0.0, 0.4, 1.0, 1.9, 2.05])
    cut = blocks(
        5.0, offsets, np.array([True, False, True, True, True]), duration_s=2.0, block_s=1.0
    )
    assert cut.requests.tolist() == [2.0, 3.0]
    assert cut.slow.tolist() == [1.0, 3.0]
    assert cut.share == pytest.approx(0.8)
