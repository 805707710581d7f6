"""Retries and the dead-letter queue: what becomes of an occurrence whose target refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_region.schedules.targets import Invocation, TargetFailed, request_of

DEFAULT_RETRIES = 185
DEFAULT_AGE_S = 86_400
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True)
class Retry:
    """Try again at `at_s` (epoch seconds)."""

    invocation: Invocation
    at_s: float


@dataclass(frozen=True)
class Exhausted:
    """Give up. `condition` is the limit that was reached; empty when AWS would not retry at all."""

    condition: str


def after_failure(invocation: Invocation, failure: TargetFailed, now_s: float) -> Retry | Exhausted:
    """What the schedule's retry policy says after a failed attempt."""
    policy = invocation.schedule["Target"].get("RetryPolicy") or {}
    retries = int(policy.get("MaximumRetryAttempts", DEFAULT_RETRIES))
    age_s = int(policy.get("MaximumEventAgeInSeconds", DEFAULT_AGE_S))
    if not failure.retryable:
        return Exhausted("")
    if invocation.attempt > retries:
        return Exhausted("MaximumRetryAttempts")
    pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (invocation.attempt - 1))
    if now_s + pause_s > invocation.scheduled_s + age_s:
        return Exhausted("MaximumEventAgeInSeconds")
    return Retry(replace(invocation, attempt=invocation.attempt + 1), now_s + pause_s)


def dead_letter(invocation: Invocation, failure: TargetFailed, condition: str) -> dict[str, str]:
    """The message attributes that EventBridge Scheduler gives a dead letter."""
    attributes = {
        "ERROR_CODE": failure.code,
        "ERROR_MESSAGE": str(failure)[:1024],
        "EXECUTION_ID": invocation.execution_id,
        "IS_PAYLOAD_TRUNCATED": "false",
        "RETRY_ATTEMPTS": str(invocation.attempt - 1),
        "SCHEDULED_TIME": invocation.scheduled_time,
        "SCHEDULE_ARN": invocation.schedule["Arn"],
        "TARGET_ARN": invocation.schedule["Target"]["Arn"],
    }
    return {**attributes, **({"EXHAUSTED_RETRY_CONDITION": condition} if condition else {})}


def send_dead_letter(
    invocation: Invocation,
    failure: TargetFailed,
    condition: str,
    client: Callable[[str, str, str], Any],
) -> bool:
    """Put the occurrence into the schedule's queue; False when there is none, or it refuses."""
    config = invocation.schedule["Target"].get("DeadLetterConfig") or {}
    if not config.get("Arn"):
        return False
    name = config["Arn"].rpartition(":")[2]
    sqs = client("sqs", invocation.region, invocation.account_id)
    attributes = dead_letter(invocation, failure, condition)
    try:
        sqs.send_message(
            QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"],
            MessageBody=_payload(invocation, client),
            MessageAttributes={
                key: {"DataType": "String", "StringValue": value}
                for key, value in attributes.items()
            },
        )
    except (ClientError, BotoCoreError):
        return False
    return True


def _payload(invocation: Invocation, client: Callable[[str, str, str], Any]) -> str:
    """What would have been sent to the target."""
    try:
        ecs = client("ecs", invocation.region, invocation.account_id)
        return json.dumps(request_of(invocation, ecs))
    except TargetFailed:
        return invocation.input or "{}"
