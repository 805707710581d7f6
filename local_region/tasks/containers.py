"""Tasks as real containers of their images, by a docker or podman on this Linux machine.

A container shares the host's network, so a task is met as a process is: at 127.0.0.1 and a port of
its own. What the task host starts is the engine's client, which stays for as long as the container
runs, passes SIGTERM on to it, and hands its output and its exit code back; SIGKILL cannot be passed
on, so that one goes to the container by name.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from local_region.errors import DataPlaneFailed
from local_region.tasks import cgroups, memory, spec
from local_region.tasks.cpu_share import CpuShares, CpuUsage, LaunchTerms
from local_region.tasks.engine_images import EngineImages
from local_region.tasks.images import Image, ImageRegistry
from local_region.tasks.launcher import Start
from local_region.tasks.process import ProcessSpec, TaskHost

ENGINE_TIMEOUT_S = 60.0
_LABEL = "local-region"
_log = logging.getLogger("local_region.tasks.containers")


class Engine:
    """The command line of docker or podman. Raises OSError, subprocess.SubprocessError."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *arguments: str) -> str:
        """Standard output of a command that must succeed."""
        done = subprocess.run(
            [self.name, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ENGINE_TIMEOUT_S,
            check=True,
        )
        return done.stdout.strip()

    def try_to(self, *arguments: str) -> str:
        """The same where failing means that there is nothing left to do."""
        try:
            return self(*arguments)
        except (OSError, subprocess.SubprocessError):
            return ""


class ContainerShares:
    """The engine's own quota (`--cpus`); the account is read from the container's cgroup."""

    def __init__(self, engine: Engine, names: Names) -> None:
        self.method = f"{engine.name}-quota"
        self._engine, self._names = engine, names
        self._pids: dict[str, int] = {}

    def prepare(self, task_id: str, cores: float, directory: Path) -> LaunchTerms:
        return LaunchTerms()

    def usage(self, task_id: str, pid: int) -> CpuUsage | None:
        container_pid = self.pid(task_id)
        if container_pid is None:
            return None
        try:
            stat = read_cgroup(container_pid)
        except (OSError, KeyError):
            return None
        return CpuUsage(stat["usage_usec"] / 1e6, stat["nr_periods"], stat["nr_throttled"])

    def pid(self, task_id: str) -> int | None:
        """The container's first process, on this machine."""
        if task_id not in self._pids:
            name = self._names.container(task_id)
            found = self._engine.try_to("inspect", "--format", "{{.State.Pid}}", name)
            if not found.isdigit() or found == "0":
                return None
            self._pids[task_id] = int(found)
        return self._pids[task_id]

    def release(self, task_id: str) -> None:
        self._pids.pop(task_id, None)
        self._engine.try_to("rm", "--force", self._names.container(task_id))

    def close(self) -> None:
        self._pids.clear()


class Names:
    """Names that tell this region's containers, volumes and images from everyone else's."""

    def __init__(self, directory: Path) -> None:
        self.owner = hashlib.sha256(str(directory).encode()).hexdigest()[:12]

    def container(self, task_id: str) -> str:
        return f"{_LABEL}-{self.owner}-{task_id}"

    def volume(self, name: str) -> str:
        return f"{_LABEL}-{self.owner}-{name}"

    def image(self, digest: str) -> str:
        return f"localhost/{_LABEL}-{self.owner}:{digest.rpartition(':')[2]}"


class ContainerLauncher:
    """A task is a container: the image's own interpreter, libraries, user and file system."""

    limits_memory = True

    def __init__(
        self, engine: str, host: TaskHost, registry: ImageRegistry, address: str, directory: Path
    ) -> None:
        self._engine, self._host, self._names = Engine(engine), host, Names(directory)
        _require_linux()
        try:
            self._engine("version")
        except (OSError, subprocess.SubprocessError) as error:
            raise DataPlaneFailed(
                f"Tasks cannot be containers: {engine} does not answer: {_said(error)}; start it, "
                "or start the region without --tasks containers"
            ) from error
        self._remove_everything()
        self._shares = ContainerShares(self._engine, self._names)
        self._images = EngineImages(
            registry, address, directory / "images", self._load, self._names.image
        )

    @property
    def shares(self) -> CpuShares:
        return self._shares

    def pull(self, image: str) -> Image:
        return self._images.pull(image)

    def process(self, start: Start) -> ProcessSpec:
        container = start.container
        variables = spec.variables(
            container, secrets=start.secrets, port=start.port, region=start.region
        )
        return ProcessSpec(
            id=start.task_id,
            argv=run_command(self._engine.name, self._names, start, variables),
            # Secrets travel by name, so that no process list shows them.
            env={**os.environ, **start.secrets},
            cwd=str(start.directory),
            log=str(start.log),
        )

    def kill(self, task_id: str) -> None:
        def kill() -> None:
            self._engine.try_to("kill", self._names.container(task_id))
            self._host.kill(task_id)

        threading.Thread(target=kill, name="region-container-kill", daemon=True).start()

    def memory_bytes(self, task_id: str, pid: int) -> int | None:
        found = self._shares.pid(task_id)
        return None if found is None else memory.task_bytes(found)

    def close(self) -> None:
        self._shares.close()
        self._remove_everything()

    def _load(self, archive: Path) -> None:
        try:
            self._engine("load", "--quiet", "--input", str(archive))
        except (OSError, subprocess.SubprocessError) as error:
            raise OSError(f"{self._engine.name} refused the image: {_said(error)}") from error

    def _remove_everything(self) -> None:
        """What this or an earlier region of this directory left with the engine."""
        owner = f"label={_LABEL}={self._names.owner}"
        found = self._engine.try_to("ps", "--all", "--quiet", "--filter", owner).split()
        if found:
            _log.warning("removing %d containers left behind", len(found))
            self._engine.try_to("rm", "--force", *found)
        name = f"name={self._names.volume('')}"
        for volume in self._engine.try_to("volume", "ls", "--quiet", "--filter", name).split():
            self._engine.try_to("volume", "rm", volume)
        image = self._names.image("").rstrip(":")
        listed = self._engine.try_to("images", "--format", "{{.Repository}}:{{.Tag}}")
        for line in listed.split():
            if line.startswith(f"{image}:"):
                self._engine.try_to("rmi", line)


def run_command(
    engine: str, names: Names, start: Start, variables: Mapping[str, str]
) -> tuple[str, ...]:
    """The engine's command that is the task. `variables` without secrets' values are shown."""
    container = start.container
    command = [
        engine, "run", "--name", names.container(start.task_id),
        "--label", f"{_LABEL}={names.owner}",
        "--network", "host", "--no-healthcheck", "--log-driver", "none",
        "--cpus", f"{container.cores:g}", "--memory", f"{container.memory_mib}m",
        "--stop-timeout", str(container.stop_timeout_s),
    ]  # fmt: skip
    if container.read_only:
        command.append("--read-only")
        if engine == "podman":
            # It would mount a writable /tmp otherwise, which Fargate and docker do not.
            command.append("--read-only-tmpfs=false")
    for point, volume in container.mounts.items():
        # A named volume takes over owner and content of the image's folder, as on Fargate.
        command += ["--volume", f"{names.volume(volume)}:{point}"]
    for name, value in variables.items():
        command += ["--env", name if name in start.secrets else f"{name}={value}"]
    if container.working_directory:
        command += ["--workdir", container.working_directory]
    if container.entrypoint:
        command += ["--entrypoint", container.entrypoint[0]]
    command.append(names.image(start.image.digest))
    return (*command, *container.entrypoint[1:], *container.command)


def read_cgroup(pid: int) -> dict[str, int]:
    """The CPU account of the cgroup that a process is in. Raises OSError, KeyError."""
    mounts = cgroups.parse_mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    groups = cgroups.parse_memberships(Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"))
    by_controller = {
        name: mount.path for mount in mounts if mount.version == 1 for name in mount.controllers
    }
    if "cpu" in by_controller and groups.get("cpu"):
        hierarchy: cgroups.Hierarchy = cgroups.CgroupV1(
            by_controller["cpu"], by_controller["cpuacct"]
        )
        return hierarchy.read(groups["cpu"].lstrip("/"))
    root = next((mount.path for mount in mounts if mount.version == 2), None)
    if root is None:
        raise KeyError("no cgroup mount")
    return cgroups.CgroupV2(root).read(groups[""].lstrip("/"))


def _require_linux() -> None:
    if not sys.platform.startswith("linux"):
        raise DataPlaneFailed(
            "Tasks cannot be containers: the host's network is shared with them, which only Linux "
            "can; start the region without --tasks containers"
        )


def _said(error: Exception) -> str:
    """The last line that the engine said."""
    said = ""
    with contextlib.suppress(AttributeError):
        said = (error.stderr or "").strip()  # type: ignore[attr-defined]
    return said.splitlines()[-1] if said else str(error)
