"""What differs between a layer as configured and its stack as deployed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from runbook.stacks.deployed import Deployed
from runbook.stacks.layers import Layer
from runbook.stacks.template import parameter_defaults, parse, secret_parameters

_HIDDEN = "****"


@dataclass(frozen=True)
class ValueChange:
    """A parameter or tag: `before` is None when new, `after` is None when dropped."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class LayerDiff:
    """Unified diff of the template, and the parameters and tags that differ."""

    template: str
    parameters: tuple[ValueChange, ...]
    tags: tuple[ValueChange, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return not (self.template or self.parameters or self.tags)


def diff(layer: Layer, deployed: Deployed | None, deployed_template: str) -> LayerDiff:
    """Compare; a stack that does not exist is compared with nothing."""
    secret = secret_parameters(layer.template)
    return LayerDiff(
        template=_text_diff(deployed_template, layer.template, layer.stack_name),
        parameters=_changes(
            _with_defaults(layer.template, deployed.parameters if deployed else {}, layer),
            layer.parameters,
            secret,
        ),
        tags=_changes(deployed.tags if deployed else {}, layer.tags, frozenset()),
    )


def _with_defaults(template: str, parameters: Mapping[str, str], layer: Layer) -> dict[str, str]:
    """Deployed parameters without those that the configuration leaves to the default.

    CloudFormation reports defaults as if they had been given.
    """
    declared = parse(template).get("Parameters") or {}
    defaults = dict.fromkeys(declared, "") | parameter_defaults(template)
    return {
        name: value
        for name, value in parameters.items()
        if name in layer.parameters or defaults.get(name) != value
    }


def _changes(
    before: Mapping[str, str], after: Mapping[str, str], secret: frozenset[str]
) -> tuple[ValueChange, ...]:
    found = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new or (name in secret and old is not None):
            # CloudFormation answers **** for a secret, also for one that is left to its default:
            # whether it differs cannot be known.
            continue
        found.append(ValueChange(name, old, _HIDDEN if name in secret else new))
    return tuple(found)


def _text_diff(before: str, after: str, name: str) -> str:
    old, new = (_lines(before), _lines(after))
    return "\n".join(
        difflib.unified_diff(old, new, f"{name} (deployed)", f"{name} (configured)", lineterm="")
    )


def _lines(body: str) -> list[str]:
    lines = [line.rstrip() for line in body.strip().splitlines()]
    return lines[1:] if lines[:1] == ["---"] else lines
