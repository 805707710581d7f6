"""Polling with a limit, with clock and sleep to be replaced in tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from runbook.errors import AwsCallFailed

Answer = TypeVar("Answer")

#: What a call through boto3 ends with when it fails.
FAULTS = (BotoCoreError, ClientError)

#: What AWS says when it wants to be asked again later.
_PASSING = frozenset(
    {
        "InternalFailure",
        "RequestLimitExceeded",
        "ServerException",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


@dataclass(frozen=True)
class Waiter:
    """How often to look, in seconds, for how long at most, and how often to ask after a fault."""

    poll_s: float
    timeout_s: float
    attempts: int = 5
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def looks(self, what: str) -> Iterator[None]:
        """Yields once for every look. Raises AwsCallFailed when the time is over."""
        started = self.now()
        while True:
            yield
            if self.now() - started > self.timeout_s:
                raise AwsCallFailed(
                    f"{what} did not end",
                    f"it still goes on after {self.timeout_s:.0f} s",
                    "look at the stack's events, then run this again: it takes up where it is",
                )
            self.sleep(self.poll_s)

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """The answer to a question that may be asked twice, asked again after a passing fault.

        The client itself has retried for a while by then: this is for a network that is away
        for minutes. Raises the last fault.
        """
        pause_s = max(self.poll_s, 0.5)
        for _ in range(self.attempts - 1):
            try:
                return question()
            except (*FAULTS, AwsCallFailed) as error:
                if not passing(error):
                    raise
                self.sleep(pause_s)
                pause_s *= 2
        return question()


class Patient:
    """A client whose every call is repeated after a passing fault, as `Waiter.ask` does.

    Give such calls a token of the request where AWS takes one: it then knows a repetition.
    """

    def __init__(self, client: Any, waiter: Waiter) -> None:
        self._client, self._waiter = client, waiter

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._client, name)
        return lambda **wanted: self._waiter.ask(lambda: call(**wanted))


def code(error: Exception) -> str:
    """AWS's own name of a fault; empty for one that AWS did not answer with."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""


def passing(error: BaseException | None) -> bool:
    """Whether asking again may help: throttling, a fault of AWS's own, no network."""
    if isinstance(error, AwsCallFailed):
        error = error.__cause__
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return code(error) in _PASSING or status >= 500
    return isinstance(error, ConnectionError | HTTPClientError)
