"""How long things take and what they cost: each number with where it is from."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from runbook.capacity.curve import CapacityCurve
from runbook.errors import InputInvalid
from runbook.lab import prices
from runbook.lab.builtin import builtin
from runbook.lab.history import History, make_history
from runbook.lab.outcome import COLUMNS, outcome
from runbook.lab.replay import replay
from runbook.lab.service import ServiceModel, service_model
from runbook.lab.times import BENCHMARK, times


def record(folder: Path, *, rises: bool = True) -> Path:
    """A verification whose second task runs 31 s after it was ordered and serves 12 s later."""
    stamps = [
        f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in pd.date_range("2026-11-24", periods=200, freq="s")
    ]
    counts = [
        {
            "time": at,
            "desired": 1 + (rises and second >= 50),
            "running": 1 + (rises and second >= 81),
            "healthy": 1 + (rises and second >= 93),
        }
        for second, at in enumerate(stamps)
    ]
    traffic = [{"time": at, "offered_rps": 20.0} for at in stamps]
    path = folder / "60_verify" / "verification.json"
    path.parent.mkdir()
    data = {"run_id": "R1", "traffic": {"data": traffic}, "counts": {"data": counts}}
    path.write_text(json.dumps(data))
    return folder


def test_without_anything_measured_the_times_are_assumed_and_say_so() -> None:
    found = times()
    assert found.describe() == {
        "startup_s": {"s": 23.0, "from": BENCHMARK},
        "serve_s": {"s": 20.0, "from": BENCHMARK},
        "publish_delay_s": {"s": 120.0, "from": BENCHMARK},
        "fast_publish_delay_s": {"s": 20.0, "from": BENCHMARK},
    }


def test_a_verification_tells_how_long_tasks_take(tmp_path: Path) -> None:
    found = times(run=record(tmp_path), publish_delay_s=90.0)
    assert (found.timing.start_s, found.timing.ready_s) == (31.0, 12.0)
    assert found.timing.publish_60_s == 90.0
    assert "startup_s 31, serve_s 12 (measured: 60_verify of run R1)" in found.told()
    assert "publish_delay_s 90 (given)" in found.told()
    assert times(run=tmp_path, startup_s=40.0).timing.start_s == 40.0


def test_a_run_without_a_scale_out_tells_no_times(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="saw no scale-out"):
        times(run=record(tmp_path, rises=False))
    with pytest.raises(InputInvalid, match="no record of a verification"):
        times(run=tmp_path / "nowhere")
    kept = tmp_path / "list" / "60_verify" / "verification.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("[]")
    with pytest.raises(InputInvalid, match=r"verification: it is not built like one;"):
        times(run=tmp_path / "list")


def test_slower_tasks_violate_more(curve: CapacityCurve, service: ServiceModel) -> None:
    jumps = np.where(np.arange(2 * 1440) % 240 < 40, 9000.0, 3000.0)
    stamps = pd.date_range("2026-05-04", periods=len(jumps), freq="min", tz="UTC")
    history = make_history("jumps", stamps, jumps).scaled(service, 10)
    quick, slow = (
        replay(
            [builtin("cpu-70-60s", model, peak_tasks=10, max_tasks=100)], history, model, seeds=1
        )[0]
        for model in (
            service_model(curve, timing=times(startup_s=value).timing) for value in (5.0, 600.0)
        )
    )
    assert slow.violating_requests_pct > 1.5 * quick.violating_requests_pct > 0


def test_a_tasks_memory_is_paid_for(curve: CapacityCurve) -> None:
    assert service_model(curve).memory_gb == 0.5  # the least with 0.25 vCPU
    dearer = service_model(curve, memory_gb=2.0).task_hour_usd - service_model(curve).task_hour_usd
    assert dearer == pytest.approx(1.5 * prices.GB_HOUR_USD)


def test_memory_is_what_the_environment_configures(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "dev"
    folder.mkdir(parents=True)
    (folder / "service.yaml").write_text("parameters:\n  Image: !rcmd x\n  TaskMemory: 1024\n")
    assert prices.configured_memory_gb(tmp_path, "dev") == 1.0
    assert prices.configured_memory_gb(tmp_path, "prod") is None


def test_fast_metrics_are_paid_for(days: History, service: ServiceModel) -> None:
    fast, standard = replay(
        [builtin(f"cpu-70-{s}s", service, peak_tasks=10, max_tasks=100) for s in (20, 60)],
        days,
        service,
        seeds=1,
    )
    assert standard.metrics_usd == 0.0
    month = days.seconds / prices.MONTH_S
    # Two metrics of 0.30 and two alarms of 0.30 instead of 0.10 a month.
    assert fast.metrics_usd == pytest.approx(1.0 * month)
    assert fast.cost_usd == pytest.approx(
        fast.task_hours * service.task_hour_usd + fast.metrics_usd
    )


def test_intervals_hold_days_and_seeds_or_hours_of_a_short_history(
    days: History, service: ServiceModel
) -> None:
    policy = builtin("cpu-70-60s", service, peak_tasks=10, max_tasks=100)
    long = replay([policy], days, service, seeds=3)[0]
    short = replay([policy], days.part(0, 1440), service, seeds=3)[0]
    assert (long.interval_blocks, short.interval_blocks) == ("day", "hour")
    for found in (long, short):
        low, high = found.intervals["over_oracle"]
        assert low < found.over_oracle < high


def test_seeds_count_in_intervals() -> None:
    """Every day alike, seeds that differ: what is left is between the seeds."""
    accounts = np.ones((4, 10, len(COLUMNS)))
    accounts[:, :, COLUMNS.index("violating_requests")] = np.array([0.0, 0.1, 0.2, 0.3])[:, None]
    found = outcome("x", "", accounts, 0.0, 864_000.0, 1.0)
    low, high = found.intervals["violating_requests_pct"]
    assert (low, high) == pytest.approx((5.0, 25.0), abs=3.0)


def test_a_swept_outcome_tells_its_range(days: History, service: ServiceModel) -> None:
    policy = builtin("cpu-70-60s", service, peak_tasks=10, max_tasks=100)
    found = replay([policy], days, service, seeds=1)[0]
    assert found.unknown_range == {}
    rows = {
        "a=1": {"violating_requests_pct": 0.0, "over_oracle": 9.0},
        "b=1": {"violating_requests_pct": 50.0, "over_oracle": 1.0},
    }
    swept = found.with_unknowns(rows)
    assert swept.unknown_range["violating_requests_pct"] == (0.0, 50.0)
    assert dataclasses.replace(swept, unknowns={}, unknown_range={}) == found
