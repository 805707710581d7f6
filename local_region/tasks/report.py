"""What the controller tells others about services and tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local_region.tasks.records import Record
from local_region.tasks.task import Task


@dataclass(frozen=True)
class RunningTask:
    """A task as metering sees it. `cores` vCPU and `memory_mib` MiB are its reservation."""

    task_id: str
    cluster: str
    service: str | None
    pid: int
    cores: float
    memory_mib: int
    running_since: float


@dataclass(frozen=True)
class ServiceCounts:
    """Task counts of a service now."""

    cluster: str
    service: str
    desired: int
    running: int
    pending: int


def service_status(cluster: str, service: Record) -> dict[str, Any]:
    """A service as the region's status page shows it."""
    return {
        "cluster": cluster,
        "service": service["serviceName"],
        "status": service["status"],
        "desired": service["desiredCount"],
        "running": service["runningCount"],
        "pending": service["pendingCount"],
        "task_definition": service["taskDefinition"],
        "deployments": [
            {
                "id": deployment["id"],
                "status": deployment["status"],
                "rollout_state": deployment["rolloutState"],
                "reason": deployment["rolloutStateReason"],
            }
            for deployment in service["deployments"]
        ],
    }


def task_status(task: Task) -> dict[str, Any]:
    """A task as the region's status page shows it."""
    return {
        "task_id": task.id,
        "service": task.service,
        "pid": task.pid,
        "address": task.address[0],
        "port": task.port or None,
        "last_status": task.record["lastStatus"],
        "health": "HEALTHY" if task.healthy_seen else "UNKNOWN",
        "started_at": task.record["startedAt"],
    }
