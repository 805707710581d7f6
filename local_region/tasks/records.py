"""ECS's records as its API shows them: a task's, its stages, a service's events and counts.

Every key a record will ever have is there from the start: API threads copy records while the
controller changes them, and only a dictionary whose size stays the same bears that.
Times are epoch seconds (float). Keys with an underscore are never shown.
"""

from __future__ import annotations

import platform
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Record = dict[str, Any]
Stage = Literal[
    "PROVISIONING", "PENDING", "ACTIVATING", "RUNNING",
    "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED",
]  # fmt: skip
LIVE_STAGES = ("PROVISIONING", "PENDING", "ACTIVATING", "RUNNING")
STARTING_STAGES = ("PROVISIONING", "PENDING", "ACTIVATING")
ADDRESS = "127.0.0.1"
EVENTS_KEPT = 100
_ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
_TIME_OF_STAGE: Mapping[str, tuple[str, ...]] = {
    "PENDING": ("pullStartedAt",),
    "ACTIVATING": ("pullStoppedAt", "connectivityAt"),
    "RUNNING": ("startedAt",),
    "DEACTIVATING": ("stoppingAt",),
    "STOPPING": ("stoppingAt",),
    "STOPPED": ("stoppingAt", "executionStoppedAt", "stoppedAt"),
}


@dataclass(frozen=True)
class Placement:
    """Where and for whom a task is started."""

    region: str
    account_id: str
    cluster_name: str
    cluster_arn: str
    group: str
    started_by: str
    launch_type: str = "FARGATE"
    capacity_provider: str | None = None
    platform_version: str = "1.4.0"
    subnet: str | None = None
    enable_execute_command: bool = False
    tags: Sequence[Mapping[str, str]] = ()


def new_task(
    definition: Mapping[str, Any],
    placement: Placement,
    *,
    now: float,
    overrides: Mapping[str, Any] | None = None,
    deployment_id: str | None = None,
) -> Record:
    """A task's record at PROVISIONING."""
    task_id = uuid.uuid4().hex
    base = f"arn:aws:ecs:{placement.region}:{placement.account_id}"
    arn = f"{base}:task/{placement.cluster_name}/{task_id}"
    attachment_id = str(uuid.uuid4())
    fargate = placement.launch_type == "FARGATE"
    return {
        "taskArn": arn,
        "clusterArn": placement.cluster_arn,
        "taskDefinitionArn": definition["taskDefinitionArn"],
        "containerInstanceArn": None,
        "overrides": overrides or {"containerOverrides": [], "inferenceAcceleratorOverrides": []},
        "lastStatus": "PROVISIONING",
        "desiredStatus": "RUNNING",
        "launchType": placement.launch_type,
        "capacityProviderName": placement.capacity_provider,
        "cpu": str(definition.get("cpu") or "256"),
        "memory": str(definition.get("memory") or "512"),
        "platformVersion": placement.platform_version if fargate else None,
        "platformFamily": "Linux" if fargate else None,
        "connectivity": None,
        "connectivityAt": None,
        "pullStartedAt": None,
        "pullStoppedAt": None,
        "createdAt": now,
        "startedAt": None,
        "stoppingAt": None,
        "executionStoppedAt": None,
        "stoppedAt": None,
        "stoppedReason": None,
        "stopCode": None,
        "group": placement.group,
        "startedBy": placement.started_by,
        "version": 1,
        "attributes": [{"name": "ecs.cpu-architecture", "value": _ARCHITECTURE}],
        "availabilityZone": f"{placement.region}a",
        "enableExecuteCommand": placement.enable_execute_command,
        "tags": list(placement.tags),
        "healthStatus": "UNKNOWN",
        "ephemeralStorage": definition.get("ephemeralStorage") or {"sizeInGiB": 20},
        "attachments": [_attachment(attachment_id, placement.subnet)],
        "containers": [
            _container(container, f"{base}:container", arn, placement.cluster_name, attachment_id)
            for container in definition.get("containerDefinitions") or []
        ],
        "_deployment_id": deployment_id,
        "_docker_ids": [],
    }


def _attachment(attachment_id: str, subnet: str | None) -> Record:
    details = [{"name": "subnetId", "value": subnet}] if subnet else []
    return {
        "id": attachment_id,
        "type": "ElasticNetworkInterface",
        "status": "PRECREATED",
        "details": [*details, {"name": "privateIPv4Address", "value": ADDRESS}],
    }


