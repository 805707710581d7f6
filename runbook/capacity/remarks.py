"""What a reader must know of one task count's steps besides its capacity, a sentence each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runbook.capacity.sample import Sample

#: From this share of throttled quota periods on, every twentieth request can meet one.
_GOVERNED_PCT = 5.0
#: The knee and c_SLO agree when they are no further apart than this.
_KNEE_APART = 0.25


def knee_remarks(knee_rps: float | None, c_slo_rps: float, censored: bool) -> list[str]:
    """Whether the bend of p95, which knows no SLO, lies elsewhere than c_SLO."""
    if knee_rps is None or censored or abs(knee_rps / c_slo_rps - 1.0) <= _KNEE_APART:
        return []
    if knee_rps < c_slo_rps:
        meaning = "p95 rises well before it leaves the SLO, which is not tight"
    else:
        meaning = "the SLO is left before requests queue: they are slow whatever the load"
    return [
        f"the knee at {knee_rps:.1f} requests/s per task disagrees with c_SLO at "
        f"{c_slo_rps:.1f}: {meaning}; look at the curve before trusting either"
    ]


def throttled_pct(samples: Sequence[Sample], slo_ms: float, *, beyond: bool = True) -> float | None:
    """The median share of throttled quota periods in steps beyond (or within) the SLO."""
    known = [
        sample.step.throttled_pct
        for sample in samples
        if sample.step.throttled_pct is not None
        and ((sample.step.trt_p95_ms or 0.0) > slo_ms) == beyond
    ]
    return float(np.median(known)) if known else None


def throttling_remarks(
    samples: Sequence[Sample], beyond_pct: float | None, slo_ms: float
) -> list[str]:
    """Whether the CPU quota governs p95, in a sentence; nothing without steps beyond the SLO."""
    if all((sample.step.trt_p95_ms or 0.0) <= slo_ms for sample in samples):
        return []
    if beyond_pct is None:
        return ["CPU throttling is not published here: whether it governs p95 cannot be told"]
    within_pct = throttled_pct(samples, slo_ms, beyond=False)
    before = "" if within_pct is None else f", {within_pct:.0f} % within it"
    seen = f"{beyond_pct:.0f} % of the CPU-quota periods are throttled beyond the SLO{before}"
    if beyond_pct < _GOVERNED_PCT:
        return [f"{seen}: CPU throttling does not govern p95"]
    return [f"{seen}: CPU throttling governs p95, so larger tasks would move it"]


def gap_remarks(samples: Sequence[Sample]) -> list[str]:
    """One sentence on client against CloudWatch: the median gap, and what it consists of."""
    gaps = [sample.step.gap_p95_ms for sample in samples]
    known = [gap for gap in gaps if gap is not None]
    if not known:
        return []
    return [
        f"the client's p95 lies {np.median(known):+.1f} ms (median of {len(known)} steps) from "
        "CloudWatch's: it also counts balancer, connection, body and the driver's lag, from the "
        "intended start"
    ]
