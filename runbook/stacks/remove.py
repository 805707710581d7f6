"""Deleting layers, the last one first."""

from __future__ import annotations

from collections.abc import Sequence

from runbook.aws import client
from runbook.environment import Environment
from runbook.errors import StackFailed
from runbook.stacks import events
from runbook.stacks.deployed import describe, listed_resources, settled
from runbook.stacks.following import OnEvent, follow, ignore
from runbook.stacks.launch import LayerOutcome
from runbook.stacks.layers import Layer, aws_variables, load_layers
from runbook.stacks.lock import held
from runbook.stacks.waiting import waiter_for
from runbook.waiting import Patient, Waiter


def deletion_order(
    environment: Environment, layers: Sequence[str] | None = None
) -> tuple[Layer, ...]:
    """The layers that exist, in the order in which they would be deleted.

    Raises StackFailed when one of them is protected.
    """
    chosen = load_layers(environment, layers, templates=False)[::-1]
    present = tuple(layer for layer in chosen if _exists(environment, layer))
    for layer in present:
        if layer.protected:
            raise StackFailed(
                f"{layer.stack_name} is protected",
                f"`protect: true` stands in the configuration of layer {layer.name}",
                "take it out there first if the stack must really go",
            )
    return present


def _exists(environment: Environment, layer: Layer) -> bool:
    region = environment.region_of(layer.name)
    cloudformation = Patient(client(environment, "cloudformation", region), waiter_for(environment))
    return describe(cloudformation, layer.stack_name) is not None


def delete(
    environment: Environment,
    layers: Sequence[str] | None = None,
    *,
    on_event: OnEvent | None = None,
    waiter: Waiter | None = None,
) -> tuple[LayerOutcome, ...]:
    """Delete the environment's stacks, or those of the named layers; absent ones are skipped.

    Raises StackFailed, root cause first, when a stack cannot be deleted: the layers below it
    stay as they are. EnvironmentLocked when another run writes.
    """
    patience = waiter or waiter_for(environment)
    outcomes = []
    with held(environment):
        for layer in deletion_order(environment, layers):
            region = environment.region_of(layer.name)
            cloudformation = Patient(client(environment, "cloudformation", region), patience)
            name = layer.stack_name
            if settled(cloudformation, name, patience) is None:
                continue
            with aws_variables(environment):
                layer.run_hooks("before_delete")
                listed = listed_resources(cloudformation, name)
                mark = events.latest_id(cloudformation, name)
                cloudformation.delete_stack(StackName=name)
                follow(
                    cloudformation,
                    layer.name,
                    name,
                    mark=mark,
                    done={"DELETE_COMPLETE"},
                    on_event=on_event or ignore,
                    waiter=patience,
                )
                layer.run_hooks("after_delete")
            count = sum(item["ResourceStatus"] != "DELETE_COMPLETE" for item in listed)
            outcomes.append(LayerOutcome(layer.name, name, "deleted", count))
    return tuple(outcomes)