def _container(
    definition: Mapping[str, Any], arn: str, task_arn: str, cluster: str, attachment_id: str
) -> Record:
    return {
        "containerArn": f"{arn}/{cluster}/{task_arn.rpartition('/')[2]}/{uuid.uuid4()}",
        "taskArn": task_arn,
        "name": definition["name"],
        "image": definition.get("image", ""),
        "imageDigest": None,
        "runtimeId": None,
        "lastStatus": "PENDING",
        "exitCode": None,
        "reason": None,
        "networkBindings": [],
        "networkInterfaces": [
            {"attachmentId": attachment_id, "privateIpv4Address": ADDRESS},
        ],
        "healthStatus": "UNKNOWN",
        "cpu": str(definition.get("cpu") or 0),
        "memory": str(definition["memory"]) if definition.get("memory") else None,
    }


def enter_stage(task: Record, stage: Stage, now: float) -> None:
    """Move a task's record to a stage, with the times and container states that go with it."""
    task["lastStatus"] = stage
    task["version"] += 1
    for field in _TIME_OF_STAGE.get(stage, ()):
        task[field] = task[field] or now
    if stage == "ACTIVATING":
        task["connectivity"] = "CONNECTED"
    if stage in ("RUNNING", "STOPPED"):
        status = {"RUNNING": "ATTACHED", "STOPPED": "DELETED"}[stage]
        for attachment in task["attachments"]:
            attachment["status"] = status
        for container in task["containers"]:
            container["lastStatus"] = stage


def bind_port(task: Record, container_port: int, host_port: int, digest: str | None) -> None:
    """Say where a task answers: every task has the same address here, so the port tells."""
    for container in task["containers"]:
        container["networkBindings"] = [
            {
                "bindIP": ADDRESS,
                "containerPort": container_port,
                "hostPort": host_port,
                "protocol": "tcp",
            }
        ]
        container["imageDigest"] = digest
        container["runtimeId"] = f"{task['taskArn'].rpartition('/')[2]}-{host_port}"


def mark_stopping(task: Record, reason: str, stop_code: str) -> None:
    """Say that a task shall stop, and why. The first reason given stays."""
    if task["desiredStatus"] != "STOPPED":
        task["desiredStatus"] = "STOPPED"
        task["stoppedReason"], task["stopCode"] = reason, stop_code
        task["version"] += 1


def mark_exit(task: Record, exit_code: int | None, reason: str | None = None) -> None:
    """The container's exit code (128 + signal for a signal) and, if need be, its own reason."""
    for container in task["containers"]:
        container["exitCode"] = exit_code
        container["reason"] = reason


def task_id(task: Mapping[str, Any]) -> str:
    """The last part of a task's ARN."""
    return str(task["taskArn"]).rpartition("/")[2]


def new_deployment(
    task_definition: str, desired: int, *, now: float, launch_type: str | None = None
) -> Record:
    """A deployment's record as it begins."""
    deployment_id = f"ecs-svc/{uuid.uuid4().int % 10**19:019d}"
    return {
        "id": deployment_id,
        "status": "PRIMARY",
        "taskDefinition": task_definition,
        "desiredCount": desired,
        "runningCount": 0,
        "pendingCount": 0,
        "failedTasks": 0,
        "launchType": launch_type,
        "capacityProviderStrategy": None,
        "platformVersion": "1.4.0",
        "platformFamily": "Linux",
        "networkConfiguration": None,
        "createdAt": now,
        "updatedAt": now,
        "rolloutState": "IN_PROGRESS",
        "rolloutStateReason": f"ECS deployment {deployment_id} in progress.",
    }


def add_event(service: Record, message: str, now: float) -> None:
    """Put a message in front of the service's events; the newest hundred stay, as in ECS."""
    event = {"id": str(uuid.uuid4()), "createdAt": now, "message": message}
    service["events"] = [event, *service["events"]][:EVENTS_KEPT]


def count_tasks(service: Record, tasks: Iterable[Mapping[str, Any]]) -> None:
    """Write running and pending counts of the service and of each of its deployments."""
    live = [t for t in tasks if t["lastStatus"] in LIVE_STAGES and t["desiredStatus"] == "RUNNING"]
    _count(service, live)
    for deployment in service["deployments"]:
        _count(deployment, [t for t in live if t["_deployment_id"] == deployment["id"]])


def _count(record: Record, own: Sequence[Mapping[str, Any]]) -> None:
    record["runningCount"] = sum(task["lastStatus"] == "RUNNING" for task in own)
    record["pendingCount"] = len(own) - record["runningCount"]
