"""Invoking a schedule's target once, and saying in AWS's words what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_region.cloudformation.shapes import api_request
from local_region.seams import scheduler
from local_region.seams.scheduler import Record

STARTED_BY = "chronos-schedule/"
"""How ECS shows that EventBridge Scheduler has started a task."""
_STARTED_BY_LENGTH = 128
_EMULATED = ("lambda", "sqs", "sns", "states", "events")
_THROTTLED = (
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
)
_RENAMED = {"TaskDefinitionArn": "taskDefinition", "TaskCount": "count"}
_CLUSTER_PARTS = 6


class TargetFailed(Exception):
    """The target could not be invoked; `code` is the service's, `retryable` what AWS retries."""

    def __init__(self, code: str, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.code, self.retryable = code, retryable


@dataclass(frozen=True)
class Invocation:
    """One occurrence of a schedule. `scheduled_s` epoch seconds; `attempt` counts from 1."""

    account_id: str
    region: str
    schedule: Record
    scheduled_s: float
    execution_id: str
    attempt: int = 1

    @property
    def scheduled_time(self) -> str:
        return datetime.fromtimestamp(self.scheduled_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def input(self) -> str:
        """The target's input with Scheduler's context attributes filled in."""
        text = str(self.schedule["Target"].get("Input") or "")
        for name, value in (
            ("schedule-arn", self.schedule["Arn"]),
            ("scheduled-time", self.scheduled_time),
            ("execution-id", self.execution_id),
            ("attempt-number", str(self.attempt)),
        ):
            text = text.replace(f"<aws.scheduler.{name}>", value)
        return text


def request_of(invocation: Invocation, ecs: Any) -> dict[str, Any]:
    """The RunTask request of a schedule with an ECS target. Raises TargetFailed."""
    target: Mapping[str, Any] = invocation.schedule["Target"]
    parameters = dict(target.get("EcsParameters") or {})
    started_by = f"{STARTED_BY}{invocation.schedule['Name']}"[:_STARTED_BY_LENGTH]
    try:
        overrides = json.loads(invocation.input or "{}")
        return api_request(
            ecs,
            "RunTask",
            {
                **parameters,
                "cluster": target["Arn"],
                "startedBy": started_by,
                **({"overrides": overrides} if overrides else {}),
            },
            renamed=_RENAMED,
        )
    except ValueError as error:
        raise TargetFailed("InvalidParameterException", str(error), retryable=False) from error


def invoke(invocation: Invocation, client: Callable[[str, str, str], Any]) -> str:
    """Invoke the target; the ARN of the task started, if one was.

    `client(service, region, account id)`. Raises TargetFailed.
    """
    target = invocation.schedule["Target"]
    service = (target["Arn"].split(":") + [""] * _CLUSTER_PARTS)[2]
    if service == "ecs":
        return _run_task(invocation, client("ecs", invocation.region, invocation.account_id))
    if service not in _EMULATED:
        raise TargetFailed(
            "UnsupportedTarget",
            f"The local region does not invoke {target['Arn']}",
            retryable=False,
        )
    _hand_over(invocation)
    return ""


def _run_task(invocation: Invocation, ecs: Any) -> str:
    request = request_of(invocation, ecs)
    try:
        answer = ecs.run_task(**request)
    except ClientError as error:
        found = error.response["Error"]
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
        retryable = status >= 500 or found["Code"] in _THROTTLED
        raise TargetFailed(found["Code"], found["Message"], retryable=retryable) from error
    except BotoCoreError as error:
        # Wrong parameters stay wrong; whatever happened on the way may pass.
        retryable = not type(error).__name__.startswith("ParamValidation")
        raise TargetFailed(type(error).__name__, str(error), retryable=retryable) from error
    if answer["failures"]:
        failure = answer["failures"][0]
        raise TargetFailed(
            str(failure.get("reason", "TaskFailed")), json.dumps(failure), retryable=True
        )
    return str(answer["tasks"][0]["taskArn"])


def _hand_over(invocation: Invocation) -> None:
    record = invocation.schedule
    event = {
        "EventId": invocation.execution_id,
        "Source": "aws.scheduler",
        "DetailType": "Scheduled Event",
        "Detail": "{}",
        "Time": invocation.scheduled_s,
        "Resources": [record["Arn"]],
        "Account": invocation.account_id,
        "Region": invocation.region,
    }
    with_input = {**record, "Target": {**record["Target"]}}
    if invocation.input:
        with_input["Target"]["Input"] = invocation.input
    scheduler.invoke_other_target(invocation.account_id, invocation.region, with_input, event)
