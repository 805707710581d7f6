"""What bounds the task count, read from the deployed service; a given value comes first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from runbook import aws
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.thresholds.bounds import Constraints

#: Service Quotas knows the account's vCPU for Fargate by this name.
_QUOTA_NAME = "Fargate On-Demand vCPU resource count"
#: The constraints that can be read: of the task definition, of the service, of the account.
_OF_TASK = ("memory_per_task_mib", "connections_per_task")
_OF_SERVICE = (*_OF_TASK, "startup_s", "subnet_addresses")
READABLE = (*_OF_SERVICE, "vcpu_quota")


@dataclass
class Read:
    """What could be read, by the name of the constraint, and a sentence on each."""

    values: dict[str, float] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


def with_sources(given: Constraints, environment: Environment) -> tuple[Constraints, list[str]]:
    """The constraints as given and, where they are None, what can be read.

    The sentences say where each number comes from; what cannot be read is said and is no error.
    """
    read = read_constraints(environment)
    missing = {name: v for name, v in read.values.items() if getattr(given, name) is None}
    asked = [name for name in READABLE if getattr(given, name) is not None]
    told = [f"{name} {getattr(given, name):g}: given" for name in asked]
    told += [line for line in read.told if line.split(" ")[0] not in asked]
    values: dict[str, Any] = missing
    return replace(given, **values, read=frozenset(missing)), told


def read_constraints(environment: Environment) -> Read:
    """Memory, pool, addresses, quota and start-up time of the deployed service."""
    read = Read()
    service = _try(read, _OF_SERVICE, lambda: _service(environment))
    if service is not None:
        ecs = aws.client(environment, "ecs")
        definition = _try(
            read,
            _OF_TASK,
            lambda: ecs.describe_task_definition(taskDefinition=service["taskDefinition"])[
                "taskDefinition"
            ],
        )
        if definition is not None:
            _task(read, definition)
        _try(read, ("startup_s",), lambda: _startup(read, ecs, service))
        _try(read, ("subnet_addresses",), lambda: _addresses(read, environment, service))
    if environment.is_local:
        read.told.append("vcpu_quota not bounded: the local region has no quota")
    else:
        _try(read, ("vcpu_quota",), lambda: _quota(read, environment))
    return read


def _try(read: Read, names: Sequence[str], look: Callable[[], Any]) -> Any:
    """What a look brings; None when it is refused, and why, of each constraint that it was for."""
    try:
        return look()
    except (ClientError, BotoCoreError, RunbookError, LookupError, ValueError) as error:
        read.told += [_unread(name, error) for name in names]
        return None


def _unread(name: str, why: object) -> str:
    return f"{name} cannot be read, so it bounds nothing unless given: {why}"


def _service(environment: Environment) -> dict[str, Any]:
    cluster = aws.outputs(environment, "cluster")["ClusterName"]
    name = aws.outputs(environment, "service")["ServiceName"]
    found = aws.client(environment, "ecs").describe_services(cluster=cluster, services=[name])
    return dict(found["services"][0])


def _task(read: Read, definition: Mapping[str, Any]) -> None:
    """Memory and pool size: the task definition has both."""
    name = f"{definition['family']}:{definition['revision']}"
    if "memory" in definition:
        read.values["memory_per_task_mib"] = int(definition["memory"])
        read.told.append(
            f"memory_per_task_mib {int(definition['memory'])}: of task definition {name}"
        )
    else:
        read.told.append(_unread("memory_per_task_mib", f"task definition {name} has no memory"))
    pools = [
        int(item["value"])
        for container in definition["containerDefinitions"]
        for item in container.get("environment", [])
        if item["name"] == "STORE_POOL_SIZE"
    ]
    if pools:
        read.values["connections_per_task"] = sum(pools)
        read.told.append(
            f"connections_per_task {sum(pools)}: STORE_POOL_SIZE in task definition {name}"
        )
    else:
        why = f"task definition {name} has no STORE_POOL_SIZE"
        read.told.append(_unread("connections_per_task", why))


def _startup(read: Read, ecs: Any, service: Mapping[str, Any]) -> None:
    """The longest time from asking for one of the running tasks until it ran."""
    arns = ecs.list_tasks(cluster=service["clusterArn"], serviceName=service["serviceName"])
    if not arns["taskArns"]:
        raise LookupError("no task is running")
    tasks = ecs.describe_tasks(cluster=service["clusterArn"], tasks=arns["taskArns"])["tasks"]
    took_s = [
        (task["startedAt"] - task["createdAt"]).total_seconds()
        for task in tasks
        if "startedAt" in task and "createdAt" in task
    ]
    if not took_s:
        raise LookupError("no running task says when it was asked for and when it ran")
    read.values["startup_s"] = max(took_s)
    read.told.append(
        f"startup_s {max(took_s):.1f}: the slowest of {len(took_s)} running task(s) from created "
        "to started; until it answers takes a health check more"
    )


def _addresses(read: Read, environment: Environment, service: Mapping[str, Any]) -> None:
    """Free addresses of the tasks' subnets, and those that running tasks have already."""
    subnets = service["networkConfiguration"]["awsvpcConfiguration"]["subnets"]
    found = aws.client(environment, "ec2").describe_subnets(SubnetIds=subnets)["Subnets"]
    free = sum(int(item["AvailableIpAddressCount"]) for item in found)
    running = int(service["runningCount"])
    read.values["subnet_addresses"] = free + running
    read.told.append(
        f"subnet_addresses {free + running}: {free} free in {len(found)} subnet(s) and {running} "
        "that running tasks have"
    )


def _quota(read: Read, environment: Environment) -> None:
    """The account's quota; other services of the account use of it, which is not taken off."""
    quotas = aws.client(environment, "service-quotas")
    pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="fargate")
    values = [q["Value"] for page in pages for q in page["Quotas"] if q["QuotaName"] == _QUOTA_NAME]
    if not values:
        raise LookupError(f"Service Quotas lists no {_QUOTA_NAME!r}")
    read.values["vcpu_quota"] = float(values[0])
    read.told.append(
        f"vcpu_quota {values[0]:g}: {_QUOTA_NAME}, whatever else the account runs on it"
    )
