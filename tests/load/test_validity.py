"""When a load step is void, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbook.load.validity import Limits, StepConditions, void_reason

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
