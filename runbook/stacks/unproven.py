"""What served before a deployment that nobody has seen answer yet.

Noted before the service's stack is changed, and forgotten once the service has answered or was put
back. A run that is killed in between leaves the note, and the next one knows what to go back to. It
is an SSM parameter, so that this may happen on another machine.
"""

from __future__ import annotations

from runbook.aws import client
from runbook.environment import Environment
from runbook.errors import AwsCallFailed
from runbook.waiting import FAULTS, code


def parameter(environment: Environment) -> str:
    """The note's name."""
    return f"/{environment.project_code}/{environment.name}/unproven-deployment"


def note(environment: Environment, task_definition: str) -> bool:
    """Note the ARN of what serves now; False, and the older note stays, when there is one."""
    try:
        client(environment, "ssm").put_parameter(
            Name=parameter(environment), Value=task_definition, Type="String", Overwrite=False
        )
    except FAULTS as error:
        if code(error) != "ParameterAlreadyExists":
            raise _failed(environment, error) from error
        return noted(environment) == task_definition
    return True


def noted(environment: Environment) -> str:
    """The ARN that was noted; empty without a note."""
    try:
        found = client(environment, "ssm").get_parameter(Name=parameter(environment))
    except FAULTS as error:
        if code(error) == "ParameterNotFound":
            return ""
        raise _failed(environment, error) from error
    return str(found["Parameter"]["Value"])


def forget(environment: Environment) -> None:
    """Take the note away, if there is one."""
    try:
        client(environment, "ssm").delete_parameter(Name=parameter(environment))
    except FAULTS as error:
        if code(error) != "ParameterNotFound":
            raise _failed(environment, error) from error


def _failed(environment: Environment, error: Exception) -> AwsCallFailed:
    name = parameter(environment)
    return AwsCallFailed(
        f"The note of what serves in {environment.name} cannot be used",
        str(error),
        f"allow ssm:GetParameter, PutParameter and DeleteParameter on {name}",
    )
