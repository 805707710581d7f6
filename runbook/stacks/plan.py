"""Planning: what every layer would change, without changing anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runbook.aws import client
from runbook.environment import Environment
from runbook.guard import require_writable
from runbook.stacks import changesets
from runbook.stacks.changesets import Change
from runbook.stacks.deployed import (
    Deployed,
    fingerprint,
    settled,
    template_body,
)
from runbook.stacks.diff import diff
from runbook.stacks.digest import digest
from runbook.stacks.following import require_changeable
from runbook.stacks.layers import Layer, aws_variables
from runbook.stacks.metric_resolution import require_fast_metrics_kept
from runbook.stacks.planned import load_planned
from runbook.stacks.review import LayerReview, Review
from runbook.stacks.template import resources
from runbook.stacks.waiting import waiter_for
from runbook.waiting import Patient, Waiter


def plan_changes(
    environment: Environment,
    layers: Sequence[str] | None = None,
    *,
    waiter: Waiter | None = None,
) -> Review:
    """Review the environment's layers, or those named, in launch order.

    Change sets are made to see what CloudFormation would do, and deleted again. A layer that
    does not exist yet is shown from its template.

    Raises InputInvalid for a configuration that cannot be read, AwsCallFailed when
    CloudFormation refuses a template, GuardRefused in another account or region, and for a service
    without the 20 s metrics that deployed scaling acts on.
    """
    require_writable(environment)
    symbolic, actual = load_planned(environment, layers)
    patience = waiter or waiter_for(environment)
    reviews = []
    with aws_variables(environment):
        for layer in actual:
            if layer.name == "service":
                require_fast_metrics_kept(environment, layer.parameters, patience)
            region = environment.region_of(layer.name)
            cloudformation = Patient(client(environment, "cloudformation", region), patience)
            reviews.append(_review(cloudformation, layer, patience))
    return Review(environment.name, tuple(reviews), digest(environment, symbolic))


def _review(cloudformation: Any, layer: Layer, waiter: Waiter) -> LayerReview:
    deployed = settled(cloudformation, layer.stack_name, waiter)
    require_changeable(layer.name, deployed)
    if deployed is None or not deployed.exists:
        return _creation(layer, deployed)
    difference = diff(layer, deployed, template_body(cloudformation, layer.stack_name))
    base = fingerprint(cloudformation, deployed)
    operation = "update"
    changes: tuple[Change, ...] = ()
    # With an upstream stack or an output missing, CloudFormation cannot be asked yet.
    if not layer.unresolved:
        change_set = changesets.create(cloudformation, layer, "UPDATE", waiter)
        operation = "none" if change_set.empty else "update"
        if not change_set.empty:
            changesets.delete(cloudformation, layer.stack_name, change_set.arn)
            changes = change_set.changes
    return LayerReview(
        layer.name, layer.stack_name, operation, changes, difference, layer.unresolved, base
    )


def _creation(layer: Layer, deployed: Deployed | None) -> LayerReview:
    dead = deployed is not None and deployed.status != "REVIEW_IN_PROGRESS"
    changes = tuple(
        Change(
            item.logical_id,
            item.resource_type,
            "Add",
            causes=(f"if {item.condition}",) if item.condition else (),
        )
        for item in resources(layer.template)
    )
    return LayerReview(
        layer.name,
        layer.stack_name,
        "recreate" if dead else "create",
        changes,
        diff(layer, None, ""),
        layer.unresolved,
    )
