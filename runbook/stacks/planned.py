"""The layers as they would be launched together: each with what the ones below it will hand on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runbook.environment import Environment
from runbook.stacks.deployed import output_lookup
from runbook.stacks.layers import Layer, OutputLookup, load_layers
from runbook.stacks.template import handed_on, parameter_defaults


def load_planned(
    environment: Environment, names: Sequence[str] | None = None
) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """The layers with outputs symbolic, and with their values, in launch order.

    A value is that of the deployed stack, or of the parameter that a layer among these sets and
    hands on as an output; not one that it was itself handed. Raises what `load_layers` raises.
    """
    symbolic = load_layers(environment, names)
    lookup = _planned(symbolic, output_lookup(environment))
    return symbolic, load_layers(environment, names, lookup=lookup)


def _planned(layers: Sequence[Layer], lookup: OutputLookup) -> OutputLookup:
    set_here = {(layer.stack_name, key): value for layer in layers for key, value in _sets(layer)}

    def found(stack_name: str, key: str) -> str | None:
        deployed = lookup(stack_name, key)
        return None if deployed is None else set_here.get((stack_name, key), deployed)

    return found


def _sets(layer: Layer) -> Iterator[tuple[str, str]]:
    """The outputs that are parameters whose value is known, with it."""
    values = {**parameter_defaults(layer.template), **layer.parameters}
    for key, parameter in handed_on(layer.template).items():
        value = values.get(parameter)
        if value is not None and not any(f"{{{ref}}}" in value for ref in layer.unresolved):
            yield key, value
