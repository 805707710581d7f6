"""A layer's differences as text that people read: parameters, tags, template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runbook.stacks.diff import LayerDiff, ValueChange
from runbook.stacks.differences import Difference
from runbook.stacks.launch import LayerOutcome
from runbook.stacks.review import Review

#: Outside a unified diff's first column nothing is marked, so values get marks of their own.
_ABSENT = "(none)"


def diff_lines(layer: str, diff: LayerDiff) -> Iterator[str]:
    """Everything that differs in one layer; nothing for an empty diff."""
    if diff.empty:
        return
    yield f"--- {layer}"
    yield from _values("parameter", diff.parameters)
    yield from _values("tag", diff.tags)
    yield from diff.template.splitlines()


def difference_lines(layer: str, difference: Difference) -> Iterator[str]:
    """Everything that differs in one layer; a line alone for one that is not deployed."""
    if difference.creates is None:
        yield from diff_lines(layer, difference)
        return
    least, most = difference.creates
    many = (
        f"{most} resource{'s' * (most != 1)}" if least == most else f"{least} to {most} resources"
    )
    yield f"{layer}: not deployed, {many} would be created"


def review_diff(review: Review) -> str:
    """The differences of all layers that exist and would change."""
    return "\n".join(
        line
        for item in review.layers
        if item.operation == "update"
        for line in diff_lines(item.layer, item.diff)
    )


def what_stays(done: Sequence[LayerOutcome]) -> str:
    """What a deployment that stopped had changed by then; the layer that failed is not in it."""
    changed = [f"{item.layer} ({item.result})" for item in done if item.changed]
    if not changed:
        return "It stopped before any layer was changed."
    return f"It stopped after these layers were changed, and they stay: {', '.join(changed)}."


def undo_hint(environment: str, done: Sequence[LayerOutcome], *, service_existed: bool) -> str:
    """How to get back to what was there before."""
    files = f"check out the former files of sceptre/, then make change ENV={environment} NAME=undo"
    if not service_existed:
        return f"To undo: make delete ENV={environment}; or {files}"
    if not any(item.layer == "service" and item.changed for item in done):
        return f"To undo: {files}"
    back = f"runbook run 90_rollback --env {environment} (the service's former revision)"
    return f"To undo: {back}; for anything else {files}"


def _values(kind: str, changes: Sequence[ValueChange]) -> Iterator[str]:
    for change in changes:
        before = _ABSENT if change.before is None else change.before
        after = _ABSENT if change.after is None else change.after
        yield f"{kind} {change.name}: {before} -> {after}"
