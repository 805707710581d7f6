"""A stack as CloudFormation has it now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from runbook.aws import client, pages
from runbook.environment import LAYERS, Environment
from runbook.stacks.layers import OutputLookup
from runbook.stacks.waiting import waiter_for
from runbook.waiting import Patient, Waiter

#: A first creation that failed: nothing of it can be updated, only deleted and made anew.
DEAD = frozenset({"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"})
#: A name without resources: a change set was made and never executed.
EMPTY = frozenset({"REVIEW_IN_PROGRESS"})
#: Stacks that took their last change.
HEALTHY = frozenset(
    {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}
)


@dataclass(frozen=True)
class Deployed:
    """Status, parameters, tags and outputs of a stack.

    `parameters` are as resolved, `given` as handed in (they differ for SSM parameter types).
    """

    stack_name: str
    status: str
    reason: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    outputs: Mapping[str, str]
    given: Mapping[str, str] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Whether there are resources an update can start from."""
        return self.status not in DEAD | EMPTY

    @property
    def busy(self) -> bool:
        """Whether an operation is under way."""
        return self.status.endswith("_IN_PROGRESS") and self.status not in EMPTY


def describe(cloudformation: Any, stack_name: str) -> Deployed | None:
    """The stack, or None when there is none of that name (or it was deleted)."""
    try:
        stack = cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    if stack["StackStatus"] == "DELETE_COMPLETE":
        return None
    return Deployed(
        stack_name=stack["StackName"],
        status=stack["StackStatus"],
        reason=stack.get("StackStatusReason", "") or "",
        parameters={
            item["ParameterKey"]: item.get("ResolvedValue") or item.get("ParameterValue", "")
            for item in stack.get("Parameters", [])
        },
        tags={item["Key"]: item["Value"] for item in stack.get("Tags", [])},
        given={
            item["ParameterKey"]: item.get("ParameterValue", "")
            for item in stack.get("Parameters", [])
        },
        outputs={item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])},
    )


def settled(cloudformation: Any, stack_name: str, waiter: Waiter) -> Deployed | None:
    """The stack once no operation is under way: a killed run's operation is waited for."""
    found = describe(cloudformation, stack_name)
    if found is None or not found.busy:
        return found
    for _ in waiter.looks(f"The operation on {stack_name}"):
        found = describe(cloudformation, stack_name)
        if found is None or not found.busy:
            break
    return found


def listed_resources(cloudformation: Any, stack_name: str) -> list[dict[str, Any]]:
    """CloudFormation's summary of every resource; what an earlier try deleted is still listed."""
    return list(
        pages(cloudformation.list_stack_resources, "StackResourceSummaries", StackName=stack_name)
    )


def template_body(cloudformation: Any, stack_name: str) -> str:
    """The template as it was handed in."""
    body = cloudformation.get_template(StackName=stack_name, TemplateStage="Original")[
        "TemplateBody"
    ]
    return body if isinstance(body, str) else json.dumps(body, indent=2)


def fingerprint(cloudformation: Any, stack: Deployed | None) -> str:
    """What a change starts from: SHA-256 over template, parameters and tags; empty for nothing.

    Two looks give the same as long as nobody changes the stack in between.
    """
    if stack is None or not stack.exists:
        return ""
    body = template_body(cloudformation, stack.stack_name)
    content = [body, sorted(stack.parameters.items()), sorted(stack.tags.items())]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def output_lookup(environment: Environment) -> OutputLookup:
    """Looks outputs up, each stack once and in its own region; None for what does not exist."""
    patience = waiter_for(environment)
    known: dict[str, Mapping[str, str]] = {}
    regions = {environment.stack_name(layer): environment.region_of(layer) for layer in LAYERS}

    def lookup(stack_name: str, key: str) -> str | None:
        if stack_name not in known:
            region = regions.get(stack_name, environment.region)
            cloudformation = Patient(client(environment, "cloudformation", region), patience)
            found = describe(cloudformation, stack_name)
            known[stack_name] = found.outputs if found and found.exists else {}
        return known[stack_name].get(key)

    return lookup


def status(environment: Environment) -> dict[str, Deployed | None]:
    """Every layer's stack, None for those that do not exist."""
    found = {}
    for layer in LAYERS:
        cloudformation = client(environment, "cloudformation", environment.region_of(layer))
        found[layer] = describe(cloudformation, environment.stack_name(layer))
    return found
