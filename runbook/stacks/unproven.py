"""What served before a deployment that nobody has seen answer yet.

Noted just before the service's stack is changed, and forgotten once the service has answered or
was put back. A run that is killed in between leaves the note, and the next one knows what to go
back to. It is an SSM parameter, so that this may happen on another machine.

A note is good for the one change that it was made for: the stack's history tells whether what
serves is still what that change brought, or somebody has deployed since.
"""

from __future__ import annotations

import json

from runbook.aws import client
from runbook.environment import Environment
from runbook.errors import AwsCallFailed
from runbook.stacks import events
from runbook.stacks.waiting import waiter_for
from runbook.waiting import FAULTS, Patient, code

_LAYER = "service"


def parameter(environment: Environment) -> str:
    """The note's name."""
    return f"/{environment.project_code}/{environment.name}/unproven-deployment"


def note(environment: Environment, task_definition: str) -> bool:
    """Note the ARN of what serves now, before the next change of the stack.

    False when that has not been seen to answer either: then the older note's ARN stays.
    """
    former = noted(environment) or task_definition
    mark = events.latest_id(_cloudformation(environment), environment.stack_name(_LAYER))
    try:
        client(environment, "ssm").put_parameter(
            Name=parameter(environment),
            Value=json.dumps({"served": former, "after": mark}),
            Type="String",
            Overwrite=True,
        )
    except FAULTS as error:
        raise _failed(environment, error) from error
    return former == task_definition


def noted(environment: Environment) -> str:
    """The ARN that was noted; empty without a note.

    One that was noted before another change than the last one says nothing any more: it is dropped.
    """
    try:
        found = client(environment, "ssm").get_parameter(Name=parameter(environment))
    except FAULTS as error:
        if code(error) == "ParameterNotFound":
            return ""
        raise _failed(environment, error) from error
    try:
        content = json.loads(found["Parameter"]["Value"])
        served, mark = str(content["served"]), content["after"]
    except (ValueError, TypeError, KeyError):
        forget(environment)
        return ""
    if not _brought_what_serves(environment, mark):
        forget(environment)
        return ""
    return served


def forget(environment: Environment) -> None:
    """Take the note away, if there is one."""
    try:
        client(environment, "ssm").delete_parameter(Name=parameter(environment))
    except FAULTS as error:
        if code(error) != "ParameterNotFound":
            raise _failed(environment, error) from error


def _brought_what_serves(environment: Environment, mark: str | None) -> bool:
    """Whether the first change after the mark succeeded and no other one has since."""
    history = events.since(_cloudformation(environment), environment.stack_name(_LAYER), mark)
    ends = [e.status for e in history if e.of_stack and not e.status.endswith("_IN_PROGRESS")]
    return ends[:1] == ["UPDATE_COMPLETE"] and ends.count("UPDATE_COMPLETE") == 1


def _cloudformation(environment: Environment) -> Patient:
    api = client(environment, "cloudformation", environment.region_of(_LAYER))
    return Patient(api, waiter_for(environment))


def _failed(environment: Environment, error: Exception) -> AwsCallFailed:
    name = parameter(environment)
    return AwsCallFailed(
        f"The note of what serves in {environment.name} cannot be used",
        str(error),
        f"allow ssm:GetParameter, PutParameter and DeleteParameter on {name}",
    )
