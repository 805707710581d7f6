"""The last failed create or update of an environment, root cause first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from runbook.aws import client
from runbook.environment import LAYERS, Environment
from runbook.stacks import events
from runbook.stacks.events import StackEvent

Operation = Literal["create", "update"]


@dataclass(frozen=True)
class Failure:
    """A failed operation: the event that explains it, and those that followed from it."""

    layer: str
    stack_name: str
    operation: Operation
    root: StackEvent
    cascade: tuple[StackEvent, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "layer": self.layer,
            "stack_name": self.stack_name,
            "operation": self.operation,
            "root": self.root.to_dict(),
            "cascade": [event.to_dict() for event in self.cascade],
        }


def last_failures(environment: Environment) -> list[Failure]:
    """The environment's last failed create and last failed update, the most recent first."""
    found: dict[Operation, Failure] = {}
    for layer in LAYERS:
        cloudformation = client(environment, "cloudformation", environment.region_of(layer))
        name = environment.stack_name(layer)
        for failed in _failed_operations(events.newest_first(cloudformation, name)):
            root = events.root_cause(failed)
            if root is None:
                continue
            operation: Operation = "create" if failed[0].status.startswith("CREATE") else "update"
            known = found.get(operation)
            if known is None or known.root.at < root.at:
                rest = tuple(events.cascade(failed, root))
                found[operation] = Failure(layer, name, operation, root, rest)
    return sorted(found.values(), key=lambda failure: failure.root.at, reverse=True)


def _failed_operations(history: Iterable[StackEvent]) -> Iterator[list[StackEvent]]:
    """Cut a history, newest first, into operations; yields those with a failure, oldest first."""
    operation: list[StackEvent] = []
    for event in history:
        operation.append(event)
        starts = event.status in {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"}
        if event.of_stack and starts and event.logical_id == event.stack_name:
            ordered = operation[::-1]
            if not event.status.startswith("DELETE") and any(item.failed for item in ordered):
                yield ordered
            operation = []
