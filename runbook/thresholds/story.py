"""How each threshold came to be and how sure it is, in plain words. Pure."""

from __future__ import annotations

import pandas as pd

from runbook.capacity.curve import CapacityCurve, CountCurve
from runbook.thresholds.recommendation import Recommendation, Threshold

_SURE, _FAIR = 0.08, 0.20


def story(curve: CapacityCurve, recommendation: Recommendation) -> pd.DataFrame:
    """One row a threshold: threshold, value, how it came to be, how sure it is."""
    rows = [
        {
            "threshold": item.name,
            "value": f"{item.text} {'task' if item.text == '1' else item.unit}",
            "how it came to be": _origin(item, curve),
            "how sure": _certainty(item, curve),
        }
        for item in recommendation.thresholds
    ]
    return pd.DataFrame(rows)


def _origin(item: Threshold, curve: CapacityCurve) -> str:
    count = _basis(item, curve) if item.evidence else None
    if item.name == "RequestsPerTarget":
        return f"{_capacity(count, curve)} The target stays below the cautious end: {item.reason}."
    if item.name == "CpuTarget":
        return (
            "The same point seen from the CPU, for when requests become dearer than those "
            f"measured: {item.reason}."
        )
    if item.name == "P95CpuFloor" and item.value > 0:
        return (
            "Below this CPU a slow answer adds no tasks, for it has another cause than too few of "
            f"them: {item.reason}."
        )
    return item.reason[:1].upper() + item.reason[1:] + "."


def _capacity(count: CountCurve | None, curve: CapacityCurve) -> str:
    """How much a task carries within the SLO, as one would tell it to somebody."""
    if count is None:
        return "No load was driven with the task count that decides; a model says what it carries."
    steps = sum(point.repeats for point in count.points)
    tasks = "one task" if count.tasks == 1 else f"{count.tasks} tasks"
    many = "at least " if count.censored else ""
    return (
        f"With {tasks}, 95 of 100 requests are answered within {curve.slo_ms:g} ms up to {many}"
        f"{count.c_slo_per_task_rps:.1f} requests a second per task. That is c_SLO, found by "
        f"driving {steps} periods of load from calm to too much."
    )


def _certainty(item: Threshold, curve: CapacityCurve) -> str:
    if item.evidence is None:
        return "not measured: it is a decision"
    count = _basis(item, curve)
    if count is None:
        error = curve.model.error_pct if curve.model else None
        told = f", with the {error:.0f} % that such predictions were off" if error else ""
        return f"a prediction, no measurement of this task count: {item.evidence.interval}{told}"
    if count.hi_per_task_rps is None:
        return "safe, but not exact: the SLO was never left, so the service can carry more"
    half = (count.hi_per_task_rps - count.lo_per_task_rps) / 2 / count.c_slo_per_task_rps
    word = "sure" if half <= _SURE else "fair" if half <= _FAIR else "weak"
    doubts = "".join(f"; {note}" for note in count.notes if note.startswith("weak"))
    return (
        f"{word}: c_SLO is known to within ±{half:.0%} ({count.interval} requests/s with "
        f"{curve.confidence:.0%} confidence, {_method(count, curve)}), and the lower end is what "
        f"counts{doubts}"
    )


def _method(count: CountCurve, curve: CapacityCurve) -> str:
    """How the interval came about, as it was done for this curve."""
    drawn = (
        f"by the {count.method}: steps and the blocks of time within them drawn again and again, "
        f"{count.blocks} blocks near it"
    )
    if curve.model is None or "queueing model" not in count.method:
        return drawn
    if curve.model.error_pct is None:
        return f"by the {count.method}: whole steps drawn again and again"
    return (
        f"{drawn}; the model's weight is that of an error of {curve.model.error_pct:.0f} %, which "
        "it had in predicting task counts that were held back"
    )


def _basis(item: Threshold, curve: CapacityCurve) -> CountCurve | None:
    """The measured count that a threshold rests on; None when it was predicted."""
    assert item.evidence is not None
    return next(
        (
            count
            for count in curve.counts
            if item.evidence.interval.startswith(f"c_SLO({count.tasks}) ")
        ),
        None,
    )
