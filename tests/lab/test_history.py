"""Histories: what is mended, what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from runbook.errors import InputInvalid
from runbook.lab.history import History, read_history
from runbook.lab.service import ServiceModel


def write(folder: Path, rows: list[tuple[str, object]], head: str = "timestamp,requests") -> Path:
    path = folder / "history.csv"
    path.write_text("\n".join([head, *(f"{at},{count}" for at, count in rows)]) + "\n")
    return path


def minutes(many: int, start: str = "2026-05-01 00:00", count: int = 600) -> list[tuple[str, int]]:
    return [
        (f"{at:%Y-%m-%d %H:%M}", count + index)
        for index, at in enumerate(pd.date_range(start, periods=many, freq="min"))
    ]


def test_a_clean_history_is_taken_as_it_is(tmp_path: Path):
    found = read_history(write(tmp_path, minutes(120)))
    assert found.step_s == 60
    assert found.rate_rps[:2].tolist() == [10.0, 601 / 60]
    assert found.mended.notes == ()
    assert str(found.start) == "2026-05-01 00:00:00+00:00"


def test_gaps_duplicates_and_order_are_mended_and_told(tmp_path: Path):
    rows = minutes(300)
    broken = [*rows[:100], *rows[110:200], rows[150], *reversed(rows[200:])]
    found = read_history(write(tmp_path, broken))
    assert len(found.rate_rps) == 300
    assert (found.mended.gaps, found.mended.gap_intervals) == (1, 10)
    assert found.mended.duplicates == 1
    assert found.mended.out_of_order > 0
    # The counts rise by one a minute, so filling straight across restores them.
    np.testing.assert_allclose(found.rate_rps * 60, [count for _, count in rows])
    assert len(found.mended.notes) == 3


def test_a_long_gap_is_filled_like_the_day_before(tmp_path: Path):
    rows = minutes(3 * 1440)
    found = read_history(write(tmp_path, rows[:1800] + rows[2000:]))
    np.testing.assert_allclose(found.rate_rps[1800:2000], found.rate_rps[360:560])
    assert "longer gap" in found.mended.notes[0]


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin"])
def test_the_doubled_hour_in_autumn(tmp_path: Path, timezone: str):
    utc = pd.date_range("2026-10-24 20:00", periods=600, freq="min", tz="UTC")
    local = utc.tz_convert("Europe/Berlin").strftime("%Y-%m-%d %H:%M")
    path = write(tmp_path, list(zip(local, range(1000, 1600), strict=True)))
    found = read_history(path, timezone=timezone)
    assert found.mended.dst_hours == 1
    if timezone == "UTC":
        assert found.mended.duplicates == 60
    else:
        assert found.start == utc[0]
        np.testing.assert_allclose(found.rate_rps * 60, np.arange(1000, 1600))


def test_the_hour_left_out_in_spring_is_no_gap(tmp_path: Path):
    utc = pd.date_range("2026-03-28 22:00", periods=600, freq="min", tz="UTC")
    local = utc.tz_convert("Europe/Berlin").strftime("%Y-%m-%d %H:%M")
    path = write(tmp_path, list(zip(local, range(1000, 1600), strict=True)))
    assert read_history(path, timezone="Europe/Berlin").mended.gaps == 0
    assert read_history(path).mended.gaps == 1


def test_few_counts_become_a_rate_over_more_minutes(tmp_path: Path):
    found = read_history(write(tmp_path, [(at, 47) for at, _ in minutes(200)]))
    assert found.rate_window_s == 300
    assert "counting noise" in found.mended.notes[0]


@pytest.mark.parametrize(
    ("rows", "head", "why"),
    [
        ([("2026-05-01 00:00", 1)], "timestamp,requests", "too short"),
        (minutes(50), "time,count", "columns"),
        ([*minutes(50), ("2026-05-01 09:00", "many")], "timestamp,requests", "no number"),
        ([*minutes(50), ("2026-05-01 09:00", -3)], "timestamp,requests", "no number"),
        ([*minutes(50), ("2026-05-01 09:00", "inf")], "timestamp,requests", "no number"),
        ([*minutes(50), ("noon", 3)], "timestamp,requests", "line 52: 'noon' is no time"),
        ([*minutes(50), ("", 3)], "timestamp,requests", "line 52 has no timestamp"),
        ([], "timestamp,requests", "0 rows"),
        (
            [*minutes(50), ("2026-05-01 09:00", "1,301")],
            "timestamp,requests",
            "line 52 has 3 values, the header 2 names; write counts without a comma",
        ),
        ([("2026-05-01 00:00", 5)] * 50, "timestamp,requests", "the same"),
        ([(at, 0) for at, _ in minutes(50)], "timestamp,requests", "no requests"),
        ([*minutes(50), ("2027-05-01 00:00", 5)], "timestamp,requests", "missing"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, rows, head, why):
    with pytest.raises(InputInvalid, match=why):
        read_history(write(tmp_path, rows, head))


def test_scaling_makes_the_train_p99_need_the_tasks(days: History, service: ServiceModel):
    train = days.rate_rps[: days.train]
    assert service.needed(np.array([np.quantile(train, 0.99)]))[0] == 10
    assert days.peak_tasks == 10
    assert "multiplied" in days.notes[0]


def test_longer_ticks_keep_every_request_of_finer_intervals(days: History):
    rates = np.random.default_rng(1).uniform(0.0, 900.0, 2_400)
    for step_s in (1, 3, 12):
        fine = replace(days, step_s=step_s, rate_rps=rates)
        ticks = fine.seconds // 20
        coarse = fine.rates(20, 0, ticks)
        assert coarse.sum() * 20 == pytest.approx(rates.sum() * step_s)
        parts = [fine.rates(20, at, min(at + 7, ticks)) for at in range(0, ticks, 7)]
        np.testing.assert_allclose(np.concatenate(parts), coarse)


def test_ticks_keep_the_requests(days: History):
    fine = days.rates(20, 0, days.seconds // 20)
    assert fine.mean() == pytest.approx(days.rate_rps.mean(), rel=1e-3)
    pieces = np.concatenate([days.rates(20, first, first + 500) for first in range(0, 2000, 500)])
    np.testing.assert_allclose(pieces, fine[:2000])
