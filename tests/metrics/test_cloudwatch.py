"""GetMetricData answers become frames: paged, ordered, in the unit the column names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from runbook.environment import Environment
from runbook.metrics.cloudwatch import MetricQuery, get_metrics, service_metrics, service_queries
from runbook.metrics.service import ServiceIdentity

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
IDENTITY = ServiceIdentity(
    "shop", "web", "service/shop/web", "app/b/1", "tg/t/1", "arn:t", "http://x"
)


def _at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class FakeCloudWatch:
    """Answers from `data[(metric, statistic)]`, one result a page, newest first as AWS may."""

    def __init__(self, data: dict[tuple[str, str], list[tuple[datetime, float]]]) -> None:
        self.data = data
        self.requests: list[dict[str, Any]] = []

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        queries = request["MetricDataQueries"]
        page = int(request.get("NextToken", 0))
        query = queries[page]
        stat = query["MetricStat"]
        points = self.data.get((stat["Metric"]["MetricName"], stat["Stat"]), [])
        result = {
            "Id": query["Id"],
            "Timestamps": [time for time, _ in reversed(points)],
            "Values": [value for _, value in reversed(points)],
        }
        more = {"NextToken": str(page + 1)} if page + 1 < len(queries) else {}
        return {"MetricDataResults": [result], **more}


def _query(column: str, metric: str, statistic: str, scale: float = 1.0) -> MetricQuery:
    return MetricQuery(column, "N", metric, statistic, {"A": "b"}, 10, scale)


def test_pages_are_followed_and_rows_ascend_in_utc() -> None:
    fake = FakeCloudWatch(
        {
            ("T", "p95"): [(_at(0), 0.012), (_at(10), 0.024)],
            ("R", "Sum"): [(_at(10), 300.0), (_at(20), 400.0)],
        }
    )
    queries = [_query("p95_ms", "T", "p95", 1000.0), _query("requests", "R", "Sum")]
    frame = get_metrics(fake, queries, START, _at(30))
    assert len(fake.requests) == 2
    assert list(frame.columns) == ["p95_ms", "requests"]
    assert isinstance(frame.index, pd.DatetimeIndex)
    assert str(frame.index.tz) == "UTC"
    assert frame.index.is_monotonic_increasing
    assert frame["p95_ms"].tolist()[:2] == pytest.approx([12.0, 24.0])
    assert frame["requests"].isna().tolist() == [True, False, False]


def test_what_lies_outside_the_window_is_cut_off() -> None:
    fake = FakeCloudWatch({("R", "Sum"): [(_at(-10), 1.0), (_at(0), 2.0), (_at(10), 3.0)]})
    frame = get_metrics(fake, [_query("requests", "R", "Sum")], START, _at(10))
    assert frame["requests"].tolist() == [2.0]


def test_no_data_is_an_empty_frame_with_its_columns() -> None:
    frame = get_metrics(FakeCloudWatch({}), [_query("requests", "R", "Sum")], START, _at(10))
    assert list(frame.columns) == ["requests"]
    assert frame.empty
    assert str(frame.index.tz) == "UTC"


def test_more_queries_than_one_call_takes_are_split() -> None:
    class Counting(FakeCloudWatch):
        def get_metric_data(self, **request: Any) -> dict[str, Any]:
            self.requests.append(request)
            assert len(request["MetricDataQueries"]) <= 500
            results = [
                {"Id": query["Id"], "Timestamps": [START], "Values": [1.0]}
                for query in request["MetricDataQueries"]
            ]
            return {"MetricDataResults": results}

    queries = [_query(f"c{number}", "R", "Sum") for number in range(501)]
    fake = Counting({})
    frame = get_metrics(fake, queries, START, _at(10))
    assert len(fake.requests) == 2
    assert frame.notna().to_numpy().all()


def _environment(name: str, period_s: int) -> Environment:
    return Environment(name, "shop", "eu-west-1", "", period_s, Path(), Path())


def test_service_metrics_convert_units_and_scale_to_minutes() -> None:
    fake = FakeCloudWatch(
        {
            ("TargetResponseTime", "p95"): [(_at(0), 0.0195)],
            ("RequestCount", "Sum"): [(_at(0), 800.0)],
            ("RequestCountPerTarget", "Sum"): [(_at(0), 400.0)],
        }
    )
    environment = _environment("local", 10)
    row = service_metrics(environment, START, _at(10), identity=IDENTITY, cloudwatch=fake).iloc[0]
    assert row["trt_p95_ms"] == pytest.approx(19.5)
    assert row["rate_rps"] == pytest.approx(80)
    assert row["requests_per_target_per_min"] == pytest.approx(2400)


def test_metrics_of_the_local_region_are_asked_only_there() -> None:
    names = {query.metric for query in service_queries(IDENTITY, 60, local=False)}
    assert "HostBusyCores" not in names
    frame = service_metrics(
        _environment("dev", 60), START, _at(60), identity=IDENTITY, cloudwatch=FakeCloudWatch({})
    )
    assert "host_busy_cores" in frame
