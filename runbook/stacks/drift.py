"""Drift: what was changed behind CloudFormation's back, found by its own detection."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from runbook.aws import client, pages
from runbook.environment import LAYERS, Environment
from runbook.errors import AwsCallFailed, StackNotFound
from runbook.stacks.deployed import describe, listed_resources
from runbook.stacks.waiting import waiter_for
from runbook.waiting import Patient, Waiter


@dataclass(frozen=True)
class Drifted:
    """One resource that is not as its template says: `status` is MODIFIED or DELETED.

    `differences` are "path: wanted -> found"; a deleted resource has none.
    """

    logical_id: str
    resource_type: str
    status: str
    differences: tuple[str, ...]


@dataclass(frozen=True)
class LayerDrift:
    """One stack's detection: how many resources were compared, and which types cannot be."""

    layer: str
    stack_name: str
    checked: int
    unchecked: tuple[str, ...]
    drifted: tuple[Drifted, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def detect(environment: Environment, *, waiter: Waiter | None = None) -> tuple[LayerDrift, ...]:
    """Have CloudFormation compare every stack of the environment with what is really there.

    Raises AwsCallFailed when a detection fails, StackNotFound when there is no stack: no answer is
    not the answer "no drift".
    """
    patience = waiter or waiter_for(environment)
    found = []
    for layer in LAYERS:
        region = environment.region_of(layer)
        cloudformation = Patient(client(environment, "cloudformation", region), patience)
        stack_name = environment.stack_name(layer)
        stack = describe(cloudformation, stack_name)
        if stack is not None and stack.exists:
            found.append(_detect(cloudformation, layer, stack_name, patience))
    if not found:
        raise StackNotFound(
            f"{environment.name} has no stack to compare",
            "nothing of it is deployed",
            f"deploy it: make create ENV={environment.name}",
        )
    return tuple(found)


def _detect(cloudformation: Any, layer: str, stack_name: str, waiter: Waiter) -> LayerDrift:
    detection = cloudformation.detect_stack_drift(StackName=stack_name)["StackDriftDetectionId"]
    state: dict[str, Any] = {}
    for _ in waiter.looks(f"The drift detection of {stack_name}"):
        state = cloudformation.describe_stack_drift_detection_status(
            StackDriftDetectionId=detection
        )
        if state["DetectionStatus"] != "DETECTION_IN_PROGRESS":
            break
    if state["DetectionStatus"] == "DETECTION_FAILED":
        raise AwsCallFailed(
            f"The drift of {stack_name} cannot be told",
            state.get("DetectionStatusReason", "no reason given"),
            "check the rights to read its resources, then try again",
        )
    drifts = list(
        pages(
            cloudformation.describe_stack_resource_drifts,
            "StackResourceDrifts",
            StackName=stack_name,
        )
    )
    every = listed_resources(cloudformation, stack_name)
    looked_at = {
        item["LogicalResourceId"]
        for item in drifts
        if item["StackResourceDriftStatus"] not in {"NOT_CHECKED", "UNSUPPORTED"}
    }
    return LayerDrift(
        layer=layer,
        stack_name=stack_name,
        checked=len(looked_at),
        unchecked=tuple(
            sorted({i["ResourceType"] for i in every if i["LogicalResourceId"] not in looked_at})
        ),
        drifted=tuple(
            _drifted(item)
            for item in drifts
            if item["StackResourceDriftStatus"] in {"MODIFIED", "DELETED"}
        ),
    )


def _drifted(item: dict[str, Any]) -> Drifted:
    return Drifted(
        item["LogicalResourceId"],
        item["ResourceType"],
        item["StackResourceDriftStatus"],
        tuple(
            f"{d['PropertyPath']}: {_short(d['ExpectedValue'])} -> {_short(d['ActualValue'])}"
            for d in item.get("PropertyDifferences", [])
        ),
    )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
