"""A task between its record and its process."""

from __future__ import annotations

from dataclasses import dataclass

from local_region.tasks import records, spec
from local_region.tasks.records import Record


@dataclass
class Task:
    """What the controller knows of a task. Times are monotonic seconds, None = not yet."""

    record: Record
    cluster: str
    service: str | None = None
    target_groups: tuple[str, ...] = ()
    container: spec.ContainerSpec | None = None
    port: int = 0
    pid: int | None = None
    running_since: float | None = None
    healthy_seen: bool = False
    drain_since: float | None = None
    term_at: float | None = None
    killed: bool = False
    out_of_memory: bool = False
    ended: bool = False
    failed: bool = False
    """It ended, or never began, without anyone having asked it to stop."""

    @property
    def id(self) -> str:
        return records.task_id(self.record)

    @property
    def deployment_id(self) -> str | None:
        found: str | None = self.record["_deployment_id"]
        return found

    @property
    def address(self) -> tuple[str, int]:
        return (spec.HOST, self.port)

    @property
    def stopping(self) -> bool:
        return bool(self.record["desiredStatus"] == "STOPPED")
