"""The scalability law and the knee, on data whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from runbook.capacity.scalability import fit_usl, knee_rps


def test_the_law_is_found_again() -> None:
    rates = {n: 100 / (1 + 0.05 * (n - 1) + 0.002 * n * (n - 1)) for n in (1, 2, 4, 8, 16)}
    law = fit_usl(rates)
    assert law is not None
    assert (law.rate_rps, law.contention, law.coherency) == pytest.approx((100, 0.05, 0.002))
    assert law.total_rps(8) == pytest.approx(8 * rates[8])
    assert law.best_tasks == pytest.approx(np.sqrt(0.95 / 0.002))
    assert law.residual_pct == pytest.approx(0, abs=1e-6)
    assert "contention 5.0%" in law.sentence()


def test_two_counts_tell_contention_alone_and_one_nothing() -> None:
    law = fit_usl({1: 50.0, 3: 40.0})
    assert law is not None
    assert law.contention == pytest.approx(0.125)
    assert law.coherency == 0
    assert law.best_tasks is None
    assert fit_usl({2: 50.0}) is None


def test_each_count_has_its_efficiency_with_an_interval_from_both_ends() -> None:
    law = fit_usl({1: 50.0, 2: 55.0, 4: 40.0}, {1: (45.0, 55.0), 2: (50.0, 60.0), 4: (36.0, 44.0)})
    assert law is not None
    two, four = law.efficiencies
    assert (two.tasks, two.share) == (2, pytest.approx(1.1))
    assert four.lo < 40 / 50 < four.hi
    # Wider than either alone: both counts are uncertain.
    assert four.hi / four.lo > 44 / 36
    assert "2 tasks 110% (" in law.sentence()


def test_residuals_are_told_or_why_there_are_none() -> None:
    exact = fit_usl({1: 50.0, 3: 40.0})
    assert exact is not None
    assert "2 counts are too few to test the scalability law" in exact.sentence()
    rising = fit_usl({1: 47.0, 3: 62.0})
    assert rising is not None
    assert f"off by {rising.residual_pct:.1f} % at most" in rising.sentence()
    # A count with a lower bound only has no interval, so no efficiency of its own.
    assert fit_usl({1: 47.0, 3: 62.0}, {1: (40.0, 50.0)}).efficiencies == ()


def test_tasks_that_carry_more_in_company_show_no_contention() -> None:
    law = fit_usl({1: 47.0, 3: 62.0})
    assert law is not None
    assert law.contention == law.coherency == 0
    assert law.efficiency == pytest.approx(62 / 47)
    assert "nothing that the tasks share holds them back" in law.sentence()


def test_the_knee_is_where_the_curve_bends() -> None:
    rates = np.arange(10, 61, 5.0)
    p95 = np.exp(1.6 + 0.005 * rates + 0.15 * np.maximum(rates - 42, 0))
    assert knee_rps(rates, p95) == pytest.approx(42, abs=1.5)
    assert knee_rps(rates, np.exp(5 - 0.01 * rates - 0.1 * np.maximum(rates - 42, 0))) is None
    assert knee_rps(rates[:4], p95[:4]) is None
