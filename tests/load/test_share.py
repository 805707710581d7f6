"""A load in parts: together they are exactly the whole, histograms too."""

from __future__ import annotations

import numpy as np
import pytest

from runbook.load import schedule
from runbook.load.kinds import RequestKind
from runbook.load.measurement import histogram, merge
from runbook.load.plan import LoadPlan
from runbook.load.run import run_driver
from runbook.load.share import Rows, numbers_of, together


def test_the_parts_are_the_whole_once_and_histograms_merge_exactly() -> None:
    kinds = (RequestKind("a", "/a"), RequestKind("b", "/b"))
    plan = LoadPlan("http://h/", schedule.ramp(50, 200, 10), seed=3, kinds=kinds)
    intended = schedule.arrivals(plan.segments, seed=3)
    rng = np.random.default_rng(1)
    latency_s = rng.lognormal(-5, 1, len(intended))
    parts = []
    for worker in range(3):
        number = np.array(numbers_of(worker, 3, len(intended)))
        sent = intended[number]
        status = np.full(len(number), 200, dtype=np.int16)
        part = Rows(number, sent, sent + latency_s[number], status)
        parts.append(Rows.unpack(part.pack()))
    raw = together(plan, reversed(parts))
    np.testing.assert_array_equal(raw.intended_s, intended)
    np.testing.assert_allclose(raw.latency_ms, latency_s * 1000)
    assert raw.kind is not None
    assert set(raw.by_class(["read", "write"])) == {"read", "write"}
    whole = histogram(raw.latency_ms)
    merged = merge([histogram(latency_s[part.number] * 1000) for part in parts])
    for percent in (0.1, 50, 95, 99, 99.9, 100):
        assert merged.get_value_at_percentile(percent) == whole.get_value_at_percentile(percent)
    assert merged.get_total_count() == len(intended)


def test_rows_of_an_interrupted_run_keep_their_own_arrivals() -> None:
    plan = LoadPlan("http://h/", schedule.constant(50, 2), process="uniform")
    early = Rows(np.array([1, 3]), np.zeros(2), np.ones(2), np.full(2, 200, np.int16))
    late = Rows(np.array([0]), np.zeros(1), np.ones(1), np.full(1, 200, np.int16))
    raw = together(plan, [early, late])
    np.testing.assert_allclose(raw.intended_s, [0.01, 0.03, 0.07])


@pytest.mark.e2e
def test_locusts_workers_drive_the_same_load_and_report(serve, fake_target, tmp_path) -> None:
    target = serve(fake_target(fail_every=10))
    plan = LoadPlan(target.url, schedule.steps([50, 100], 1.0), seed=4)
    events = []
    run = run_driver(plan, tmp_path, lambda e: bool(events.append(e)), driver="locust", workers=2)
    raw = run.raw()
    np.testing.assert_allclose(raw.intended_s, schedule.arrivals(plan.segments, seed=4))
    assert len(target.served) == len(raw)
    assert sum(step.failures for step in run.steps) == len(raw) // 10
    assert [e["step"] for e in events if e["event"] == "step"] == [0, 1]
    assert run.cpu_ms_per_1000_requests > 0
    assert float(np.median(raw.lag_ms)) < 20


@pytest.mark.e2e
def test_locusts_run_ends_early_and_keeps_what_was_measured(serve, fake_target, tmp_path) -> None:
    target = serve(fake_target())
    plan = LoadPlan(target.url, schedule.steps([50, 50, 50], 1.0))
    run = run_driver(plan, tmp_path, lambda e: e["event"] == "step", driver="locust", workers=1)
    assert run.interrupted
    assert 50 / 2 < len(run.raw()) < 140
