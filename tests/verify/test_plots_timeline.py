"""The timeline's figure: finding, units, SLO, marked moments."""

from dataclasses import replace
from types import SimpleNamespace

from runbook.plots_timeline import verification_timeline
from runbook.verify import Timeline, analyse


def test_the_panels_have_units_and_the_slo(timeline: Timeline) -> None:
    figure = verification_timeline(timeline, analyse(timeline))
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels[:3] == ["requests/s", "p95 (ms)", "tasks"]
    assert any(text.get_text() == "SLO 20 ms" for text in figure.axes[1].texts)
    assert [text.get_text() for text in figure.axes[0].texts] == ["t1", "t2", "t3", "t4"]


def test_a_broken_promise_is_the_title(timeline: Timeline, story: SimpleNamespace) -> None:
    broken = replace(timeline, counts=story.counts({33: (3, 3)}))
    figure = verification_timeline(broken, analyse(broken))
    assert "did not keep its promise" in figure.get_suptitle()
    assert [text.get_text() for text in figure.axes[0].texts] == ["t1", "t2", "t3"]
