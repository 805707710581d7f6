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
