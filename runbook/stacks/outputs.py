"""Outputs in CloudFormation's own shape, for people and scripts."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from runbook.aws import client
from runbook.environment import LAYERS, Environment


def every_output(environment: Environment) -> list[dict[str, str]]:
    """Description, OutputKey and OutputValue of every stack's outputs, in launch order."""
    found = []
    for layer in LAYERS:
        cloudformation = client(environment, "cloudformation", environment.region_of(layer))
        found += _outputs(cloudformation, environment.stack_name(layer))
    return found


def _outputs(cloudformation: Any, stack_name: str) -> list[dict[str, str]]:
    try:
        (stack,) = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return []
        raise
    return [
        {
            "Description": item.get("Description", ""),
            "OutputKey": item["OutputKey"],
            "OutputValue": item["OutputValue"],
        }
        for item in stack.get("Outputs", [])
    ]
