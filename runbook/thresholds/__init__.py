"""Scaling thresholds: recommended with reasons, written with evidence, read with provenance."""

from runbook.thresholds.bounds import Bound, Constraints, bounds
from runbook.thresholds.configured import (
    CurrentThreshold,
    current_thresholds,
    current_values,
    scaling_file,
    write_back,
)
from runbook.thresholds.recommendation import (
    Evidence,
    Recommendation,
    Threshold,
    diff,
    recommend,
)
from runbook.thresholds.sources import with_sources
from runbook.thresholds.story import story

__all__ = [
    "Bound",
    "Constraints",
    "CurrentThreshold",
    "Evidence",
    "Recommendation",
    "Threshold",
    "bounds",
    "current_thresholds",
    "current_values",
    "diff",
    "recommend",
    "scaling_file",
    "story",
    "with_sources",
    "write_back",
]
