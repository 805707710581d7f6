"""Arrival schedules: exact counts, right rates, reproducible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runbook.errors import InputInvalid
from runbook.load import schedule


def test_uniform_arrivals_are_evenly_spaced() -> None:
    times = schedule.arrivals(schedule.constant(10, 5), process="uniform")
    assert len(times) == 50
    np.testing.assert_allclose(np.diff(times), 0.1)
    assert times[0] == pytest.approx(0.05)


def test_poisson_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() -> None:
    times = schedule.arrivals(schedule.constant(100, 200), seed=3)
    gaps = np.diff(times)
    assert len(times) == pytest.approx(20_000, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.03)
    assert np.all(gaps >= 0)


def test_the_same_seed_gives_the_same_arrivals_and_another_seed_others() -> None:
    segments = schedule.constant(50, 10)
    first = schedule.arrivals(segments, seed=1)
    np.testing.assert_array_equal(first, schedule.arrivals(segments, seed=1))
    assert not np.array_equal(first[:20], schedule.arrivals(segments, seed=2)[:20])


def test_steps_put_each_rate_into_its_own_window() -> None:
    times = schedule.arrivals(schedule.steps([10, 40, 20], 5), process="uniform")
    counts = np.histogram(times, bins=[0, 5, 10, 15])[0]
    assert counts.tolist() == [50, 200, 100]


def test_a_ramp_follows_its_rate() -> None:
    segments = schedule.ramp(0, 100, 10)
    times = schedule.arrivals(segments, process="uniform")
    assert len(times) == 500
    counts = np.histogram(times, bins=np.arange(11))[0]
    np.testing.assert_allclose(counts, np.arange(5, 100, 10), atol=1)


def test_a_falling_ramp_down_to_nothing_stays_within_its_segment() -> None:
    times = schedule.arrivals(schedule.ramp(80, 0, 5), process="uniform")
    assert times[-1] <= 5
    assert np.all(np.diff(times) > 0)


def test_a_pause_between_steps_has_no_arrivals() -> None:
    times = schedule.arrivals(schedule.steps([20, 0, 20], 2), seed=5)
    assert not np.any((times >= 2) & (times < 4))
    assert np.any(times >= 4)


def test_rate_at_reads_the_schedule_back() -> None:
    segments = (*schedule.constant(10, 5), *schedule.ramp(10, 30, 10))
    np.testing.assert_allclose(
        schedule.rate_at(segments, np.array([-1, 0, 4.9, 5, 10, 14.999, 15])),
        [0, 10, 10, 10, 20, 29.998, 0],
    )
    assert schedule.duration_s(segments) == 15


@pytest.mark.parametrize("bad", [(0, 1, 1), (5, -1, 1), (5, 1, -1)])
def test_nonsense_segments_are_refused(bad: tuple[float, float, float]) -> None:
    with pytest.raises(InputInvalid, match="cannot be used"):
        schedule.Segment(*bad)


def test_an_unknown_process_and_an_empty_schedule_are_refused() -> None:
    with pytest.raises(InputInvalid, match="no arrival process"):
        schedule.arrivals(schedule.constant(1, 1), process="gaussian")  # type: ignore[arg-type]
    with pytest.raises(InputInvalid, match="empty"):
        schedule.arrivals(())


def test_a_history_is_replayed_at_a_scale(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text(
        "timestamp,requests\n2026-01-01T00:00Z,600\n2026-01-01T00:05Z,1200\n2026-01-01T00:10Z,0\n"
    )
    segments = schedule.replay(path, rate_scale=10, time_scale=60)
    assert [segment.duration_s for segment in segments] == [5.0] * 3
    assert [segment.start_rps for segment in segments] == pytest.approx([20, 40, 0])
    assert len(schedule.arrivals(segments, process="uniform")) == 300


@pytest.mark.parametrize(
    "text",
    ["timestamp,requests\n1,2\n", "a,b\n1,2\n", "timestamp,requests\n2026-01-01,x\n2026-01-02,1",
     "timestamp,requests\n2026-01-01,-1\n2026-01-02,1\n",
     "timestamp,requests\n2026-01-01,1\n2026-01-02,1\n2026-01-09,1\n"],
)  # fmt: skip
def test_a_history_that_cannot_be_replayed_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "h.csv").write_text(text)
    with pytest.raises(InputInvalid, match="cannot be replayed"):
        schedule.replay(tmp_path / "h.csv")
