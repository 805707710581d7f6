"""Deleting layers, the last one first."""

from __future__ import annotations

from collections.abc import Sequence

from runbook.aws import client
from runbook.environment import Environment
from runbook.errors import StackFailed
from runbook.stacks import events
from runbook.stacks.deployed import describe, settled
from runbook.stacks.launch import LayerOutcome, OnEvent, failure
from runbook.stacks.layers import Layer, aws_variables, load_layers
from runbook.stacks.waiting import Waiter, waiter_for


def deletion_order(
    environment: Environment, layers: Sequence[str] | None = None
) -> tuple[Layer, ...]:
    """The layers that exist, in the order in which they would be deleted.

    Raises StackFailed when one of them is protected.
    """
    cloudformation = client(environment, "cloudformation")
    chosen = load_layers(environment, layers)[::-1]
    present = tuple(layer for layer in chosen if describe(cloudformation, layer.stack_name))
    for layer in present:
        if layer.protected:
            raise StackFailed(
                f"{layer.stack_name} is protected",
                f"`protect: true` stands in the configuration of layer {layer.name}",
                "take it out there first if the stack must really go",
            )
    return present


def delete(
    environment: Environment,
    layers: Sequence[str] | None = None,
    *,
    on_event: OnEvent | None = None,
    waiter: Waiter | None = None,
) -> tuple[LayerOutcome, ...]:
    """Delete the environment's stacks, or those of the named layers; absent ones are skipped.

    Raises StackFailed, root cause first, when a stack cannot be deleted: the layers below it
    stay as they are.
    """
    cloudformation = client(environment, "cloudformation")
    patience = waiter or waiter_for(environment)
    outcomes = []
    for layer in deletion_order(environment, layers):
        name, reported = layer.stack_name, 0
        found = settled(cloudformation, name, patience)
        if found is None:
            continue
        with aws_variables(environment):
            layer.run_hooks("before_delete")
            mark = events.latest_id(cloudformation, name)
            cloudformation.delete_stack(StackName=name)
            for _ in patience.looks(f"The deletion of {name}"):
                found = describe(cloudformation, name)
                own = events.since(cloudformation, name, mark)
                for event in own[reported:]:
                    if on_event:
                        on_event(event)
                reported = len(own)
                if found is None or not found.busy:
                    break
            if found is not None:
                raise failure(layer.name, name, found.status, own, found.reason)
            layer.run_hooks("after_delete")
        outcomes.append(LayerOutcome(layer.name, name, "deleted", 0))
    return tuple(outcomes)
