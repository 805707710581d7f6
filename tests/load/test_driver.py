"""The driver against a fake target: exact counts, honest latency, clean ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from hdrh.histogram import HdrHistogram

from runbook.errors import LoadFailed
from runbook.load import schedule
from runbook.load.kinds import Accounts, RequestKind
from runbook.load.plan import LoadPlan
from runbook.load.recording import HISTOGRAM_FILE, export_csv, read_results
from runbook.load.run import run_driver


def test_every_scheduled_request_leaves_once_and_is_answered(serve, fake_target, tmp_path) -> None:
    target = serve(fake_target())
    plan = LoadPlan(target.url, schedule.steps([60, 120], 1.0), seed=4)
    run = run_driver(plan, tmp_path)
    intended = schedule.arrivals(plan.segments, seed=4)
    raw = run.raw()
    np.testing.assert_allclose(raw.intended_s, intended)
    assert len(target.served) == len(intended)
    assert np.all(raw.status == 200)
    assert np.all(raw.done_s >= raw.sent_s)
    assert [step.requests for step in run.steps] == np.histogram(intended, [0, 1, 2])[0].tolist()
    for step in run.steps:
        assert step.achieved_rps == pytest.approx(step.offered_rps, rel=0.05)
        assert step.failures == 0
        assert step.host_busy_cores > 0
    assert not run.interrupted


def test_a_stall_shows_in_the_percentiles_of_the_requests_it_delayed(
    serve, fake_target, tmp_path
) -> None:
    target = serve(fake_target(stall_from_s=0.5, stall_s=1.0))
    plan = LoadPlan(target.url, schedule.constant(100, 3), process="uniform")
    step = run_driver(plan, tmp_path).steps[0]
    # A third of the requests were due during the stall: their waits spread over 0..1 s, which
    # makes 970 and 850 ms, and more where the target is slow to catch up.
    assert step.p99_ms is not None
    assert step.p95_ms is not None
    assert step.p50_ms is not None
    assert 910 < step.p99_ms < 1200
    assert 770 < step.p95_ms < 1100
    assert step.p50_ms < 100
    assert step.achieved_rps == pytest.approx(100, rel=0.02)
    # The requests left on time all the same, as far as the machine let them.
    assert step.lag_p99_ms < 100


def test_the_histogram_holds_every_request_and_its_percentile(serve, fake_target, tmp_path) -> None:
    target = serve(fake_target())
    run = run_driver(LoadPlan(target.url, schedule.constant(80, 1.0)), tmp_path)
    stored = json.loads((tmp_path / HISTOGRAM_FILE).read_text())
    histogram = HdrHistogram.decode(stored["steps"][0]["hdr"])
    assert histogram.get_total_count() == len(run.raw())
    assert run.steps[0].p95_ms is not None
    p95_us = histogram.get_value_at_percentile(95)
    assert p95_us / 1000 == pytest.approx(run.steps[0].p95_ms, rel=0.01)


def test_failures_are_counted_by_kind(serve, fake_target, tmp_path) -> None:
    target = serve(fake_target(fail_every=4))
    plan = LoadPlan(target.url, schedule.constant(80, 1.0), process="uniform")
    step = run_driver(plan, tmp_path).steps[0]
    assert step.requests == 80
    assert step.failures == 20
    assert step.failure_kinds == {"HTTP 503": 20}


def test_dropped_connections_fail_their_request_and_are_replaced(
    serve, fake_target, tmp_path
) -> None:
    target = serve(fake_target(drop_every=10))
    plan = LoadPlan(target.url, schedule.constant(60, 1.0), process="uniform")
    step = run_driver(plan, tmp_path).steps[0]
    assert step.failure_kinds == {"connection lost": 6}


@pytest.mark.parametrize("style", [{"chunked": True}, {"close_each": True}])
def test_other_framings_of_an_answer_are_understood(serve, fake_target, tmp_path, style) -> None:
    target = serve(fake_target(**style))
    plan = LoadPlan(target.url, schedule.constant(50, 1.0), process="uniform", warm_connections=1)
    step = run_driver(plan, tmp_path).steps[0]
    assert step.requests == 50
    assert step.failures == 0


def test_requests_beyond_the_connection_limit_fail_instead_of_waiting(
    serve, fake_target, tmp_path
) -> None:
    target = serve(fake_target(hang=True))
    plan = LoadPlan(
        target.url,
        schedule.constant(40, 1.0),
        process="uniform",
        max_connections=10,
        timeout_s=0.4,
    )
    started = time.monotonic()
    step = run_driver(plan, tmp_path).steps[0]
    assert step.failures == 40
    assert step.failure_kinds["timed out"] >= 10
    assert step.failure_kinds["no connection free"] > 0
    # Whoever waited for a connection would wait for ever.
    assert time.monotonic() - started < 40


def test_a_service_that_nobody_runs_is_an_error_with_advice(tmp_path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        plan = LoadPlan(f"http://127.0.0.1:{port}/", schedule.constant(10, 1))
        with pytest.raises(LoadFailed, match=r"cannot be reached: .*; check the address"):
            run_driver(plan, tmp_path)


def test_the_run_can_be_ended_by_its_follower_and_keeps_its_data(
    serve, fake_target, tmp_path
) -> None:
    target = serve(fake_target())
    plan = LoadPlan(target.url, schedule.steps([50] * 20, 0.5), process="uniform")
    run = run_driver(plan, tmp_path, lambda event: event["event"] == "step" and event["step"] == 1)
    assert run.interrupted
    assert len(run.steps) < 20
    assert [step.requests for step in run.steps[:2]] == [25, 25]
    assert len(run.raw()) == sum(step.requests for step in run.steps)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_cleanly_with_partial_data(
    serve, fake_target, tmp_path: Path, number: signal.Signals
) -> None:
    target = serve(fake_target())
    plan = LoadPlan(target.url, schedule.constant(50, 60)).save(tmp_path / "given.json")
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-m", "runbook.load.driver", str(plan), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "tick":
                break
        process.send_signal(number)
        rest, complaints = process.communicate(timeout=30)
    assert process.returncode == 0
    assert complaints == b""
    assert json.loads(rest.splitlines()[-1])["event"] == "finished"
    run = read_results(out)
    assert run.interrupted
    assert len(run.raw()) >= 30


def test_an_exception_in_the_follower_leaves_no_process(serve, fake_target, tmp_path) -> None:
    target = serve(fake_target())
    plan = LoadPlan(target.url, schedule.constant(50, 60))

    def fail(event: dict) -> bool:
        raise RuntimeError("the notebook was interrupted")

    started = time.monotonic()
    with pytest.raises(RuntimeError):
        run_driver(plan, tmp_path, fail)
    assert time.monotonic() - started < 40
    count = len(target.served)
    time.sleep(0.3)
    assert len(target.served) == count


def test_kinds_classes_and_users_are_told_apart(serve, fake_target, tmp_path) -> None:
    target = serve(fake_target(login=True))
    kinds = (
        RequestKind("list", "/products", weight=3),
        RequestKind("order", "/orders", "POST", body='{"n": {sequence}}', authenticated=True),
    )
    plan = LoadPlan(
        target.url, schedule.constant(100, 1.0), kinds=kinds, accounts=Accounts(count=2)
    )
    run = run_driver(plan, tmp_path)
    step = run.steps[0]
    assert set(step.by_class) == {"read", "write"}
    assert step.failures == 0
    assert sum(int(row["requests"] or 0) for row in step.by_class.values()) == step.requests
    tokens = {line for line in target.authorizations if line}
    assert tokens == {"Bearer token-0", "Bearer token-1"}
    assert len(set(target.bodies)) == step.by_class["write"]["requests"]
    stored = json.loads((tmp_path / HISTOGRAM_FILE).read_text())["steps"][0]["by_class"]
    for name, row in step.by_class.items():
        assert HdrHistogram.decode(stored[name]).get_total_count() == row["requests"]
    rows = export_csv(run, tmp_path / "all.csv.gz")
    frame = pd.read_csv(tmp_path / "all.csv.gz")
    assert rows == len(frame) == step.requests
    assert dict(frame["route_class"].value_counts()) == {
        name: row["requests"] for name, row in step.by_class.items()
    }


def test_a_driver_whose_parent_was_killed_stops(serve, fake_target, tmp_path: Path) -> None:
    target = serve(fake_target())
    plan = LoadPlan(target.url, schedule.constant(20, 120.0)).save(tmp_path / "plan.json")
    code = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", "runbook.load.driver", {str(plan)!r},
                          {str(tmp_path)!r}], stdout=subprocess.DEVNULL, start_new_session=True)
print(child.pid, flush=True)
time.sleep(100)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    driver = psutil.Process(int(parent.stdout.readline()))
    deadline = time.monotonic() + 30
    while not target.served:
        assert time.monotonic() < deadline, "no request came"
        time.sleep(0.05)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 20
    # Whoever inherits it need not ask for its exit code.
    while driver.is_running() and driver.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it goes on"
        time.sleep(0.1)


def test_users_who_cannot_log_in_stop_the_load(serve, fake_target, tmp_path) -> None:
    target = serve(fake_target())
    plan = LoadPlan(target.url, schedule.constant(10, 1.0), accounts=Accounts(count=1))
    with pytest.raises(LoadFailed, match="without a text in 'token'"):
        run_driver(plan, tmp_path)


def test_a_driver_that_starts_late_makes_up_for_it_in_the_first_segment(
    serve, fake_target, tmp_path
) -> None:
    target = serve(fake_target())
    planned = time.time() - 0.5
    segments = (*schedule.constant(20, 8.0, "warm-up"), *schedule.constant(40, 1.0))
    run = run_driver(LoadPlan(target.url, segments, start_at_epoch_s=planned), tmp_path)
    first, second = run.steps
    assert run.started_at_epoch_s > planned
    assert first.end_s < 7.6
    # It is at least half a second late, the second segment is not.
    assert run.started_at_epoch_s + second.start_s == pytest.approx(planned + 8.0, abs=0.3)
    assert second.end_s - second.start_s == pytest.approx(1.0, abs=0.05)


def test_what_a_late_start_cannot_make_up_is_left_as_it_was() -> None:
    segments = (*schedule.constant(20, 3.0), *schedule.constant(40, 1.0))
    plan = LoadPlan("http://127.0.0.1:1", segments)
    assert plan.caught_up(5.0) is plan, "begins at once"
    plan = replace(plan, start_at_epoch_s=100.0)
    assert plan.caught_up(99.0) is plan, "early"
    assert plan.caught_up(103.5) is plan, "too late"
    ramp = replace(plan, segments=(schedule.Segment(4.0, 0.0, 40.0), segments[1]))
    caught_up = ramp.caught_up(101.0)
    assert caught_up.segments[0] == schedule.Segment(3.0, 10.0, 40.0)
    assert caught_up.segments[1] is ramp.segments[1]
    assert caught_up.start_at_epoch_s == 101.0
