"""Warm-up is found and dropped, a growing queue is named, chance is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from runbook.capacity.stationarity import judge


def _step(rng, level_at, requests=600):
    offsets = np.sort(rng.uniform(0, 10, requests))
    return offsets, level_at(offsets) * rng.lognormal(0, 0.3, requests)


def test_a_warm_up_is_dropped_with_its_length_and_reason() -> None:
    rng = np.random.default_rng(1)
    verdict = judge(*_step(rng, lambda at: np.where(at < 2.0, 9.0, 4.0)), 10.0)
    assert verdict.drop_s == pytest.approx(2.0, abs=0.5)
    assert "warm-up, median 8.0 ms, then 3.9" in verdict.note


def test_a_growing_queue_is_named_and_nothing_dropped() -> None:
    rng = np.random.default_rng(2)
    verdict = judge(*_step(rng, lambda at: 4.0 + 3.0 * at), 10.0)
    assert verdict.drop_s == 0
    assert "the queue grows" in verdict.note


def test_steady_steps_are_hardly_ever_touched() -> None:
    rng = np.random.default_rng(3)
    verdicts = [judge(*_step(rng, lambda at: 4.0 + 0 * at, 300), 10.0) for _ in range(100)]
    assert sum(verdict.note != "" for verdict in verdicts) <= 3


def test_too_few_requests_are_not_judged() -> None:
    assert judge(np.array([1.0, 2.0]), np.array([5.0, 900.0]), 10.0).note == ""
