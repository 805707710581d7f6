"""Statistics of recorded requests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runbook.errors import InputInvalid
from runbook.load.connection import LOST, OVERFLOW, TIMED_OUT
from runbook.load.measurement import RawLoad, histogram, merge, percentile_ms, step_stats
from runbook.load.plan import LoadPlan
from runbook.load.schedule import constant


def _raw(latency_ms: list[float], status: list[int] | None = None) -> RawLoad:
    count = len(latency_ms)
    intended = np.arange(count) / 10
    return RawLoad(
        intended,
        intended + 0.0005,
        intended + np.array(latency_ms) / 1000,
        np.array(status or [200] * count, dtype=np.int16),
    )


def _stats(raw: RawLoad, start_s: float, end_s: float):
    return step_stats(
        raw, start_s, end_s, label="", rate_rps=10, driver_cpu_cores=0.1, host_busy_cores=0.2
    )


def test_a_step_counts_only_its_own_requests() -> None:
    stats = _stats(_raw([10.0] * 10 + [30.0] * 10), 1.0, 2.0)
    assert stats.requests == 10
    assert stats.p50_ms == pytest.approx(30)
    assert stats.offered_rps == 10
    assert stats.lag_p99_ms == pytest.approx(0.5)


def test_refusals_do_not_flatter_the_percentiles_and_waits_count() -> None:
    raw = _raw([10, 10, 0.1, 0.1, 5000], [200, 200, 503, LOST, TIMED_OUT])
    stats = _stats(raw, 0.0, 0.5)
    assert stats.failures == 3
    assert stats.failure_kinds == {"HTTP 503": 1, "connection lost": 1, "timed out": 1}
    assert stats.p50_ms == pytest.approx(10)
    assert stats.p99_ms == pytest.approx(5000)


def test_overflowed_requests_were_not_achieved() -> None:
    stats = _stats(_raw([10, 10, 0], [200, 200, OVERFLOW]), 0.0, 0.3)
    assert stats.offered_rps == pytest.approx(10)
    assert stats.achieved_rps == pytest.approx(20 / 3)


def test_an_empty_step_has_no_percentiles() -> None:
    stats = _stats(_raw([10.0]), 5.0, 6.0)
    assert (stats.requests, stats.p95_ms, stats.failures) == (0, None, 0)


def test_each_class_says_which_of_its_percentiles_are_weak() -> None:
    raw = _raw([10.0] * 1300)
    kind = np.array([0] * 1050 + [1] * 240 + [2] * 10, dtype=np.int16)
    stats = step_stats(
        replace(raw, kind=kind), 0.0, 130.0, label="", rate_rps=10, driver_cpu_cores=0.1,
        host_busy_cores=0.2, classes=["read", "write", "credential"],
    )  # fmt: skip
    assert stats.weak == ""
    assert {name: row["weak"] for name, row in stats.by_class.items()} == {
        "read": "",
        "write": "p99: 240 requests, 1000 needed",
        "credential": "p95: 10 requests, 200 needed, p99: 10 requests, 1000 needed",
    }


def test_merged_histograms_give_the_percentile_of_all_requests() -> None:
    rng = np.random.default_rng(1)
    parts = [rng.lognormal(mean, 0.5, 2000) for mean in (1, 2, 3)]
    merged = merge([histogram(part) for part in parts])
    truth = percentile_ms(np.concatenate(parts), 99)
    assert truth is not None
    assert merged.get_value_at_percentile(99) / 1000 == pytest.approx(truth, rel=0.002)
    assert merged.get_total_count() == 6000


def test_raw_requests_survive_the_file(tmp_path: Path) -> None:
    raw = _raw([1, 2, 3])
    back = RawLoad.load(raw.save(tmp_path / "raw.npz"))
    np.testing.assert_array_equal(back.done_s, raw.done_s)
    (tmp_path / "bad.npz").write_bytes(b"no")
    with pytest.raises(InputInvalid, match="holds no recorded requests"):
        RawLoad.load(tmp_path / "bad.npz")


def test_a_plan_survives_the_file_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    plan = LoadPlan("http://h:1/x", constant(5, 2), headers={"A": "b"}, body="hé", method="POST")
    assert LoadPlan.load(plan.save(tmp_path / "plan.json")) == plan
    request = plan.request_kinds()[0].request_bytes(plan.host)
    assert request.startswith(b"POST /x HTTP/1.1\r\nHost: h:1\r\n")
    assert b"Content-Length: 3\r\n" in request
    (tmp_path / "bad.json").write_text('{"url": "http://h/"}')
    with pytest.raises(InputInvalid, match="is no load plan"):
        LoadPlan.load(tmp_path / "bad.json")
    with pytest.raises(InputInvalid, match="no http or https"):
        LoadPlan("ftp://h/", constant(5, 2))
    with pytest.raises(InputInvalid, match="max_connections"):
        LoadPlan("http://h/", constant(5, 2), max_connections=2000)
