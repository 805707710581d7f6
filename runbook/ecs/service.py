"""The ECS service seen through the API: counts, deployments, tasks, targets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from runbook.aws import client, outputs
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, ServiceFailed, StackFailed
from runbook.waiting import Waiter


@dataclass(frozen=True)
class Task:
    """One task. `health` is that of its target in the balancer ("" while it has none)."""

    task_id: str
    status: str
    address: str
    port: int | None
    health: str


@dataclass(frozen=True)
class Deployment:
    """One deployment of the service: PRIMARY is the one wanted, ACTIVE one being replaced."""

    status: str
    rollout: str
    reason: str
    task_definition: str


@dataclass(frozen=True)
class Service:
    """Counts are tasks. `tasks` holds those that are not stopped."""

    name: str
    cluster: str
    desired: int
    running: int
    pending: int
    deployments: tuple[Deployment, ...]
    tasks: tuple[Task, ...]
    newest_event: str

    @property
    def healthy(self) -> int:
        """Tasks whose target the balancer sends requests to."""
        return sum(task.health == "healthy" for task in self.tasks)

    @property
    def stable(self) -> bool:
        """One completed deployment, and every desired task running and healthy."""
        done = len(self.deployments) == 1 and self.deployments[0].rollout in {"", "COMPLETED"}
        return done and self.desired == self.running == self.healthy

    @property
    def failure(self) -> str:
        """Why the newest deployment failed; empty when it did not."""
        failed = [item for item in self.deployments if item.rollout == "FAILED"]
        return failed[0].reason if failed else ""

    @property
    def summary(self) -> str:
        """The counts in a sentence."""
        return f"{self.running} of {self.desired} tasks run, {self.healthy} are healthy"

    def rows(self) -> list[dict[str, str]]:
        """One row a task, for a table."""
        return [
            {
                "task": task.task_id,
                "status": task.status,
                "address": f"{task.address}:{task.port}" if task.port else task.address,
                "target health": task.health or "-",
            }
            for task in self.tasks
        ]


def describe(environment: Environment) -> Service:
    """The environment's service as it is now.

    Raises StackNotFound before the first deployment, AwsCallFailed when AWS refuses.
    """
    names = {**outputs(environment, "service"), **outputs(environment, "balancer")}
    cluster = outputs(environment, "cluster")["ClusterName"]
    try:
        return _describe(environment, cluster, names)
    except (ClientError, BotoCoreError) as error:
        raise AwsCallFailed(
            f"Service {names['ServiceName']} cannot be described",
            str(error),
            "check credentials and rights",
        ) from error


def _describe(environment: Environment, cluster: str, names: dict[str, str]) -> Service:
    ecs = client(environment, "ecs")
    name = names["ServiceName"]
    service = ecs.describe_services(cluster=cluster, services=[name])["services"][0]
    arns = [
        arn
        for page in ecs.get_paginator("list_tasks").paginate(cluster=cluster, serviceName=name)
        for arn in page["taskArns"]
    ]
    described = [
        task
        for start in range(0, len(arns), 100)
        for task in ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + 100])["tasks"]
    ]
    health = _target_health(client(environment, "elbv2"), names["TargetGroupArn"])
    events = service.get("events", [])
    return Service(
        name=name,
        cluster=cluster,
        desired=service["desiredCount"],
        running=service["runningCount"],
        pending=service["pendingCount"],
        deployments=tuple(_deployment(item) for item in service.get("deployments", [])),
        tasks=tuple(_task(item, health) for item in described if item["lastStatus"] != "STOPPED"),
        newest_event=events[0]["message"] if events else "",
    )


def _deployment(item: dict[str, Any]) -> Deployment:
    return Deployment(
        item["status"],
        item.get("rolloutState", ""),
        item.get("rolloutStateReason", ""),
        item.get("taskDefinition", ""),
    )


def _target_health(elbv2: Any, target_group: str) -> dict[tuple[str, int | None], str]:
    found = elbv2.describe_target_health(TargetGroupArn=target_group)
    return {
        (item["Target"]["Id"], item["Target"].get("Port")): item["TargetHealth"]["State"]
        for item in found["TargetHealthDescriptions"]
    }


def _task(item: dict[str, Any], health: dict[tuple[str, int | None], str]) -> Task:
    address, port = _address(item)
    return Task(
        task_id=item["taskArn"].rpartition("/")[2],
        status=item["lastStatus"],
        address=address,
        port=port,
        health=next(
            (state for target, state in health.items() if _same(target, address, port)), ""
        ),
    )


def _same(target: tuple[str, int | None], address: str, port: int | None) -> bool:
    """With an address of its own (awsvpc) a task is known by it; else by the host's port too."""
    return target[0] == address and port in {None, target[1]}


def _address(item: dict[str, Any]) -> tuple[str, int | None]:
    """Where a task's first container answers: its own address, or a port of the host's."""
    for container in item.get("containers", []):
        for binding in container.get("networkBindings", []):
            return binding.get("bindIP", ""), binding.get("hostPort")
        for interface in container.get("networkInterfaces", []):
            return interface.get("privateIpv4Address", ""), None
    return "", None


def wait_stable(
    environment: Environment,
    *,
    timeout_s: float = 300.0,
    poll_s: float = 1.0,
    on_wait: Callable[[Service], None] | None = None,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Service:
    """Wait until the service runs what it should.

    Raises ServiceFailed when its deployment failed, or the time is over and no task is healthy;
    StackFailed when it is over otherwise.
    """
    started = now()
    patience = Waiter(poll_s, timeout_s, sleep=sleep)
    while True:
        service = patience.ask(lambda: describe(environment))
        if on_wait:
            on_wait(service)
        if service.stable:
            return service
        if service.failure:
            raise ServiceFailed(
                f"The deployment of {service.name} failed",
                service.failure,
                "read the stopped tasks' reasons, mend the image or its settings, deploy again",
            )
        if now() - started > timeout_s:
            failed = StackFailed if service.healthy else ServiceFailed
            raise failed(
                f"Service {service.name} is not stable",
                f"after {timeout_s:.0f} s {service.running} of {service.desired} tasks run and "
                f"{service.healthy} are healthy; {service.newest_event or 'no event says why'}",
                "look at its tasks' logs",
            )
        sleep(poll_s)
