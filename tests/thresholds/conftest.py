"""A capacity curve as a load test would give it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from runbook.capacity.curve import CapacityCurve, CountCurve, CurvePoint


def _count(tasks: int, c_slo: float, lo: float, hi: float) -> CountCurve:
    points = tuple(
        CurvePoint(rate, 2.6, p95, 2 * p95, p95 * 0.9, p95 * 1.2, 0.0, rate, 800, 1)
        for rate, p95 in ((40.0, 4.0), (60.0, 5.0), (75.0, 19.0), (85.0, 55.0))
    )
    return CountCurve(
        tasks=tasks,
        points=points,
        void=(),
        c_slo_per_task_rps=c_slo,
        lo_per_task_rps=lo,
        hi_per_task_rps=hi,
        censored=False,
        knee_utilisation=0.75,
        cpu_pct_at_c_slo=77.0,
        cpu_s_per_request=0.0025,
        cpu_idle_pct=2.0,
        blocks=40,
        logit=(-12.0, 0.12),
    )


@pytest.fixture
def curve() -> CapacityCurve:
    """One and three tasks measured; one task is the worse."""
    return CapacityCurve(
        service="web",
        environment="local",
        run_id="20261123-120000",
        measured_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
        task_cpu=256,
        slo_ms=20.0,
        period_s=10,
        enforcement="cgroup-v2-quota",
        confidence=0.95,
        counts=(_count(1, 75.0, 70.0, 79.0), _count(3, 89.0, 86.0, 91.0)),
    )
