"""What a task is made into: by default a process of this machine's Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from local_region.tasks import memory, spec
from local_region.tasks.cpu_share import CpuShares
from local_region.tasks.images import Image, ImageStore
from local_region.tasks.process import ProcessSpec, TaskHost
from local_region.tasks.rootfs import make_view


@dataclass(frozen=True)
class Start:
    """Everything known of a task that is about to start. `directory` is its own; `secrets` are
    those that were looked up, `region` the variables that lead AWS SDKs here."""

    task_id: str
    container: spec.ContainerSpec
    image: Image
    directory: Path
    log: Path
    secrets: Mapping[str, str]
    port: int
    region: Mapping[str, str]


class Launcher(Protocol):
    """One way to run tasks."""

    limits_memory: bool
    """Whether a task over its memory is ended without the region's doing."""

    @property
    def shares(self) -> CpuShares:
        """What holds tasks to their CPU share and keeps the account."""

    def pull(self, image: str) -> Image:
        """The image, ready to run. Raises CannotPullContainer."""

    def process(self, start: Start) -> ProcessSpec:
        """The process that is the task, or stands for it. Raises CannotStart, OSError."""

    def kill(self, task_id: str) -> None:
        """End a task at once. Does not block."""

    def memory_bytes(self, task_id: str, pid: int) -> int | None:
        """The memory a task uses; None when it is gone."""

    def close(self) -> None:
        """After all tasks have ended."""


class ProcessLauncher:
    """A task is a process: this machine's interpreter and libraries, the image's files."""

    limits_memory = False

    def __init__(
        self, shares: CpuShares, images: ImageStore, host: TaskHost, volumes: Path
    ) -> None:
        self._shares, self._images, self._host, self._volumes = shares, images, host, volumes

    @property
    def shares(self) -> CpuShares:
        return self._shares

    def pull(self, image: str) -> Image:
        return self._images.pull(image)

    def process(self, start: Start) -> ProcessSpec:
        container, image = start.container, start.image
        mounts = {point: self._volumes / name for point, name in container.mounts.items()}
        try:
            view = make_view(image.rootfs, start.directory / "rootfs", mounts)
            terms = self._shares.prepare(start.task_id, container.cores, start.directory)
        except (OSError, ValueError) as error:
            raise spec.CannotStart(f"ResourceInitializationError: {error}") from error
        working_directory = view.path(container.working_directory or image.working_directory)
        if not working_directory.is_dir():
            raise spec.CannotStart(
                "CannotStartContainerError: the image has no working directory "
                f"{container.working_directory or image.working_directory}"
            )
        argv = spec.arguments(container, image)
        if argv[0].startswith("/") and view.path(argv[0]).exists():
            argv[0] = str(view.path(argv[0]))
        environment = spec.environment(
            container, image, secrets=start.secrets, port=start.port, region=start.region
        )
        return ProcessSpec(
            id=start.task_id,
            argv=argv,
            env={**environment, **terms.environment},
            cwd=str(working_directory),
            log=str(start.log),
            cgroup_procs=terms.cgroup_procs,
            duty_cores=terms.duty_cores,
        )

    def kill(self, task_id: str) -> None:
        self._host.kill(task_id)

    def memory_bytes(self, task_id: str, pid: int) -> int | None:
        return memory.task_bytes(pid)

    def close(self) -> None:
        self._shares.close()
