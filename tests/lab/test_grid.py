"""Histories as they really are: changing intervals, uneven stamps, wild values, two clocks."""

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from runbook.errors import InputInvalid
from runbook.lab.history import make_history, read_history

START = pd.Timestamp("2026-04-06", tz="UTC")
RPS = 20.0


def stamps(seconds: np.ndarray) -> pd.DatetimeIndex:
    return START + pd.to_timedelta(np.round(seconds * 1000), unit="ms")


def wave(seconds: np.ndarray) -> np.ndarray:
    """A daily wave around 20 requests/s."""
    return RPS * (1.0 + 0.5 * np.sin(2.0 * np.pi * seconds / 86_400))


def write(folder: Path, rows: list[tuple[str, object]]) -> Path:
    path = folder / "history.csv"
    path.write_text("\n".join(["timestamp,requests", *(f"{at},{n}" for at, n in rows)]) + "\n")
    return path


@pytest.mark.parametrize("order", [(60, 300), (300, 60), (3600, 300, 60), (300, 3600)])
def test_a_change_of_the_interval_keeps_the_rate(order: tuple[int, ...]) -> None:
    at, counts, now = [], [], 0
    for step_s in order:
        for _ in range(2 * 86_400 // step_s):
            at.append(now)
            counts.append(step_s * float(wave(np.array(now + step_s / 2))))
            now += step_s
    found = make_history("mixed", stamps(np.array(at)), np.array(counts))
    assert found.step_s == min(order)
    assert found.mended.gaps == 0
    middles = (np.arange(len(found.rate_rps)) + 0.5) * found.step_s
    np.testing.assert_allclose(found.rate_rps, wave(middles), rtol=0.15)
    assert found.rate_rps.sum() * found.step_s == pytest.approx(sum(counts))
    (note,) = [note for note in found.mended.notes if "interval changes" in note]
    assert f"{order[1]} s from 2026-04-08 00:00 UTC" in note


def test_rows_that_are_merely_missing_do_not_change_the_interval() -> None:
    minutes = np.arange(600)
    kept = (minutes < 300) | (minutes >= 400) | (minutes % 2 == 0)
    found = make_history("holes", stamps(minutes[kept] * 60.0), np.full(kept.sum(), 1200.0))
    assert found.mended.gap_intervals == 50
    np.testing.assert_allclose(found.rate_rps, RPS)


def test_intervals_that_do_not_fit_are_refused() -> None:
    at = np.concatenate((np.arange(100) * 60.0, 6000 + np.arange(100) * 90.0))
    counts = np.concatenate((np.full(100, 1200.0), np.full(100, 1800.0)))
    with pytest.raises(InputInvalid, match="60 s, 90 s, which are no multiples"):
        make_history("unlike", stamps(at), counts)


def test_stamps_around_the_minute_are_put_in_their_minute() -> None:
    generator = np.random.default_rng(4)
    minutes = np.arange(3 * 1440)
    at = minutes * 60.0 + np.round(generator.uniform(-25, 25, len(minutes)))
    counts = 60.0 * wave(minutes * 60.0 + 30.0)
    found = make_history("jitter", stamps(at), counts)
    assert found.step_s == 60
    assert found.mended.gaps == 0
    np.testing.assert_allclose(found.rate_rps * 60.0, counts)
    assert "moved to the nearest interval" in " ".join(found.mended.notes)


def test_stamps_that_drift_keep_their_requests() -> None:
    generator = np.random.default_rng(5)
    distances = np.round(60.0 + generator.uniform(-25, 25, 3 * 1440))
    at = np.concatenate(([0.0], np.cumsum(distances)[:-1]))
    counts = distances * wave(at + distances / 2.0)
    found = make_history("drift", stamps(at), counts)
    assert found.step_s == 60
    assert found.mended.gaps == 0
    middles = (np.arange(len(found.rate_rps)) + 0.5) * 60.0
    np.testing.assert_allclose(found.rate_rps[:-2], wave(middles)[:-2], rtol=0.02)
    assert "spread over the time until the next stamp" in " ".join(found.mended.notes)


def test_stamps_without_any_interval_are_refused() -> None:
    at = np.cumsum(np.random.default_rng(6).exponential(60.0, 2000))
    with pytest.raises(InputInvalid, match="keep no interval"):
        make_history("events", stamps(at), np.ones(2000))


def test_half_seconds_are_called_too_fine() -> None:
    with pytest.raises(InputInvalid, match=r"0\.5 s apart.*sum them up"):
        make_history("fine", stamps(np.arange(100) * 0.5), np.ones(100))


@pytest.mark.parametrize("year", [2999, 9999])
def test_a_mistyped_year_is_refused_before_room_is_made_for_it(tmp_path: Path, year: int) -> None:
    rows: list[tuple[str, object]] = [
        (f"2026-05-01 {at // 60:02d}:{at % 60:02d}", 600) for at in range(300)
    ]
    path = write(tmp_path, [*rows, (f"{year}-05-01 00:00", 600)])
    tracemalloc.start()
    with pytest.raises(InputInvalid, match=f"between 2026-05-01 04:59:00 and {year}-05-01"):
        read_history(path)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


@pytest.mark.parametrize("count", [1e18, 1e308])
def test_counts_beyond_any_service_are_refused(count: float) -> None:
    counts = np.full(300, 600.0)
    counts[100] = count
    with pytest.raises(InputInvalid, match="2026-04-06 01:40 UTC is more than"):
        make_history("wild", stamps(np.arange(300) * 60.0), counts)


def test_a_lone_peak_is_kept_and_told() -> None:
    counts = np.full(300, 600.0)
    counts[100] = 600_000.0
    found = make_history("peak", stamps(np.arange(300) * 60.0), counts)
    assert found.rate_rps.max() == 10_000.0
    assert "1000 times the 99th percentile" in " ".join(found.mended.notes)


@pytest.mark.parametrize("first", ["Z", ""])
def test_two_clocks_in_one_file_are_refused(tmp_path: Path, first: str) -> None:
    rows: list[tuple[str, object]] = [(f"2026-05-01T00:{at:02d}{first}", 600) for at in range(40)]
    rows += [(f"2026-05-01T01:{at:02d}{'' if first else '+02:00'}", 600) for at in range(20)]
    lines = (2, 42) if first else (42, 2)
    with pytest.raises(InputInvalid, match=f"line {lines[0]} has an offset .* line {lines[1]}"):
        read_history(write(tmp_path, rows))


def test_two_clocks_are_refused_across_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook.lab.rows._PIECE_ROWS", 20)
    rows: list[tuple[str, object]] = [(f"2026-05-01T00:{at:02d}", 600) for at in range(40)]
    rows += [(f"2026-05-01T01:{at:02d}Z", 600) for at in range(20)]
    with pytest.raises(InputInvalid, match="line 42 has an offset from UTC, the one in line 2"):
        read_history(write(tmp_path, rows))


def test_hourly_summer_time_is_named_without_a_timezone(tmp_path: Path) -> None:
    for begin, word in (("2026-10-24", "come twice"), ("2026-03-28", "missing as at")):
        utc = pd.date_range(begin, periods=72, freq="h", tz="UTC")
        local = utc.tz_convert("Europe/Berlin").strftime("%Y-%m-%d %H:%M")
        path = write(tmp_path, [(at, 90_000) for at in local])
        naive, aware = read_history(path), read_history(path, timezone="Europe/Berlin")
        assert naive.mended.dst_hours == aware.mended.dst_hours == 1
        assert word in " ".join(naive.mended.notes)
        assert (aware.mended.gaps, aware.mended.duplicates) == (0, 0)
        assert len(aware.rate_rps) == 72
