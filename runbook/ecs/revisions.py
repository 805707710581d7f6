"""The task definition's revisions: what the service runs, and what it ran before."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from runbook.aws import client
from runbook.ecs import service
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, InputInvalid

#: As many are looked at; ECS keeps all of them.
_LIMIT = 20


@dataclass(frozen=True)
class Revision:
    """One revision. `cpu` is in CPU units (1024 a vCPU), `memory_mib` in MiB.

    A revision that CloudFormation replaced is INACTIVE: it can be read, but not started again,
    so going back means a new revision of the same content.
    """

    number: int
    arn: str
    active: bool
    image: str
    cpu: int
    memory_mib: int
    settings: tuple[tuple[str, str], ...]
    command: tuple[str, ...]
    registered_at: datetime | None
    current: bool

    @property
    def reference(self) -> str:
        """The image without its repository: "@sha256:..." or ":tag"."""
        _, digest, value = self.image.rpartition("@")
        if digest:
            return f"@{value}"
        return f":{self.image.rpartition(':')[2]}"

    def row(self) -> dict[str, Any]:
        """For a table."""
        return {
            "revision": self.number,
            "runs": "now" if self.current else "",
            "image": self.reference[:19],
            "cpu": self.cpu,
            "memory MiB": self.memory_mib,
            "registered": self.registered_at,
        }


def revisions(environment: Environment) -> tuple[Revision, ...]:
    """The newest revisions of the service's task definition, the newest first.

    Raises StackNotFound before the first deployment, AwsCallFailed when AWS refuses.
    """
    found = service.describe(environment)
    current = next(d.task_definition for d in found.deployments if d.status == "PRIMARY")
    family = current.rpartition("/")[2].rpartition(":")[0]
    ecs = client(environment, "ecs")
    try:
        arns = [
            arn
            for status in ("ACTIVE", "INACTIVE")
            for arn in ecs.list_task_definitions(
                familyPrefix=family, status=status, sort="DESC", maxResults=_LIMIT
            )["taskDefinitionArns"]
        ]
        newest = sorted(set(arns), key=_number, reverse=True)[:_LIMIT]
        return tuple(
            _revision(ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"], current)
            for arn in newest
        )
    except (ClientError, BotoCoreError) as error:
        raise AwsCallFailed(
            f"The revisions of {family} cannot be read", str(error), "check credentials and rights"
        ) from error


def choose(known: Sequence[Revision], number: int = 0, *, avoid: Collection[str] = ()) -> Revision:
    """The revision of that number, or for 0 the newest one to go back to.

    That one is older than the current content, which may run for the second time: what was left
    for it is not gone back to. Nor are those whose ARN is to be avoided.

    Raises InputInvalid when there is none.
    """
    current = next(item for item in known if item.current)
    oldest = min(item.number for item in known if same_content(item, current))
    if number:
        wanted = [item for item in known if item.number == number]
    else:
        wanted = [item for item in known if item.number < oldest and item.arn not in avoid]
    if not wanted:
        have = ", ".join(str(item.number) for item in known)
        raise InputInvalid(
            f"There is no revision {number} to go back to"
            if number
            else "There is nothing to go back to",
            f"revision {current.number} runs; known are {have}",
            "deploy what it should be: runbook run 10_deploy; or name one: -p revision=NUMBER",
        )
    return wanted[0]


def same_content(one: Revision, other: Revision) -> bool:
    """Whether two revisions run the same thing."""
    return _content(one) == _content(other)


def _content(item: Revision) -> tuple[object, ...]:
    return (item.image, item.cpu, item.memory_mib, item.settings, item.command)


def _number(arn: str) -> int:
    return int(arn.rpartition(":")[2])


def _revision(item: dict[str, Any], current: str) -> Revision:
    container = item["containerDefinitions"][0]
    variables = {v["name"]: str(v.get("value", "")) for v in container.get("environment", [])}
    return Revision(
        number=int(item["revision"]),
        arn=item["taskDefinitionArn"],
        active=item.get("status") == "ACTIVE",
        image=container["image"],
        cpu=int(item["cpu"]),
        memory_mib=int(item["memory"]),
        settings=tuple(sorted(variables.items())),
        command=tuple(container.get("command", [])),
        registered_at=_moment(item.get("registeredAt")),
        current=item["taskDefinitionArn"] == current,
    )


def _moment(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None
