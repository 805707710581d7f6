"""A verification as it should go: rise at 20 s, alarm, three tasks, back in the SLO, scale-in."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest

from runbook.verify import AlarmTrack, Timeline

START = datetime(2026, 1, 1, tzinfo=UTC)
P95_MS = [8, 8, 12, 30, 60, 40, 15, 12, 11, 11, 9, 8, 8, 8]
RATES = [40, 40, 60, 90, 120, 150, 180, 200, 200, 200, 30, 25, 25, 25]


def at(seconds: float) -> datetime:
    """Seconds after the rise."""
    return START + timedelta(seconds=20 + seconds)


def counts(changes: dict[int, tuple[int, int]], end_s: int = 120) -> pd.DataFrame:
    """A sample a second; `changes` give (desired, healthy) from a second on."""
    rows, now = [], (1, 1)
    for second in range(-20, end_s):
        now = changes.get(second, now)
        rows.append({"time": at(second), "desired": now[0], "running": now[1], "healthy": now[1]})
    return pd.DataFrame(rows).set_index("time")


def alarms(*rows: tuple[float, str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(
        [
            {"time": at(second), "alarm": name, "from_state": "OK", "to_state": state, "reason": ""}
            for second, name, state in rows
        ],
        columns=["time", "alarm", "from_state", "to_state", "reason"],
    )
    frame["time"] = pd.to_datetime(frame["time"], utc=True)
    return frame.set_index("time")


def metrics(p95_ms: list[float]) -> pd.DataFrame:
    index = pd.DatetimeIndex(
        [START + timedelta(seconds=10 * number) for number in range(len(p95_ms))], name="time"
    )
    columns = {"trt_p95_ms": p95_ms, "rate_rps": RATES, "host_busy_cores": [0.8] * len(p95_ms)}
    columns["throttled_pct"] = [20.0 if value > 20 else 2.0 for value in p95_ms]
    return pd.DataFrame(columns, index=index, dtype=float)


def traffic() -> pd.DataFrame:
    rates = [rate for rate in RATES for _ in range(10)]
    index = pd.DatetimeIndex([at(second - 20) for second in range(len(rates))], name="time")
    return pd.DataFrame({"offered_rps": rates, "served_rps": rates}, index=index, dtype=float)


@pytest.fixture
def story() -> SimpleNamespace:
    """The makers of other courses of events."""
    return SimpleNamespace(
        counts=counts, alarms=alarms, metrics=lambda p95: metrics([float(v) for v in p95])
    )


@pytest.fixture
def timeline() -> Timeline:
    return Timeline(
        environment="local",
        run_id="r",
        started_at=START,
        rise_at=at(0),
        fall_at=at(80),
        ended_at=at(119),
        slo_ms=20.0,
        period_s=10,
        tasks_needed=3,
        peak_rps=200.0,
        requests=10_000,
        failures={},
        driver_lag_p99_ms=0.4,
        host_cores=2,
        tracks=(
            AlarmTrack("requests-high", "requests out", "out", "OK"),
            AlarmTrack("requests-low", "requests in", "in", "OK"),
        ),
        compression={"metric_period_s": 10, "aws_metric_period_s": 60},
        traffic=traffic(),
        metrics=metrics([float(value) for value in P95_MS]),
        counts=counts({33: (3, 1), 36: (3, 3), 110: (2, 3), 112: (2, 2)}),
        alarms=alarms((32, "requests-high", "ALARM"), (105, "requests-low", "ALARM")),
        activities=pd.DataFrame(
            {"desired": [3.0, 2.0]}, index=pd.DatetimeIndex([at(33), at(110)], name="started_at")
        ),
    )
