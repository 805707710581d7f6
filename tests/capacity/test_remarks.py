"""What is said besides the capacity."""

from __future__ import annotations

from runbook.capacity.remarks import knee_remarks


def test_a_knee_elsewhere_than_c_slo_is_told() -> None:
    (early,) = knee_remarks(40.0, 80.0, censored=False)
    assert "the knee at 40.0 requests/s per task disagrees with c_SLO at 80.0" in early
    (late,) = knee_remarks(80.0, 40.0, censored=False)
    assert "whatever the load" in late
    assert knee_remarks(78.0, 80.0, censored=False) == []
    assert knee_remarks(None, 80.0, censored=False) == []
    assert knee_remarks(40.0, 80.0, censored=True) == []
