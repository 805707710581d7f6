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
from runbook.stacks.deployed import DEAD, fingerprint, output_lookup, settled
from runbook.stacks.digest import digest, layer_digest
from runbook.stacks.edit import config_file
from runbook.stacks.following import OnEvent, follow, ignore, require_changeable
from runbook.stacks.layers import Layer, aws_variables, load_layers
from runbook.stacks.lock import held
from runbook.stacks.review import Review, attention
from runbook.stacks.waiting import waiter_for
from runbook.waiting import Patient, Waiter

_DONE = {"CREATE": "CREATE_COMPLETE", "UPDATE": "UPDATE_COMPLETE"}


@dataclass(frozen=True)
class LayerOutcome:
    """What became of a layer: `result` is created, updated, no_change, deleted or restored."""

    layer: str
    stack_name: str
    result: str
    changes: int

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return self.result != "no_change"


OnLayer = Callable[[LayerOutcome], None]
#: Hears a layer's name just before its change set is executed.
OnStart = Callable[[str], None]


def apply(
    environment: Environment,
    review: Review,
    *,
    layers: Sequence[str] | None = None,
    allowed: frozenset[tuple[str, str]] | None = None,
    on_event: OnEvent | None = None,
    on_layer: OnLayer | None = None,
    on_start: OnStart | None = None,
    waiter: Waiter | None = None,
) -> tuple[LayerOutcome, ...]:
    """Bring the reviewed layers, or those of them that are named, to what was reviewed.

    `allowed` are the (layer, logical id) that may be replaced or deleted; by default those
    the review shows. The environment is locked meanwhile. `on_start` hears of each layer that is
    about to change, `on_layer` of each that is done, also of those before one that fails.

    Raises ApprovalMissing when the configuration is no longer what was reviewed, a stack was
    changed since, or a replacement or deletion turns up that was not shown; EnvironmentLocked;
    StackFailed, root cause first, when a layer fails: later layers are not started.
    """
    reviewed = require_unaltered(environment, review)
    chosen = [name for name in reviewed if layers is None or name in layers]
    shown = review.destructive if allowed is None else allowed
    patience = waiter or waiter_for(environment)
    outcomes = []
    with held(environment):
        for name in chosen:
            (layer,) = load_layers(environment, [name], lookup=output_lookup(environment))
            # Minutes may lie between the review's check and a late layer.
            (symbolic,) = load_layers(environment, [name])
            if layer_digest(symbolic) != reviewed[name]:
                raise _altered(environment)
            cloudformation = Patient(
                client(environment, "cloudformation", environment.region_of(name)), patience
            )
            reviewed_layer = review.layer(name)
            base = reviewed_layer.base if reviewed_layer else ""
            with aws_variables(environment):
                work = _Work(cloudformation, layer, shown, base, on_event or ignore, patience)
                outcomes.append(work.run(on_start or ignore))
            if on_layer:
                on_layer(outcomes[-1])
    return tuple(outcomes)


def apply_edit(
    environment: Environment,
    review: Review,
    layer: str,
    write: Callable[[], object],
    *,
    allowed: frozenset[tuple[str, str]],
    on_event: OnEvent | None = None,
) -> tuple[LayerOutcome, ...]:
    """`write` the layer's configuration file and apply the review, under one lock.

    Nobody else's deployment picks up what is written. The file gets its former text back when the
    layer is known not to have changed. Raises what `write` and `apply` raise.
    """
    path = config_file(environment, layer)
    started: list[str] = []
    with held(environment):
        former = path.read_text(encoding="utf-8")
        try:
            write()
            return apply(
                environment, review, allowed=allowed, on_event=on_event, on_start=started.append
            )
        except Exception as error:
            if layer not in started or isinstance(error, StackFailed):
                path.write_text(former, encoding="utf-8")
            raise


def require_unaltered(environment: Environment, review: Review) -> dict[str, str]:
    """The digests of the reviewed layers, in launch order.

    Raises ApprovalMissing when the configuration is no longer what was reviewed.
    """
    symbolic = load_layers(environment, [item.layer for item in review.layers])
    if digest(environment, symbolic) != review.configuration:
        raise _altered(environment)
    return {layer.name: layer_digest(layer) for layer in symbolic}


def _altered(environment: Environment) -> ApprovalMissing:
    return ApprovalMissing(
        f"The stacks of {environment.name} are not what was reviewed",
        "templates, parameters or tags changed after the review",
        "review again",
    )


@dataclass(frozen=True)
class _Work:
    """One layer's change, from hooks to the last event."""

    cloudformation: Any
    layer: Layer
    shown: frozenset[tuple[str, str]]
    base: str
    on_event: OnEvent
    waiter: Waiter

    def run(self, on_start: OnStart) -> LayerOutcome:
        layer = self.layer
        self._require_upstream()
        layer.run_hooks("before_launch")
        deployed = settled(self.cloudformation, layer.stack_name, self.waiter)
        require_changeable(layer.name, deployed)
        if deployed and deployed.status in DEAD:
            mark = events.latest_id(self.cloudformation, layer.stack_name)
            self.cloudformation.delete_stack(StackName=layer.stack_name)
            self._follow(mark, {"DELETE_COMPLETE"})
            deployed = None
        kind: Kind = "UPDATE" if deployed and deployed.exists else "CREATE"
        point = kind.lower()
        layer.run_hooks(f"before_{point}")
        change_set = changesets.create(self.cloudformation, layer, kind, self.waiter)
        if change_set.empty:
            return LayerOutcome(layer.name, layer.stack_name, "no_change", 0)
        if fingerprint(self.cloudformation, deployed) != self.base:
            self._drop(
                change_set,
                "was changed by somebody else after the review",
                "its template, parameters or tags differ",
            )
        self._require_shown(change_set)
        on_start(layer.name)
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
            if attention(change) and (self.layer.name, change.logical_id) not in self.shown
        ]
        if hidden:
            names = ", ".join(f"{change.logical_id} ({change.action})" for change in hidden)
            self._drop(change_set, "would lose resources that the review did not show", names)

    def _drop(self, change_set: ChangeSet, what: str, why: str) -> None:
        changesets.delete(self.cloudformation, self.layer.stack_name, change_set.arn)
        raise ApprovalMissing(
            f"{self.layer.stack_name} {what}",
            why,
            "nothing of this layer was changed; review again and approve what it shows",
        )

    def _follow(self, mark: str | None, done: set[str]) -> None:
        follow(
            self.cloudformation,
            self.layer.name,
            self.layer.stack_name,
            mark=mark,
            done=done,
            on_event=self.on_event,
            waiter=self.waiter,
        )
