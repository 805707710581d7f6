"""Plans in words, and what an approval opens."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runbook.environment import Environment
from runbook.errors import InputInvalid
from runbook.runs.record import read_json, run_dirs
from runbook.stacks.review import DIGEST_DIGITS, Approvable, Review, require_approval


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


@dataclass(frozen=True)
class Approval:
    """How a gate was opened, and the (layer, logical id) that may then be replaced or deleted."""

    how: str
    allowed: frozenset[tuple[str, str]] = frozenset()


def approval(
    environment: Environment, plan: Approvable, given: str, root: Path, run_dir: Path
) -> Approval:
    """Open the gate for what was approved, or raise what `require_approval` raises.

    Whoever gave a digest saw a review in an earlier run, whose record is looked up below `root`:
    it shows what may be replaced or deleted. A run that was approved and killed goes on under the
    same digest, because what it has done already is as was wanted and the rest is as it was, also
    when nothing is left to do but to ask the service.
    `local`, which approves itself, is shown the present plan.
    """
    if not isinstance(plan, Review):
        return Approval(require_approval(environment, plan, given))
    seen = list(_reviewed(plan.environment, given, root, run_dir))
    going_on = any(_goes_on(plan, earlier) for earlier in seen)
    how = "digest" if going_on else require_approval(environment, plan, given)
    if how != "digest":
        return Approval(how, plan.destructive)
    return Approval(how, frozenset().union(*(earlier.destructive for earlier in seen)))


def _reviewed(environment: str, given: str, root: Path, run_dir: Path) -> Iterator[Review]:
    """The reviews of that digest, as earlier runs recorded them."""
    wanted = given.strip().lower()
    if len(wanted) < DIGEST_DIGITS:
        return
    for run in run_dirs(root, environment):
        for path in run.glob("*/review.json") if run != run_dir else ():
            content = read_json(path)
            if str(content.get("digest", "")).startswith(wanted):
                with contextlib.suppress(InputInvalid):
                    yield Review.from_dict(content)


def _goes_on(plan: Review, earlier: Review) -> bool:
    """Whether the plan is the rest of an earlier one: nobody else changed a stack meanwhile."""
    before = {item.layer: item.base for item in earlier.layers}
    return plan.configuration == earlier.configuration and all(
        item.empty or item.base == before.get(item.layer) for item in plan.layers
    )
