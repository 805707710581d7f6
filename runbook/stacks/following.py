"""Watching one operation on one stack until it is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from runbook.errors import StackFailed
from runbook.stacks import events
from runbook.stacks.deployed import Deployed, describe
from runbook.stacks.events import StackEvent
from runbook.waiting import Waiter

OnEvent = Callable[[StackEvent], None]

#: How to get out of a state that CloudFormation does not leave by itself.
_WAY_OUT = {
    "UPDATE_ROLLBACK_FAILED": "mend the cause, then: aws cloudformation continue-update-rollback "
    "--stack-name {stack}",
    "DELETE_FAILED": "mend the cause, then delete it again: runbook delete",
    "UPDATE_ROLLBACK_COMPLETE": "the layer is as it was before; mend the cause and run this again",
    "ROLLBACK_COMPLETE": "nothing of the layer is left; mend the cause and run this again",
}


def ignore(event: object) -> None:
    """For callers who do not listen."""


def follow(
    cloudformation: Any,
    layer: str,
    stack_name: str,
    *,
    mark: str | None,
    done: set[str],
    on_event: OnEvent,
    waiter: Waiter,
) -> None:
    """Report the events after `mark` until the stack settles.

    Its status counts only once the operation's own last event says the same: just after it was
    begun, AWS may still show the end of the one before. A stack that is gone counts as
    DELETE_COMPLETE. Raises StackFailed, root cause first, unless its status is one of `done`.
    """
    own: list[StackEvent] = []
    reported = 0
    found: Deployed | None = None
    for _ in waiter.looks(f"The change of {stack_name}"):
        found = describe(cloudformation, stack_name)
        own = events.since(cloudformation, stack_name, mark)
        for event in own[reported:]:
            on_event(event)
        reported = len(own)
        if found is None or _ended(own, found.status):
            break
    status = found.status if found else "DELETE_COMPLETE"
    if status not in done:
        raise failure(layer, stack_name, status, own, found.reason if found else "")


def _ended(own: Sequence[StackEvent], status: str) -> bool:
    """Whether a status is the end of the operation that these events, oldest first, are of."""
    last = next((event.status for event in reversed(own) if event.of_stack), "")
    return status == last and not status.endswith("_IN_PROGRESS")


def failure(
    layer: str, stack_name: str, status: str, own: Sequence[StackEvent], reason: str
) -> StackFailed:
    """The error of a failed operation: root cause first, then what it left, then the way on."""
    root = events.root_cause(own)
    why = f"{root.logical_id} ({root.resource_type}): {root.reason}" if root else reason or status
    more = len(events.cascade(own, root))
    also = f" ({more} more failed because of it)" if more else ""
    way_out = _WAY_OUT.get(status, "mend the cause and run this again").format(stack=stack_name)
    return StackFailed(
        f"Layer {layer} failed, {stack_name} is {status}",
        f"{why}{also}",
        f"{way_out}; later layers were not touched",
    )


def require_changeable(layer: str, stack: Deployed | None) -> None:
    """Raises StackFailed for a state in which CloudFormation takes no change."""
    if stack is not None and stack.status in {"UPDATE_ROLLBACK_FAILED", "DELETE_FAILED"}:
        raise failure(layer, stack.stack_name, stack.status, [], stack.reason)
