"""Plans in words, and what an approval allows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.runs.record import read_json, run_dirs
from runbook.stacks.review import Review


@dataclass(frozen=True)
class ActionPlan:
    """A plan in words, for what no change set can show."""

    environment: str
    lines: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.lines

    @property
    def digest(self) -> str:
        """SHA-256 over the words."""
        content = json.dumps([self.environment, *self.lines])
        return hashlib.sha256(content.encode()).hexdigest()


def allowed_changes(
    review: Review, how: str, root: Path, run_dir: Path
) -> frozenset[tuple[str, str]]:
    """The (layer, logical id) that may be replaced or deleted: what the approver was shown.

    Whoever gave a digest saw the review in an earlier run; its record is looked up below
    `root`. `local`, which approves itself, is shown the present one.
    """
    if how != "digest":
        return review.destructive
    shown: set[tuple[str, str]] = set()
    for run in run_dirs(root, review.environment):
        for path in run.glob("*/review.json") if run != run_dir else ():
            content = read_json(path)
            if content.get("digest") == review.digest:
                shown |= _destructive(content)
    return frozenset(shown)


def _destructive(review: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {
        (layer["layer"], change["logical_id"])
        for layer in review["layers"]
        for change in layer["changes"]
        if change["destructive"]
    }
