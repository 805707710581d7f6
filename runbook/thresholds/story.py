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
            "value": f"{item.text} {item.unit}",
            "how it came to be": _origin(item, curve),
            "how sure": _certainty(item, curve),
        }
        for item in recommendation.thresholds
    ]
    return pd.DataFrame(rows)


def _origin(item: Threshold, curve: CapacityCurve) -> str:
    steps = sum(point.repeats for count in curve.counts for point in count.points)
    if item.name == "RequestsPerTarget":
        return (
            f"Load was driven in {steps} steps that count, each one metric period. At some rate "
            f"more than 5 % of the requests take longer than {curve.slo_ms:g} ms: that rate is "
            f"c_SLO. The target stays below its cautious estimate: {item.reason}."
        )
    if item.name == "CpuTarget":
        return (
            "What a request costs was measured in every step; times the rate above, it gives the "
            f"CPU that goes with it: {item.reason}."
        )
    if item.name == "P95CpuFloor":
        return f"Slow answers at low CPU have other causes than too few tasks: {item.reason}."
    return item.reason[:1].upper() + item.reason[1:] + "."


def _certainty(item: Threshold, curve: CapacityCurve) -> str:
    if item.evidence is None:
        return "not measured: it is a decision"
    count = _basis(item, curve)
    if count is None:
        return f"a prediction, no measurement of this task count: {item.evidence.interval}"
    if count.hi_per_task_rps is None:
        return "a lower bound: the SLO was never left, so the service can carry more"
    half = (count.hi_per_task_rps - count.lo_per_task_rps) / 2 / count.c_slo_per_task_rps
    word = "sure" if half <= _SURE else "fair" if half <= _FAIR else "weak"
    doubts = "".join(f"; {note}" for note in count.notes if note.startswith("weak"))
    return (
        f"{word}: c_SLO is known to within ±{half:.0%} ({curve.confidence:.0%} interval, "
        f"{count.blocks} blocks of time near it, {count.method})"
        + "".join(f"; {d}" for d in doubts)
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
