"""The SDK client for a stack's own account and region."""

from __future__ import annotations

from typing import Any

from local_region.context import RegionContext
from local_region.seams import core


def stack_client(context: RegionContext, service: str) -> Any:
    """A client for the account and region of the stack that is being worked on."""
    account_id, region = core.current_scope()
    return context.client(service, region, account_id)
