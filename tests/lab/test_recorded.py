"""A service's own history from CloudWatch: periods by age, silence, pages, replay offline."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from runbook.environment import Environment
from runbook.errors import InputInvalid
from runbook.lab.history import history_of, read_history
from runbook.lab.recorded import recorded_rows, write_rows

NOW = datetime(2026, 11, 27, 10, 30, 30, tzinfo=UTC)
PAGE = 500


class FakeCloudWatch:
    """One balancer with 2 requests/s by day, silent from midnight to six; keeps by age as AWS."""

    def __init__(self, born: datetime) -> None:
        self.born = born
        self.periods: set[int] = set()

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        (query,) = request["MetricDataQueries"]
        stat = query["MetricStat"]
        assert stat["Metric"]["MetricName"] == "RequestCount"
        assert stat["Metric"]["Dimensions"] == [{"Name": "LoadBalancer", "Value": "app/web/1"}]
        assert stat["Stat"] == "Sum"
        period_s = stat["Period"]
        self.periods.add(period_s)
        age_days = (NOW - request["StartTime"]).total_seconds() / 86_400
        coarsest = 60 if age_days <= 15 else 300 if age_days <= 63 else 3600
        assert period_s % coarsest == 0 or period_s < 60, "CloudWatch would answer nothing"
        assert request["StartTime"].timestamp() % period_s == 0
        stamps = pd.date_range(
            max(request["StartTime"], self.born),
            request["EndTime"],
            freq=f"{period_s}s",
            inclusive="left",
        )
        stamps = stamps[stamps.hour >= 6]
        first = int(request.get("NextToken", 0))
        page = stamps[first : first + PAGE]
        more = {"NextToken": str(first + PAGE)} if first + PAGE < len(stamps) else {}
        result = {
            "Id": query["Id"],
            "Timestamps": page.to_pydatetime().tolist(),
            "Values": [2.0 * period_s] * len(page),
        }
        return {"MetricDataResults": [result], **more}


def environment(tmp_path: Path, name: str = "dev", period_s: int = 60) -> Environment:
    return Environment(name, "shop", "eu-west-1", "", period_s, tmp_path, tmp_path)


def rows(tmp_path: Path, days: int, born: datetime = datetime(2020, 1, 1, tzinfo=UTC)) -> Any:
    fake = FakeCloudWatch(born)
    found = recorded_rows(
        environment(tmp_path), days, now=NOW, balancer="app/web/1", cloudwatch=fake
    )
    return found, fake


@pytest.mark.parametrize(
    ("days", "periods"), [(14, {60}), (15, {60}), (40, {60, 300}), (90, {60, 300, 3600})]
)
def test_each_part_comes_in_the_finest_period_still_kept(
    tmp_path: Path, days: int, periods: set[int]
) -> None:
    found, fake = rows(tmp_path, days)
    assert fake.periods == periods
    history = history_of("dev", found)
    assert history.step_s == 60
    assert history.mended.gaps == 0
    assert history.days == pytest.approx(days, abs=0.05)
    by_day = history.start + pd.to_timedelta(np.arange(len(found.requests)) * 60, unit="s")
    np.testing.assert_allclose(found.requests, np.where(by_day.hour >= 6, 120.0, 0.0))


def test_silence_is_told_and_what_lies_before_the_service_left_out(tmp_path: Path) -> None:
    found, _ = rows(tmp_path, 14, born=NOW - timedelta(days=2, minutes=0, seconds=30))
    assert found.stamps[0] == pd.Timestamp("2026-11-25 10:30", tz="UTC")
    told = " ".join(found.notes)
    assert "RequestCount of app/web/1, in periods of 60 s from 2026-11-25 10:30" in told
    # The last three may not be published yet.
    assert f"{2 * 6 * 60} of {2 * 24 * 60 - 3} periods without a datapoint: no requests" in told


def test_the_csv_gives_the_same_history(tmp_path: Path) -> None:
    found, _ = rows(tmp_path, 40)
    again = read_history(write_rows(tmp_path / "kept" / "history.csv", found))
    now = history_of("dev", found)
    np.testing.assert_allclose(again.rate_rps, now.rate_rps)
    assert (again.start, again.step_s) == (now.start, now.step_s)


def test_the_local_region_keeps_its_own_period(tmp_path: Path) -> None:
    fake = FakeCloudWatch(NOW - timedelta(hours=2))
    found = recorded_rows(
        environment(tmp_path, "local", 10), 1, now=NOW, balancer="app/web/1", cloudwatch=fake
    )
    assert fake.periods == {10}
    assert history_of("local", found).step_s == 10


def test_no_traffic_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="reported no RequestCount in the last 3 days"):
        rows(tmp_path, 3, born=NOW)
