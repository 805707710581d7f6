"""Applying a review: layer by layer, each change set made just in time.

A killed run can be started again: what is done is empty, what is under way is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from runbook.aws import client
from runbook.environment import Environment
from runbook.errors import ApprovalMissing, StackFailed
from runbook.stacks import changesets, events
from runbook.stacks.changesets import ChangeSet, Kind
from runbook.stacks.deployed import DEAD, describe, output_lookup, settled
from runbook.stacks.digest import digest
from runbook.stacks.events import StackEvent
from runbook.stacks.layers import Layer, aws_variables, load_layers
from runbook.stacks.review import Review
from runbook.stacks.waiting import Waiter, waiter_for

OnEvent = Callable[[StackEvent], None]

_DONE = {"CREATE": "CREATE_COMPLETE", "UPDATE": "UPDATE_COMPLETE"}


@dataclass(frozen=True)
class LayerOutcome:
    """What became of a layer: `result` is created, updated or no_change."""

    layer: str
    stack_name: str
    result: str
    changes: int


def apply(
    environment: Environment,
    review: Review,
    *,
    layers: Sequence[str] | None = None,
    allowed: frozenset[tuple[str, str]] | None = None,
    on_event: OnEvent | None = None,
    waiter: Waiter | None = None,
) -> tuple[LayerOutcome, ...]:
    """Bring the reviewed layers, or those of them that are named, to what was reviewed.

    `allowed` are the (layer, logical id) that may be replaced or deleted; by default those
    the review shows.

    Raises ApprovalMissing when the configuration is no longer what was reviewed, or a
    replacement or deletion turns up that was not shown; StackFailed, root cause first, when
    a layer fails: later layers are not started.
    """
    reviewed = [item.layer for item in review.layers]
    symbolic = load_layers(environment, reviewed)
    if digest(environment, symbolic) != review.digest:
        raise ApprovalMissing(
            f"The stacks of {environment.name} are not what was reviewed",
            "templates, parameters or tags changed after the review",
            "review again",
        )
    chosen = [name for name in reviewed if layers is None or name in layers]
    shown = review.destructive if allowed is None else allowed
    patience = waiter or waiter_for(environment)
    cloudformation = client(environment, "cloudformation")
    outcomes = []
    for name in chosen:
        lookup = output_lookup(cloudformation)
        (layer,) = load_layers(environment, [name], lookup=lookup)
        with aws_variables(environment):
            work = _Work(cloudformation, layer, shown, on_event or _ignore, patience)
            outcomes.append(work.run())
    return tuple(outcomes)


def _ignore(event: StackEvent) -> None:
    """For callers who do not listen."""


@dataclass(frozen=True)
class _Work:
    """One layer's change, from hooks to the last event."""

    cloudformation: Any
    layer: Layer
    shown: frozenset[tuple[str, str]]
    on_event: OnEvent
    waiter: Waiter

    def run(self) -> LayerOutcome:
        layer = self.layer
        self._require_upstream()
        deployed = settled(self.cloudformation, layer.stack_name, self.waiter)
        if deployed and deployed.status in DEAD:
            self.cloudformation.delete_stack(StackName=layer.stack_name)
            self._follow(None, {"DELETE_COMPLETE"})
            deployed = None
        kind: Kind = "UPDATE" if deployed and deployed.exists else "CREATE"
        point = kind.lower()
        layer.run_hooks("before_launch", f"before_{point}")
        change_set = changesets.create(self.cloudformation, layer, kind, self.waiter)
        if change_set.empty:
            return LayerOutcome(layer.name, layer.stack_name, "no_change", 0)
        self._require_shown(change_set)
        mark = events.latest_id(self.cloudformation, layer.stack_name)
        changesets.execute(self.cloudformation, layer.stack_name, change_set.arn)
        self._follow(mark, {_DONE[kind]})
        layer.run_hooks(f"after_{point}", "after_launch")
        return LayerOutcome(layer.name, layer.stack_name, f"{point}d", len(change_set.changes))

    def _require_upstream(self) -> None:
        if self.layer.unresolved:
            raise StackFailed(
                f"{self.layer.stack_name} cannot be changed",
                f"outputs it builds on do not exist: {', '.join(self.layer.unresolved)}",
                "deploy the layers below it first",
            )

    def _require_shown(self, change_set: ChangeSet) -> None:
        hidden = [
            change
            for change in change_set.changes
            if change.destructive and (self.layer.name, change.logical_id) not in self.shown
        ]
        if not hidden:
            return
        changesets.delete(self.cloudformation, self.layer.stack_name, change_set.arn)
        names = ", ".join(f"{change.logical_id} ({change.action})" for change in hidden)
        raise ApprovalMissing(
            f"{self.layer.stack_name} would lose resources that the review did not show",
            names,
            "nothing of this layer was changed; review again and approve what it shows",
        )

    def _follow(self, mark: str | None, done: set[str]) -> None:
        """Report events until the stack settles. Raises StackFailed unless it is `done`."""
        name, reported = self.layer.stack_name, 0
        for _ in self.waiter.looks(f"The change of {name}"):
            found = describe(self.cloudformation, name)
            own = events.since(self.cloudformation, name, mark)
            for event in own[reported:]:
                self.on_event(event)
            reported = len(own)
            if found is None or not (found.busy or found.status == "REVIEW_IN_PROGRESS"):
                break
        status = found.status if found else "DELETE_COMPLETE"
        if status not in done:
            raise failure(self.layer.name, name, status, own, found.reason if found else "")


def failure(
    layer: str, stack_name: str, status: str, own: Sequence[StackEvent], reason: str
) -> StackFailed:
    """The error of a failed operation, its root cause first."""
    root = events.root_cause(own)
    why = f"{root.logical_id} ({root.resource_type}): {root.reason}" if root else reason or status
    more = len(events.cascade(own, root))
    also = f" ({more} more failed because of it)" if more else ""
    return StackFailed(
        f"Layer {layer} failed, {stack_name} is {status}",
        f"{why}{also}",
        "mend the cause and run this again; later layers were not touched",
    )
