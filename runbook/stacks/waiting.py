"""How patiently an environment is waited for."""

from __future__ import annotations

from runbook.environment import Environment
from runbook.stacks.service_image import in_local_region
from runbook.waiting import Waiter


def waiter_for(environment: Environment) -> Waiter:
    """A quick poll for the local region, a polite one for AWS; an hour at most."""
    return Waiter(poll_s=0.2 if in_local_region(environment) else 3.0, timeout_s=3600.0)
