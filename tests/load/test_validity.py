"""When a load step is void, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbook.load.measurement import StepStats
from runbook.load.validity import Limits, StepConditions, driver_void_reason, void_reason

GOOD = StepConditions(
    slo_ms=20,
    p95_ms=11,
    requests=800,
    failures=0,
    offered_rps=80,
    achieved_rps=80,
    driver_lag_p99_ms=0.3,
    host_busy_cores=0.6,
    host_cores=2,
    throttled_pct=0,
)


def test_a_clean_step_counts() -> None:
    assert void_reason(GOOD) is None


def test_a_slow_step_counts_when_the_quota_is_what_slowed_it() -> None:
    assert void_reason(replace(GOOD, p95_ms=90, throttled_pct=30)) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"p95_ms": None}, "no response time"),
        ({"requests": 0}, "no response time"),
        ({"failures": 3}, "3 of 800 requests failed"),
        ({"achieved_rps": 78}, "sent 78.0 of 80.0"),
        ({"driver_lag_p99_ms": 5.5}, "driver was late: p99 5.5 ms, allowed 5.0 ms"),
        ({"host_busy_cores": 1.15}, "1.15 of 2 cores busy, allowed 1.10"),
        ({"served": 800, "balancer_requests": 1000}, "balancer counted 1000 requests"),
        ({"p95_ms": 60, "throttled_pct": 2.0}, "the host, not the CPU quota"),
    ],
)
def test_each_limit_voids_a_step_and_says_why(change: dict, words: str) -> None:
    reason = void_reason(replace(GOOD, **change))
    assert reason is not None
    assert words in reason


def test_what_the_environment_does_not_publish_voids_nothing() -> None:
    quiet = replace(GOOD, p95_ms=60, throttled_pct=None, host_busy_cores=None, host_cores=None)
    assert void_reason(quiet) is None


def test_a_backlog_is_no_foreign_traffic() -> None:
    # 100 of 800 requests were answered in the next period only.
    for counted in (700, 800):
        assert void_reason(replace(GOOD, served=700, balancer_requests=counted)) is None


def test_limits_are_parameters() -> None:
    assert void_reason(replace(GOOD, failures=3), Limits(failures_pct=1.0)) is None
    assert void_reason(GOOD, Limits(busy_fraction=0.2)) is not None


STEP = StepStats(
    label="", start_s=0, end_s=10, rate_rps=80, requests=800, offered_rps=80, achieved_rps=80,
    served_rps=80, p50_ms=5, p95_ms=11, p99_ms=15, failures=0, lag_p95_ms=0.2, lag_p99_ms=0.3,
    driver_cpu_cores=0.1, host_busy_cores=1.5,
)  # fmt: skip


def _void(step: StepStats, **given) -> str:
    return driver_void_reason(step, slo_ms=20, **given) or ""


def test_the_driver_alone_voids_a_step_in_which_it_was_late_or_sent_too_little() -> None:
    assert not _void(STEP)
    assert "the driver was late: p99 5.1 ms, allowed 5.0" in _void(replace(STEP, lag_p99_ms=5.1))
    assert not driver_void_reason(replace(STEP, lag_p99_ms=5.1), slo_ms=21)
    assert "sent 78.0 of 80.0" in _void(replace(STEP, achieved_rps=78))
    # That the service fails is a result.
    assert not _void(replace(STEP, failures=800, p95_ms=None))


def test_a_busy_host_voids_a_step_only_where_the_service_shares_it() -> None:
    assert "1.50 of 2 cores busy" in _void(STEP, host_cores=2)
    assert not _void(STEP, host_cores=4)


def test_a_stray_request_at_an_edge_and_a_step_with_nothing_due_void_nothing() -> None:
    few = replace(STEP, requests=10, offered_rps=1, achieved_rps=0.9)
    assert not _void(few)
    assert "sent 0.8 of 1.0" in _void(replace(few, achieved_rps=0.8))
    assert not _void(replace(STEP, requests=0, offered_rps=0, achieved_rps=0, p95_ms=None))
