"""The look back: what counts as a broken promise, and what is read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from runbook.environment import load_environment
from runbook.errors import InputInvalid
from runbook.verify import review
from runbook.verify.review import Review, look_back

PROJECT = Path(__file__).parents[2]
COLUMNS = ["requests", "rate_rps", "trt_p95_ms", "target_5xx", "elb_5xx", "running"]


def seen(*rows: tuple[str, float | None, float | None, float | None, float | None]) -> Review:
    """(time, requests in a minute, p95 in ms, 5xx of tasks, 5xx of the balancer) each."""
    frame = pd.DataFrame(
        [
            (n, n and n / 60, p95, by_task, by_balancer, 2.0)
            for _, n, p95, by_task, by_balancer in rows
        ],
        columns=COLUMNS,
        index=pd.DatetimeIndex([time for time, *_ in rows], tz="UTC"),
        dtype=float,
    )
    alarms = pd.DataFrame({"alarm": ["a", "a"], "to_state": ["ALARM", "OK"]})
    return Review(frame, alarms, pd.DataFrame({"desired": [2.0]}), 20.0, 0.5, 0.1)


def test_quiet_days_keep_the_promise() -> None:
    found = seen(
        ("2026-11-20 10:00", 600, 12, None, None), ("2026-11-21 10:00", 1200, 19, None, None)
    )
    assert (found.requests, found.violating_pct, found.failed_pct) == (1800, 0, 0)
    assert found.problems() == []
    assert found.story() == [
        "1800 requests, at most 20.0 a second in a metric period",
        "1 times a scaling alarm went off, 1 scaling activities",
    ]


@pytest.mark.parametrize(
    ("slow", "failed", "said"),
    [(4, 0, []), (6, 0, ["0.60 %"]), (0, 1, []), (0, 2, ["0.20 %"]), (6, 2, ["0.60 %", "0.20 %"])],
)
def test_what_is_beyond_its_budget_is_a_problem(
    slow: float, failed: float, said: list[str]
) -> None:
    found = seen(
        ("2026-11-20 10:00", 1000 - slow, 12, failed, None), ("2026-11-20 10:01", slow, 21, 0, None)
    )
    assert [text.split(" of")[0] for text in found.problems()] == said


def test_what_no_task_saw_counts_as_failed() -> None:
    found = seen(("2026-11-20 10:00", None, None, None, 5))
    assert found.failed_pct == 100
    assert "No request" in found.story()[0]


def test_nothing_at_all_is_no_problem_and_is_said() -> None:
    found = seen()
    assert (found.violating_pct, found.failed_pct, found.problems()) == (0, 0, [])
    assert "No request" in found.story()[0]
    assert found.days().empty


def test_a_day_is_a_row() -> None:
    days = seen(
        ("2026-11-20 23:58", 60, 12, None, None),
        ("2026-11-20 23:59", 180, 30, 2, 1),
        ("2026-11-21 00:00", 120, 15, None, None),
    ).days()
    assert days.to_dict("records") == [
        {"day": "2026-11-20", "requests": 240, "peak_rps": 3, "worst_p95_ms": 30, "failed": 3,
         "tasks_max": 2, "violating_pct": 75},
        {"day": "2026-11-21", "requests": 120, "peak_rps": 2, "worst_p95_ms": 15, "failed": 0,
         "tasks_max": 2, "violating_pct": 0},
    ]  # fmt: skip


def test_the_window_and_the_slo_are_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    for name in ("service_metrics", "alarm_history", "scaling_activities"):
        monkeypatch.setattr(review, name, lambda *given: asked.append(given) or pd.DataFrame())
    environment = load_environment("dev", PROJECT)
    now = datetime(2026, 11, 27, 6, tzinfo=UTC)
    found = look_back(environment, days=7, budget_pct=0.5, errors_pct=0.1, now=now)
    assert asked == [(environment, datetime(2026, 11, 20, 6, tzinfo=UTC), now)] * 3
    assert found.slo_ms == pytest.approx(20.0)


@pytest.mark.parametrize("days", [0, -1, 15.5])
def test_more_than_cloudwatch_keeps_is_refused(days: float) -> None:
    with pytest.raises(InputInvalid, match="15 days"):
        look_back(load_environment("dev", PROJECT), days=days, budget_pct=0.5, errors_pct=0.1)
