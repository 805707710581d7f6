"""Stack events: following them, and finding the one that explains a failure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError


@dataclass(frozen=True)
class StackEvent:
    """One line of a stack's history. `at` is UTC; `reason` and `physical_id` may be empty."""

    event_id: str
    at: datetime
    stack_name: str
    logical_id: str
    resource_type: str
    status: str
    reason: str
    physical_id: str = ""

    @property
    def failed(self) -> bool:
        """Whether this event is a failure."""
        return self.status.endswith("_FAILED")

    @property
    def of_stack(self) -> bool:
        """Whether this event is about the stack itself, not one of its resources."""
        return self.resource_type == "AWS::CloudFormation::Stack"

    def to_dict(self) -> dict[str, str]:
        """For JSON."""
        return {**asdict(self), "at": self.at.isoformat()}

    def __str__(self) -> str:
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.at:%H:%M:%S} {self.stack_name} {self.logical_id} {self.status}{reason}"


def newest_first(cloudformation: Any, stack_name: str) -> Iterator[StackEvent]:
    """Every event of a stack, the newest first, page after page; nothing for an unknown stack."""
    token: dict[str, str] = {}
    while True:
        try:
            page = cloudformation.describe_stack_events(StackName=stack_name, **token)
        except ClientError as error:
            if "does not exist" in str(error):
                return
            raise
        yield from (_event(item) for item in page["StackEvents"])
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def latest_id(cloudformation: Any, stack_name: str) -> str | None:
    """The id of the newest event: a mark after which an operation's own events begin."""
    event = next(newest_first(cloudformation, stack_name), None)
    return event.event_id if event else None


def since(cloudformation: Any, stack_name: str, mark: str | None) -> list[StackEvent]:
    """The events after the mark, the oldest first."""
    found = []
    for event in newest_first(cloudformation, stack_name):
        if event.event_id == mark:
            break
        found.append(event)
    return found[::-1]


def root_cause(events: Sequence[StackEvent]) -> StackEvent | None:
    """The first failure that is not the consequence of another, from events oldest first.

    CloudFormation cancels what is under way once a resource fails; those cancellations, and
    the stack's own failure, are the cascade.
    """
    failures = [event for event in events if event.failed]
    own = [event for event in failures if not event.of_stack and not _cancelled(event)]
    return next(iter(own or failures), None)


def cascade(events: Iterable[StackEvent], root: StackEvent | None) -> list[StackEvent]:
    """The other failures, the oldest first."""
    return [event for event in events if event.failed and event != root]


def _cancelled(event: StackEvent) -> bool:
    return "cancel" in event.reason.lower()


def _event(item: dict[str, Any]) -> StackEvent:
    return StackEvent(
        event_id=item["EventId"],
        at=item["Timestamp"],
        stack_name=item["StackName"],
        logical_id=item.get("LogicalResourceId", ""),
        resource_type=item.get("ResourceType", ""),
        status=item.get("ResourceStatus", ""),
        reason=item.get("ResourceStatusReason", "") or "",
        physical_id=item.get("PhysicalResourceId", "") or "",
    )
