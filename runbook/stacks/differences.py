"""Configuration against what is deployed, without asking CloudFormation to work anything out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runbook.aws import client
from runbook.environment import Environment
from runbook.stacks.deployed import describe, template_body
from runbook.stacks.diff import LayerDiff, diff
from runbook.stacks.layers import aws_variables
from runbook.stacks.planned import load_planned
from runbook.stacks.template import resources


@dataclass(frozen=True)
class Difference(LayerDiff):
    """A layer's differences; `creates`, without a stack: how many resources, at least and at most.

    Conditions decide which of them it is.
    """

    creates: tuple[int, int] | None = None


def differences(
    environment: Environment, layers: Sequence[str] | None = None
) -> dict[str, Difference]:
    """Each layer's difference, in launch order; a missing stack differs in everything."""
    found = {}
    with aws_variables(environment):
        for layer in load_planned(environment, layers)[1]:
            region = environment.region_of(layer.name)
            cloudformation = client(environment, "cloudformation", region)
            stack = describe(cloudformation, layer.stack_name)
            there = stack is not None and stack.exists
            body = template_body(cloudformation, layer.stack_name) if there else ""
            compared = diff(layer, stack if there else None, body)
            creates = None if there else _creates(layer.template)
            found[layer.name] = Difference(**vars(compared), creates=creates)
    return found


def _creates(template: str) -> tuple[int, int]:
    declared = resources(template)
    return sum(not item.condition for item in declared), len(declared)
