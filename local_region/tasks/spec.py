"""A task definition, read: what a task runs, with what, and how much of the machine it gets."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_region.tasks.images import Image

CPU_UNITS_PER_VCPU = 1024
DEFAULT_STOP_TIMEOUT_S = 30
HOST = "127.0.0.1"


class CannotStart(Exception):
    """The task cannot be started as defined; the text becomes its stoppedReason."""


@dataclass(frozen=True)
class Secret:
    """An environment variable whose value is in Secrets Manager or Parameter Store."""

    name: str
    value_from: str


@dataclass(frozen=True)
class ContainerSpec:
    """The one container of a task. `cores` vCPU, `memory_mib` MiB, both as reserved."""

    name: str
    image: str
    command: tuple[str, ...]
    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: tuple[Secret, ...]
    working_directory: str | None
    port: int | None
    mounts: Mapping[str, str]
    read_only: bool
    stop_timeout_s: int
    cores: float
    memory_mib: int
    log_group: str | None
    log_prefix: str | None


def read_task_definition(
    definition: Mapping[str, Any], overrides: Mapping[str, Any] | None = None
) -> ContainerSpec:
    """The container of a task definition record, with RunTask's overrides applied.

    Raises CannotStart for what the local region does not run.
    """
    containers = definition.get("containerDefinitions") or []
    if len(containers) != 1:
        raise CannotStart(
            f"ResourceInitializationError: the task definition has {len(containers)} containers; "
            "the local region runs one process a task"
        )
    container = containers[0]
    override: Mapping[str, Any] = next(
        (o for o in (overrides or {}).get("containerOverrides") or [] if o.get("name")
         in (None, container["name"])), {},
    )  # fmt: skip
    environment = {e["name"]: str(e["value"]) for e in container.get("environment") or []}
    environment |= {e["name"]: str(e["value"]) for e in override.get("environment") or []}
    volumes = {_get(volume, "name") for volume in definition.get("volumes") or []}
    log = container.get("logConfiguration") or {}
    options = log.get("options") or {}
    return ContainerSpec(
        name=container["name"],
        image=container["image"],
        command=tuple(override.get("command") or container.get("command") or ()),
        entrypoint=tuple(container.get("entryPoint") or ()),
        environment=environment,
        secrets=tuple(
            Secret(_get(secret, "name"), _get(secret, "valueFrom"))
            for secret in container.get("secrets") or []
        ),
        working_directory=container.get("workingDirectory"),
        port=_port(container.get("portMappings") or []),
        mounts=_mounts(container.get("mountPoints") or [], volumes),
        read_only=bool(container.get("readonlyRootFilesystem")),
        stop_timeout_s=int(container.get("stopTimeout") or DEFAULT_STOP_TIMEOUT_S),
        cores=_cores(definition, container),
        memory_mib=int(
            definition.get("memory") or container.get("memory")
            or container.get("memoryReservation") or 512
        ),
        log_group=options.get("awslogs-group") if log.get("logDriver") == "awslogs" else None,
        log_prefix=options.get("awslogs-stream-prefix"),
    )  # fmt: skip


def arguments(spec: ContainerSpec, image: Image) -> list[str]:
    """Entrypoint and command, as Docker combines a definition with its image.

    A definition's entryPoint drops the image's command as well. Raises CannotStart.
    """
    entrypoint = spec.entrypoint or image.entrypoint
    command = spec.command or (() if spec.entrypoint else image.command)
    if not (argv := [*entrypoint, *command]):
        raise CannotStart("CannotStartContainerError: no command specified")
    return argv


def environment(
    spec: ContainerSpec,
    image: Image,
    *,
    secrets: Mapping[str, str],
    port: int,
    region: Mapping[str, str],
) -> dict[str, str]:
    """The whole environment of a task's process: nothing leaks in from the region's own.

    `region` are the variables that make AWS SDKs inside the task meet the local region. HOST and
    PORT come last: all tasks share one address here, so each gets its own port.
    """
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        **image.environment,
        **variables(spec, secrets=secrets, port=port, region=region),
    }


def variables(
    spec: ContainerSpec, *, secrets: Mapping[str, str], port: int, region: Mapping[str, str]
) -> dict[str, str]:
    """The part of a task's environment that is not its image's."""
    given = {**region, **spec.environment, **secrets, "HOST": HOST, "PORT": str(port)}
    if "PGSSLMODE" in given:
        # The region's databases speak no TLS; what is required of RDS is only preferred here.
        given["PGSSLMODE"] = "prefer"
    return given


def _get(record: Mapping[str, Any], name: str) -> str:
    """A member, in the API's spelling or, from a template, in CloudFormation's."""
    value = record.get(name, record.get(name[0].upper() + name[1:]))
    if value is None:
        raise CannotStart(f"ResourceInitializationError: {name} is missing in {dict(record)}")
    return str(value)


def _port(mappings: Iterable[Mapping[str, Any]]) -> int | None:
    return next((int(mapping["containerPort"]) for mapping in mappings), None)


def _mounts(points: Iterable[Mapping[str, Any]], volumes: set[str]) -> dict[str, str]:
    mounts = {_get(point, "containerPath"): _get(point, "sourceVolume") for point in points}
    unknown = set(mounts.values()) - volumes
    if unknown:
        raise CannotStart(f"ResourceInitializationError: unknown volumes {sorted(unknown)}")
    return mounts


def _cores(definition: Mapping[str, Any], container: Mapping[str, Any]) -> float:
    units = definition.get("cpu") or container.get("cpu") or CPU_UNITS_PER_VCPU // 4
    text = str(units).strip().lower()
    if text.endswith("vcpu"):
        return float(text.removesuffix("vcpu"))
    return int(text) / CPU_UNITS_PER_VCPU
