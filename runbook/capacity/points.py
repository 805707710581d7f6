"""The points of a capacity curve: percentiles of all requests at about the same rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runbook.capacity.curve import CurvePoint
from runbook.capacity.sample import Sample
from runbook.load.measurement import weak_percentiles

#: Steps whose rates differ by no more than this factor make one point of the curve.
SAME_RATE = 1.03
_POINT_RESAMPLES = 400


def curve_points(
    samples: Sequence[Sample], slo_ms: float, confidence: float, seed: int
) -> tuple[CurvePoint, ...]:
    """One point for each group of steps at about the same rate, p95 bounded by resampled blocks."""
    ordered = sorted(samples, key=lambda sample: sample.step.offered_per_task_rps)
    groups: list[list[Sample]] = []
    for sample in ordered:
        rate = sample.step.offered_per_task_rps
        if groups and rate <= groups[-1][0].step.offered_per_task_rps * SAME_RATE:
            groups[-1].append(sample)
        else:
            groups.append([sample])
    rng = np.random.default_rng(seed)
    return tuple(_point(group, slo_ms, confidence, rng) for group in groups)


def _point(
    group: Sequence[Sample], slo_ms: float, confidence: float, rng: np.random.Generator
) -> CurvePoint:
    latency_ms = np.concatenate([sample.latency_ms for sample in group])
    pieces = [piece for sample in group for piece in sample.pieces()]
    drawn = [
        np.percentile(np.concatenate([pieces[i] for i in pick]), 95, method="inverted_cdf")
        for pick in rng.integers(0, len(pieces), (_POINT_RESAMPLES, len(pieces)))
    ]
    tail = 100.0 * (1.0 - confidence) / 2.0
    p50, p95, p99 = np.percentile(latency_ms, [50, 95, 99], method="inverted_cdf")
    lo, hi = np.percentile(drawn, [tail, 100.0 - tail])
    cpu = [sample.step.cpu_pct for sample in group if sample.step.cpu_pct is not None]
    return CurvePoint(
        rate_per_task_rps=float(np.mean([s.step.offered_per_task_rps for s in group])),
        p50_ms=float(p50),
        p95_ms=float(p95),
        p99_ms=float(p99),
        p95_lo_ms=float(min(lo, p95)),
        p95_hi_ms=float(max(hi, p95)),
        slow_pct=100.0 * float(np.mean(latency_ms > slo_ms)),
        cpu_pct=float(np.mean(cpu)) if cpu else None,
        requests=len(latency_ms),
        repeats=len(group),
        weak=weak_percentiles(len(latency_ms)),
    )
