"""A load in parts: together they are exactly the whole, histograms too."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict

import numpy as np
import psutil
import pytest

from runbook.errors import LoadFailed
from runbook.load import schedule
from runbook.load.connection import UNFINISHED
from runbook.load.kinds import RequestKind
from runbook.load.measurement import RawLoad, histogram, merge
from runbook.load.part import PartDriver
from runbook.load.plan import LoadPlan
from runbook.load.run import run_driver
from runbook.load.share import Rows, Together, numbers_of


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
    raw = _put_together(plan, *reversed(parts))
    np.testing.assert_array_equal(raw.intended_s, intended)
    np.testing.assert_allclose(raw.latency_ms, latency_s * 1000)
    assert raw.kind is not None
    assert set(raw.by_class(["read", "write"])) == {"read", "write"}
    whole = histogram(raw.latency_ms)
    merged = merge([histogram(latency_s[part.number] * 1000) for part in parts])
    for percent in (0.1, 50, 95, 99, 99.9, 100):
        assert merged.get_value_at_percentile(percent) == whole.get_value_at_percentile(percent)
    assert merged.get_total_count() == len(intended)


def _put_together(plan: LoadPlan, *parts: Rows) -> RawLoad:
    together = Together(plan)
    for part in parts:
        together.put(part)
    return together.raw()


def _rows(number: list[int], status: int = 200, done_s: float = 1.0) -> Rows:
    count = len(number)
    return Rows(
        np.array(number), np.zeros(count), np.full(count, done_s), np.full(count, status, np.int16)
    )


def test_rows_of_an_interrupted_run_keep_their_own_arrivals() -> None:
    plan = LoadPlan("http://h/", schedule.constant(50, 2), process="uniform")
    raw = _put_together(plan, _rows([3, 1]), _rows([0]))
    np.testing.assert_allclose(raw.intended_s, [0.01, 0.03, 0.07])


def test_the_last_word_on_a_row_counts() -> None:
    plan = LoadPlan("http://h/", schedule.constant(50, 2), process="uniform")
    raw = _put_together(plan, _rows([0, 1], UNFINISHED, 0.5), _rows([1], 200, 1.5))
    assert raw.status.tolist() == [UNFINISHED, 200]
    assert raw.done_s.tolist() == [0.5, 1.5]


def test_a_part_hands_each_row_on_once_and_edges_do_not_grow_with_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = LoadPlan("http://h/", schedule.steps([1000.0] * 5, 10.0), process="uniform")
    driver = PartDriver({"plan": asdict(plan), "index": 1, "count": 2, "tokens": []})
    heard: list[int] = []
    sizes = []
    for step in range(5):
        for row in range(step * 5000, (step + 1) * 5000):
            driver._outstanding[row] = None
            driver._next = row + 1
            if row % 5000 < 4990:
                driver._finish(row, 200)
            if row % 250 == 0:
                driver._feed()
        driver._account()
        lines = capsys.readouterr().out.splitlines()
        sizes.append(sum(map(len, lines)))
        events = [json.loads(line) for line in lines]
        assert events[-1]["event"] == "edge"
        assert events[-1]["edge"] == step
        rows = [Rows.unpack(event["rows"]) for event in events if event["event"] == "rows"]
        # What waits at the edge is told as such, beside what has ended.
        assert np.concatenate([part.status for part in rows]).tolist().count(UNFINISHED) == (
            len(driver._outstanding)
        )
        heard += [number for part in rows for number in part.number[part.status == 200].tolist()]
    assert sorted(heard) == [n for n in range(1, 50_000, 2) if (n // 2) % 5000 < 4990]
    assert max(sizes) < 1.1 * min(sizes)


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
    ticks = [e for e in events if e["event"] == "tick"]
    assert ticks
    assert ticks[-1]["sent"] <= len(raw)
    assert run.cpu_ms_per_1000_requests > 0
    assert run.connections_opened == target.connections
    assert float(np.median(raw.lag_ms)) < 100


@pytest.mark.e2e
def test_locusts_run_ends_early_and_keeps_what_was_measured(serve, fake_target, tmp_path) -> None:
    target = serve(fake_target())
    plan = LoadPlan(target.url, schedule.steps([50] * 30, 1.0))
    run = run_driver(plan, tmp_path, lambda e: e["event"] == "step", driver="locust", workers=1)
    assert run.interrupted
    assert 50 / 2 < len(run.raw()) < 50 * 20


@pytest.mark.e2e
def test_locusts_workers_say_that_the_service_cannot_be_reached(tmp_path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        plan = LoadPlan(f"http://127.0.0.1:{unused.getsockname()[1]}/", schedule.constant(10, 1))
        with pytest.raises(LoadFailed, match=r"cannot be reached: no connection"):
            run_driver(plan, tmp_path, driver="locust", workers=1)


@pytest.mark.e2e
def test_a_stop_before_locusts_run_has_begun_ends_it_and_its_workers(tmp_path) -> None:
    plan = LoadPlan("http://127.0.0.1:9/", schedule.constant(10, 60)).save(tmp_path / "plan.json")
    command = [sys.executable, "-m", "runbook.load.locust_master", str(plan), str(tmp_path / "out")]
    with subprocess.Popen([*command, "--workers", "1"], stdout=subprocess.PIPE) as master:
        family: list[psutil.Process] = []
        until = time.monotonic() + 60
        while not family and time.monotonic() < until:
            time.sleep(0.05)
            family = psutil.Process(master.pid).children()
        master.send_signal(signal.SIGTERM)
        said, _ = master.communicate(timeout=30)
    assert master.returncode == 2
    assert json.loads(said.splitlines()[-1])["what"] == "The load was stopped"
    assert not [process for process in family if process.is_running()]
