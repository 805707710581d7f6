"""Figures: the finding in the title, the SLO drawn, units on the axes, void steps hollow."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from runbook import plots
from runbook.capacity.curve import (
    CapacityCurve,
    CountCurve,
    CurvePoint,
    ModelReport,
    StepResidual,
    VoidStep,
)


def count(tasks: int, c_slo: float) -> CountCurve:
    points = tuple(
        CurvePoint(rate, 3.0, p95, 3 * p95, 0.8 * p95, 1.3 * p95, 1.0, rate, 800, 1)
        for rate, p95 in ((c_slo * 0.4, 8.0), (c_slo * 0.9, 14.0), (c_slo * 1.1, 45.0))
    )
    return CountCurve(
        tasks=tasks,
        points=points,
        void=(VoidStep(c_slo * 0.7, 12.0, "the host was busy"),),
        c_slo_per_task_rps=c_slo,
        lo_per_task_rps=c_slo - 4,
        hi_per_task_rps=c_slo + 3,
        censored=False,
        knee_utilisation=0.7,
        cpu_pct_at_c_slo=72.0,
        cpu_s_per_request=0.0025,
        cpu_idle_pct=1.0,
        blocks=40,
        logit=None,
    )


@pytest.fixture
def curve() -> CapacityCurve:
    return CapacityCurve(
        service="shop",
        environment="local",
        run_id="r",
        measured_at=datetime(2026, 1, 1, tzinfo=UTC),
        task_cpu=256,
        slo_ms=20.0,
        period_s=10,
        enforcement="cgroup-v1-quota",
        confidence=0.95,
        counts=(count(1, 70.0), count(3, 85.0)),
    )


def labels(figure: Figure) -> list[str]:
    return figure.axes[0].get_legend_handles_labels()[1]


def test_the_capacity_title_is_the_finding(curve: CapacityCurve) -> None:
    title = plots.capacity_curve(curve).axes[0].get_title(loc="left")
    assert title == "p95 leaves 20 ms at, per task: 70/s with 1, 85/s with 3 task(s)"


def test_the_slo_is_drawn_and_the_axes_have_units(curve: CapacityCurve) -> None:
    axes = plots.capacity_curve(curve).axes[0]
    assert any(text.get_text() == "SLO 20 ms" for text in axes.texts)
    assert axes.get_xlabel().endswith("(requests/s)")
    assert axes.get_ylabel().endswith("(ms)")


def test_void_steps_stay_visible(curve: CapacityCurve) -> None:
    assert "1 task, void: the host was busy (1)" in labels(plots.capacity_curve(curve))


def test_a_lower_bound_is_called_one(curve: CapacityCurve) -> None:
    open_ended = replace(curve.counts[1], censored=True, hi_per_task_rps=None)
    figure = plots.capacity_curve(replace(curve, counts=(curve.counts[0], open_ended)))
    assert "at least 85/s with 3" in figure.axes[0].get_title(loc="left")
    assert any("c_SLO ≥ 85/s" in label for label in labels(figure))


def test_residuals_tell_how_well_the_model_explains_the_steps(curve: CapacityCurve) -> None:
    steps = tuple(StepResidual(n, 40.0, slow, 5.0, 20.0, 19.0, 0.1) for n, slow in ((1, 6), (3, 3)))
    model = ModelReport(1.0, 0.2, {"1": 0.3}, 0.8, "", steps, ())
    axes = plots.residuals(replace(curve, model=model)).axes[0]
    assert axes.get_title(loc="left").endswith("explains the steps to 1.5 points (median)")
    doubted = replace(model, doubt="no CPU quota fits")
    figure = plots.residuals(replace(curve, model=doubted))
    assert "is not used" in figure.axes[0].get_title(loc="left")
    assert "No queueing model" in plots.residuals(curve).axes[0].get_title(loc="left")


def test_a_saved_figure_is_a_picture(curve: CapacityCurve, tmp_path: Path) -> None:
    path = plots.save(plots.capacity_curve(curve), tmp_path / "figures" / "curve.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_long_title_goes_on_below(curve: CapacityCurve) -> None:
    many = replace(curve, counts=tuple(replace(curve.counts[0], tasks=n) for n in (1, 2, 3, 4)))
    title = plots.capacity_curve(many).axes[0].get_title(loc="left")
    assert max(map(len, title.split("\n"))) <= 66 < len(title)
