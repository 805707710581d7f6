"""Polling with a limit, with clock and sleep to be replaced in tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from runbook.environment import Environment
from runbook.errors import AwsCallFailed


@dataclass(frozen=True)
class Waiter:
    """How often to look, in seconds, and for how long at most."""

    poll_s: float
    timeout_s: float
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


def waiter_for(environment: Environment) -> Waiter:
    """A quick poll for the local region, a polite one for AWS; an hour at most."""
    return Waiter(poll_s=0.2 if environment.is_local else 3.0, timeout_s=3600.0)
