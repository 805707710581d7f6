"""Scaling thresholds: recommended with reasons, written with evidence, read with provenance."""

from runbook.thresholds.configured import (
    CurrentThreshold,
    current_thresholds,
    current_values,
    scaling_file,
    write_back,
)
from runbook.thresholds.recommendation import (
    Constraints,
    Evidence,
    Recommendation,
    Threshold,
    diff,
    recommend,
)

__all__ = [
    "Constraints",
    "CurrentThreshold",
    "Evidence",
    "Recommendation",
    "Threshold",
    "current_thresholds",
    "current_values",
    "diff",
    "recommend",
    "scaling_file",
    "write_back",
]
