"""A phase ends before it does harm: by refusals, silence, a backlog, a response time far beyond."""

from __future__ import annotations

from typing import Any

import pytest

from runbook.capacity.phase import Stop, Watch, slo_p95_ms
from runbook.capacity.plan import ExperimentPlan
from runbook.load.plan import LoadPlan
from runbook.load.schedule import constant, steps

RATE = 100.0


def _watch(*rates: float) -> Watch:
    segments = (*constant(10.0, 2.0, "warm-up"), *steps(rates or (RATE, 2 * RATE), 10))
    return Watch(ExperimentPlan(), segments, lambda rate: None)


def _tick(elapsed_s: float, sent: int, outstanding: int = 0, failures: int = 0) -> dict[str, Any]:
    return {
        "event": "tick",
        "elapsed_s": elapsed_s,
        "sent": sent,
        "outstanding": outstanding,
        "failures": failures,
    }


def _step(
    number: int, p95_ms: float | None, failures: int = 0, **classes: float | None
) -> dict[str, Any]:
    by_class = {name: {"p95_ms": value} for name, value in (classes or {"read": p95_ms}).items()}
    return {
        "event": "step",
        "step": number,
        "p95_ms": p95_ms,
        "requests": 1000,
        "failures": failures,
        "by_class": by_class,
    }


def test_quick_refusals_stop_the_step_though_p95_is_good() -> None:
    watch = _watch()
    assert not watch.see(_tick(2.5, 70))
    # Three failures may be chance, a tenth of all requests is not.
    assert not watch.see(_tick(3.0, 120, failures=3))
    assert watch.see(_tick(4.0, 220, failures=15))
    assert watch.stop == Stop(RATE, "15 of 150 requests failed", harm=True)


def test_failures_count_from_the_beginning_of_the_step() -> None:
    watch = _watch()
    assert not watch.see(_tick(1.0, 10, failures=3))
    assert not watch.see(_tick(2.5, 70, failures=3))
    assert not watch.see(_tick(10.0, 800, failures=6))


def test_failures_of_the_warm_up_stop_it_but_say_nothing_of_the_rate() -> None:
    watch = _watch()
    assert watch.see(_tick(1.0, 10, failures=4))
    assert watch.stop == Stop(10.0, "4 of 10 requests failed", harm=False)


def test_a_step_in_which_all_failed_has_no_response_time_and_stops() -> None:
    watch = _watch()
    assert watch.see(_step(1, None, failures=1000))
    assert watch.stop == Stop(RATE, "1000 of 1000 requests failed", harm=True)
    assert _watch().see(_step(1, 4.0, failures=30))
    assert not _watch().see(_step(1, 4.0, failures=20))


def test_requests_without_an_answer_at_a_steps_end_are_not_called_failed() -> None:
    watch = _watch()
    kinds = {"HTTP 503": 5, "unfinished at the end": 27}
    assert watch.see(_step(1, 4.0, failures=32) | {"failure_kinds": kinds})
    why = "32 of 1000 requests failed or had no answer at the step's end"
    assert watch.stop == Stop(RATE, why, harm=True)


def test_silence_stops_however_low_the_rate() -> None:
    watch = _watch(2.0)
    assert not watch.see(_tick(2.5, 21, outstanding=0))
    assert not watch.see(_tick(5.0, 26, outstanding=5))
    assert watch.see(_tick(6.0, 28, outstanding=7))
    assert watch.stop == Stop(2.0, "nothing was answered for 3 s", harm=True)


@pytest.mark.parametrize("rate", [20.0, 100.0, 1000.0])
def test_a_backlog_stops_whatever_the_driver_can_let_wait(rate: float) -> None:
    """Three seconds of load, or what the driver's connections can hold: whichever is less."""
    most = int(min(3 * rate, 0.9 * LoadPlan.max_connections))
    assert not _watch(rate).see(_tick(2.5, 3000, outstanding=most))
    assert _watch(rate).see(_tick(2.5, 3000, outstanding=most + 1))


def test_one_slow_step_may_be_chance_a_second_one_or_a_very_slow_one_stops() -> None:
    watch = _watch()
    assert not watch.see(_step(1, 70.0))
    assert watch.see(_step(2, 70.0))
    assert watch.stop is not None
    assert not watch.stop.harm
    assert _watch().see(_step(1, 210.0))


def test_credentials_are_slow_by_design_and_stop_nothing() -> None:
    slow = _step(1, 400.0, read=5.0, write=8.0, credential=400.0)
    assert slo_p95_ms(slow) == 8.0
    assert not _watch().see(slow)
    assert slo_p95_ms(_step(1, 400.0, credential=400.0)) == 400.0
