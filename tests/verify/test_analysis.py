"""The verdict: every promise can be broken on its own, and is then named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from runbook.errors import InputInvalid
from runbook.verify import Timeline, analyse


def test_the_moments_of_a_kept_promise(timeline: Timeline) -> None:
    seen = analyse(timeline)
    assert seen.verdict == "pass"
    assert (seen.t1_s, seen.t2_s, seen.t3_s, seen.t4_s) == (32.0, 36.0, 50.0, 110.0)
    assert (seen.desired_before, seen.desired_peak, seen.desired_after) == (1, 3, 2)
    assert seen.worst_p95_ms == 60.0
    assert seen.story[0] == "32 s: alarm 'requests out' went off"
    assert "desired count rose from 1, up to 3" in seen.story[1]
    assert "compressed" in seen.compression
    assert "AWS 60 s" in seen.compression


def test_p95_that_never_left_counts_as_kept(timeline: Timeline, story: SimpleNamespace) -> None:
    seen = analyse(replace(timeline, metrics=story.metrics([10] * 14)))
    assert seen.verdict == "pass"
    assert seen.t3_s == 0.0
    assert any("never left" in line for line in seen.story)


SLOW_AT_THE_END = [8, 8, 12, 30, 60, 40, 15, 12, 11, 25, 9, 8, 8, 8]
SLOW_AFTERWARDS = [8, 8, 12, 30, 60, 40, 15, 12, 11, 11, 9, 28, 8, 8]
Change = Callable[[SimpleNamespace], dict[str, Any]]
BROKEN: list[tuple[str, Change]] = [
    ("no alarm that scales out", lambda s: {"alarms": s.alarms((105, "requests-low", "ALARM"))}),
    ("rose to 2 only, 3 were needed", lambda s: {"counts": s.counts({33: (2, 2), 110: (1, 1)})}),
    ("never all healthy", lambda s: {"counts": s.counts({33: (3, 2), 110: (2, 2)})}),
    ("did not scale in", lambda s: {"counts": s.counts({33: (3, 3)})}),
    ("did not come back", lambda s: {"metrics": s.metrics(SLOW_AT_THE_END)}),
    ("left 20 ms again", lambda s: {"metrics": s.metrics(SLOW_AFTERWARDS)}),
    ("no response time", lambda s: {"metrics": s.metrics([float("nan")] * 14)}),
    ("11 of 10000 requests failed: 11 HTTP 503", lambda s: {"failures": {"HTTP 503": 11}}),
]


@pytest.mark.parametrize(("message", "change"), BROKEN, ids=[text for text, _ in BROKEN])
def test_a_broken_promise_is_named(
    timeline: Timeline, story: SimpleNamespace, message: str, change: Change
) -> None:
    seen = analyse(replace(timeline, **change(story)))
    assert seen.verdict == "fail"
    assert any(message in problem for problem in seen.problems)


def test_an_alarm_before_the_rise_proves_nothing(
    timeline: Timeline, story: SimpleNamespace
) -> None:
    early = story.alarms((-5, "requests-high", "ALARM"))
    assert analyse(replace(timeline, alarms=early)).t1_s is None


def test_the_frame_tells_the_story_in_order(timeline: Timeline) -> None:
    frame = analyse(timeline).frame()
    assert list(frame.columns) == ["event", "after_s", "what"]
    assert frame["after_s"].is_monotonic_increasing


def test_a_timeline_survives_its_file(timeline: Timeline, tmp_path: Any) -> None:
    again = Timeline.load(timeline.save(tmp_path / "verification.json"))
    pd.testing.assert_frame_equal(
        again.metrics, timeline.metrics, check_freq=False, check_index_type=False
    )
    assert analyse(again) == analyse(timeline)


@pytest.mark.parametrize("change", [{"host_busy_cores": 1.7}, {"throttled_pct": 1.0}])
def test_periods_in_which_the_host_was_the_limit_do_not_count_and_are_named(
    timeline: Timeline, story: SimpleNamespace, change: dict[str, float]
) -> None:
    slow = story.metrics(SLOW_AFTERWARDS)
    disturbed = slow.index == slow.index[11]
    metrics = slow.assign(
        **{name: slow[name].mask(disturbed, value) for name, value in change.items()}
    )
    seen = analyse(replace(timeline, metrics=metrics))
    assert seen.verdict == "pass"
    assert any("1 period(s) over the SLO do not count" in line for line in seen.doubts)


def test_a_late_driver_is_named(timeline: Timeline) -> None:
    seen = analyse(replace(timeline, driver_lag_p99_ms=9.0))
    assert seen.verdict == "pass"
    assert any("driver was late" in line for line in seen.doubts)


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "verification.json").write_text("{}")
    with pytest.raises(InputInvalid, match="is no verification"):
        Timeline.load(tmp_path / "verification.json")
