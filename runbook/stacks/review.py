"""What is shown to the person who approves: every layer's changes, and the digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from runbook.environment import Environment
from runbook.errors import ApprovalMissing, InputInvalid
from runbook.stacks.changesets import Change
from runbook.stacks.diff import LayerDiff, ValueChange
from runbook.stacks.digest import approval_digest
from runbook.stacks.effect import effect

#: As many digits of a digest are shown, and enough to approve with.
DIGEST_DIGITS = 16
#: Types whose every change makes a new revision: a shout at each deployment is soon not heard.
_REVISED = frozenset({"AWS::ECS::TaskDefinition"})


#: How a gate is opened for a plan that does nothing.
NOTHING = "nothing to approve"


class Approvable(Protocol):
    """What a gate needs to know of a plan."""

    @property
    def digest(self) -> str:
        """Binds an approval to exactly this plan."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""


@dataclass(frozen=True)
class LayerReview:
    """One layer: `operation` is create, recreate, update or none.

    `base` is the fingerprint of the stack that this was worked out from, empty without one.
    """

    layer: str
    stack_name: str
    operation: str
    changes: tuple[Change, ...]
    diff: LayerDiff
    waits_for: tuple[str, ...] = ()
    base: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return self.operation == "none"


@dataclass(frozen=True)
class Review:
    """All layers in launch order; `configuration` is the digest of what they should become."""

    environment: str
    layers: tuple[LayerReview, ...]
    configuration: str

    @property
    def digest(self) -> str:
        """What an approval names: this configuration, on the stacks as they are now."""
        bases = {item.layer: item.base for item in self.layers if item.operation == "update"}
        return approval_digest(self.configuration, {k: v for k, v in bases.items() if v})

    @property
    def empty(self) -> bool:
        """Whether nothing would change in any layer."""
        return all(layer.empty for layer in self.layers)

    @property
    def short_digest(self) -> str:
        """The digits people copy."""
        return self.digest[:DIGEST_DIGITS]

    @property
    def destructive(self) -> frozenset[tuple[str, str]]:
        """The (layer, logical id) whose present resource may go away."""
        return frozenset(
            (layer.layer, change.logical_id)
            for layer in self.layers
            for change in layer.changes
            if change.destructive
        )

    def layer(self, name: str) -> LayerReview | None:
        """The review of one layer, None when it was not part of this."""
        return next((item for item in self.layers if item.layer == name), None)

    def rows(self) -> list[dict[str, str]]:
        """One row a change, for a table."""
        return [
            {
                "layer": layer.layer,
                "action": change.action,
                "resource": change.logical_id,
                "type": change.resource_type,
                "replacement": change.replacement or "-",
                "because of": ", ".join(change.causes),
                "effect": effect(change),
                "attention": attention(change),
            }
            for layer in self.layers
            for change in layer.changes
        ]

    def warnings(self) -> list[str]:
        """A sentence for every resource that may go away, the stateful ones first."""
        found = [
            (not change.stateful, _warning(layer.layer, change))
            for layer in self.layers
            for change in layer.changes
            if attention(change)
        ]
        return [text for _, text in sorted(found)]

    def to_dict(self) -> dict[str, Any]:
        """For review.json."""
        return {
            "schema_version": 2,
            "environment": self.environment,
            "digest": self.digest,
            "configuration": self.configuration,
            "empty": self.empty,
            "layers": [
                {
                    "layer": layer.layer,
                    "stack_name": layer.stack_name,
                    "operation": layer.operation,
                    "waits_for": list(layer.waits_for),
                    "base": layer.base,
                    "changes": [change.to_dict() for change in layer.changes],
                    "diff": asdict(layer.diff),
                }
                for layer in self.layers
            ],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Review:
        """What `to_dict` gave. Raises InputInvalid for anything else."""
        try:
            layers = tuple(_layer_review(item) for item in content["layers"])
            return cls(content["environment"], layers, content["configuration"])
        except (KeyError, TypeError) as error:
            raise InputInvalid(
                "This is no review", f"it lacks or garbles {error}", "make it again"
            ) from error

    def save(self, path: Path) -> Path:
        """Write review.json."""
        path.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
        return path


def _layer_review(item: Mapping[str, Any]) -> LayerReview:
    values = {
        kind: tuple(ValueChange(**value) for value in item["diff"][kind])
        for kind in ("parameters", "tags")
    }
    changes = tuple(
        Change(
            change["logical_id"],
            change["resource_type"],
            change["action"],
            change["replacement"],
            tuple(change["causes"]),
            change["policy"],
        )
        for change in item["changes"]
    )
    return LayerReview(
        item["layer"],
        item["stack_name"],
        item["operation"],
        changes,
        LayerDiff(item["diff"]["template"], values["parameters"], values["tags"]),
        tuple(item["waits_for"]),
        item["base"],
    )


def attention(change: Change) -> str:
    """The words shouted beside a change; empty for a harmless one."""
    if not change.destructive or (change.action == "Modify" and change.resource_type in _REVISED):
        return ""
    verb = "DELETED" if change.action == "Remove" else "REPLACED"
    maybe = "MAY BE " if change.replacement == "Conditional" else ""
    return f"{'STATEFUL: ' if change.stateful else ''}{maybe}{verb}"


def require_approval(environment: Environment, plan: Approvable, digest: str) -> str:
    """Who approved: "digest", "nothing to approve" or "local approves itself".

    Only `local` may go on without a digest. Raises ApprovalMissing, naming what to approve.
    """
    if plan.empty:
        return NOTHING
    given = digest.strip().lower()
    if given:
        if len(given) < DIGEST_DIGITS:
            raise InputInvalid(
                f"The digest {given!r} is too short",
                f"an approval names at least {DIGEST_DIGITS} digits",
                "copy it from the review",
            )
        if plan.digest.startswith(given):
            return "digest"
        raise ApprovalMissing(
            f"The approved digest {given[:DIGEST_DIGITS]} is not that of this plan",
            "what it would do, or a stack that it changes, is not as it was approved",
            f"read the plan again, then: --approve {plan.digest[:DIGEST_DIGITS]}",
        )
    if environment.is_local:
        return "local approves itself"
    raise ApprovalMissing(
        f"{environment.name} needs an approval",
        "only local may approve itself",
        f"read the plan, then run again with --approve {plan.digest[:DIGEST_DIGITS]}",
    )


def _warning(layer: str, change: Change) -> str:
    loss = ""
    if change.stateful:
        kept = {"Retain": " It stays, unused.", "Snapshot": " A snapshot of its content is kept."}
        loss = kept.get(change.policy.removeprefix("ReplaceAnd"), " Its content is lost.")
    return f"{attention(change)}: {layer} / {change.logical_id} ({change.resource_type}).{loss}"
