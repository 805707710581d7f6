"""The figures of the lab: everything written on them can be read."""

from matplotlib.backends.backend_agg import FigureCanvasAgg

from runbook.lab.builtin import builtin
from runbook.lab.history import History
from runbook.lab.replay import replay
from runbook.lab.service import ServiceModel
from runbook.plots import style
from runbook.plots_lab import comparison


def test_the_comparison_is_labelled_within_the_picture_and_beside_the_points(
    days: History, service: ServiceModel
) -> None:
    names = ("cpu-50-60s", "cpu-70-60s", "cpu-70-20s", "static-peak")
    policies = [builtin(name, service, peak_tasks=10, max_tasks=100) for name in names]
    figure = comparison(replay(policies, days, service, seeds=1), "days")
    with style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    axes = figure.axes[0]
    label = axes.yaxis.label.get_window_extent()
    assert label.y0 >= 0
    assert label.y1 <= figure.bbox.y1
    (budget,) = [text for text in axes.texts if "budget" in text.get_text()]
    where = budget.get_window_extent()
    assert where.x0 >= axes.bbox.x1
    assert where.x1 <= figure.bbox.x1
