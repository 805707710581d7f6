"""The life of a task: image, process, targets, drain, end. One place for all side effects."""

from __future__ import annotations

import logging
import queue
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from local_region.balancer.targets import TargetRegistry
from local_region.context import RegionContext
from local_region.seams.ecs import EcsStore, SecretUnavailable
from local_region.tasks import memory, records, spec
from local_region.tasks.cpu_share import CpuShares
from local_region.tasks.free_ports import FreePorts
from local_region.tasks.images import CannotPullContainer, ImageStore
from local_region.tasks.logs import LogForwarder
from local_region.tasks.process import ProcessEvent, ProcessSpec, TaskHost
from local_region.tasks.records import Record
from local_region.tasks.rootfs import make_view

MEMORY_CHECK_S = 1.0
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
EXITED = "Essential container in task exited"
LONGEST_DRAIN_S = 310.0
_LOGS_KEPT = 200
_log = logging.getLogger("local_region.tasks")


@dataclass
class Task:
    """A task between its record and its process. Times are monotonic seconds, None = not yet."""

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


@dataclass
class _Prepared:
    """Everything a task needs to be started, or why it cannot be."""

    task: Task
    process: ProcessSpec | None = None
    digest: str = ""
    failure: str = ""
    container: spec.ContainerSpec | None = field(default=None)


class TaskRunner:
    """All tasks of the region. Every method is called with the store's lock held."""

    def __init__(
        self,
        context: RegionContext,
        store: EcsStore,
        host: TaskHost,
        shares: CpuShares,
        images: ImageStore,
        registry: TargetRegistry,
        wake: Callable[[], None],
    ) -> None:
        self._context, self._store, self._host = context, store, host
        self.shares, self._images, self._registry = shares, images, registry
        self._wake = wake
        self._directory = context.directory.resolve() / "tasks"
        self._volumes = context.directory.resolve() / "volumes"
        self._ports = FreePorts()
        self._workers = ThreadPoolExecutor(4, thread_name_prefix="region-task-start")
        self._prepared: queue.SimpleQueue[_Prepared] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[ProcessEvent] = queue.SimpleQueue()
        self._memory_checked = 0.0
        self.tasks: dict[str, Task] = {}
        self.logs = LogForwarder(store.put_log_lines, context.scope)
        self.logs.start()
        host.subscribe(self._on_event)

    def launch(self, task: Task, definition: Record) -> None:
        """Begin to start a task; its record is in the store when this returns."""
        self.tasks[task.id] = task
        self._store.put_task(task.record)
        self._workers.submit(self._prepare, task, definition)

    def stop(self, task: Task, reason: str, stop_code: str) -> None:
        """Begin to stop a task: out of the balancer, then SIGTERM, then, if need be, SIGKILL."""
        if task.ended or task.stopping:
            return
        records.mark_stopping(task.record, reason, stop_code)
        if task.pid is None:
            return
        now = time.time()
        records.enter_stage(task.record, "DEACTIVATING", now)
        task.drain_since = time.monotonic()
        for group in task.target_groups:
            self._registry.deregister(group, task.address)

    def step(self) -> None:
        """Take every task one step on."""
        while not self._prepared.empty():
            self._start(self._prepared.get())
        while not self._events.empty():
            self._handle(self._events.get())
        now = time.monotonic()
        for task in list(self.tasks.values()):
            if not task.ended and task.stopping and task.pid is not None:
                self._continue_stopping(task, now)
        if now - self._memory_checked >= MEMORY_CHECK_S:
            self._memory_checked = now
            self._check_memory()

    def kill(self, task: Task) -> None:
        """End a task now, without draining."""
        if task.pid is not None and not task.ended:
            task.killed = True
            self._host.kill(task.id)

    def close(self, timeout_s: float) -> None:
        """After all tasks have ended. Idempotent."""
        self._workers.shutdown(wait=True, cancel_futures=True)
        self.logs.stop(timeout_s)
        self.shares.close()

    def forget_ended(self, task: Task) -> None:
        self.tasks.pop(task.id, None)

    # --- starting

    def _prepare(self, task: Task, definition: Record) -> None:
        """On a worker: everything that may take time before the process can start."""
        result = _Prepared(task)
        try:
            with self._context.scope():
                self._enter(task, "PENDING")
                result = self._make_process(task, definition)
        except (spec.CannotStart, SecretUnavailable, CannotPullContainer) as error:
            result.failure = _start_failure(error)
        except Exception as error:
            _log.exception("task %s could not be prepared", task.id)
            result.failure = f"ResourceInitializationError: {error}"
        self._prepared.put(result)
        self._wake()

    def _make_process(self, task: Task, definition: Record) -> _Prepared:
        container = spec.read_task_definition(definition, task.record["overrides"])
        image = self._images.pull(container.image)
        self._enter(task, "ACTIVATING")
        secrets = {
            secret.name: self._store.resolve_secret(secret.name, secret.value_from)
            for secret in container.secrets
        }
        directory = self._directory / task.id
        directory.mkdir(parents=True, exist_ok=True)
        mounts = {point: self._volumes / name for point, name in container.mounts.items()}
        try:
            view = make_view(image.rootfs, directory / "rootfs", mounts)
            terms = self.shares.prepare(task.id, container.cores, directory)
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
        task.port = self._ports.take()
        environment = spec.environment(
            container, image, secrets=secrets, port=task.port, region=self._region_environment()
        )
        process = ProcessSpec(
            id=task.id,
            argv=argv,
            env={**environment, **terms.environment},
            cwd=str(working_directory),
            log=str(self._directory / f"{task.id}.log"),
            cgroup_procs=terms.cgroup_procs,
            duty_cores=terms.duty_cores,
        )
        return _Prepared(task, process, image.digest, container=container)

    def _region_environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self._context.endpoint_url,
            "AWS_REGION": self._context.region,
            "AWS_DEFAULT_REGION": self._context.region,
            "AWS_ACCESS_KEY_ID": self._context.account_id,
            "AWS_SECRET_ACCESS_KEY": "local",
        }

    def _enter(self, task: Task, stage: records.Stage) -> None:
        with self._store.lock:
            records.enter_stage(task.record, stage, time.time())

    def _start(self, prepared: _Prepared) -> None:
        task = prepared.task
        if prepared.failure or prepared.process is None or prepared.container is None:
            self._end(task, prepared.failure, "TaskFailedToStart", exit_code=None)
        elif task.stopping:
            self._end(task, "", "", exit_code=None)
        else:
            task.container = prepared.container
            port = prepared.container.port or task.port
            records.bind_port(task.record, port, task.port, prepared.digest)
            self._host.spawn(prepared.process)

    # --- what the host tells

    def _on_event(self, event: ProcessEvent) -> None:
        if event.id in self.tasks:
            self._events.put(event)
            self._wake()

    def _handle(self, event: ProcessEvent) -> None:
        task = self.tasks.get(event.id)
        if task is None or task.ended:
            return
        if event.kind == "spawned":
            self._run(task, event.pid)
        elif event.kind == "failed":
            self._end(
                task, f"CannotStartContainerError: {event.why}", "TaskFailedToStart", exit_code=None
            )
        else:
            self._end(task, EXITED, "EssentialContainerExited", exit_code=event.exit_code)

    def _run(self, task: Task, pid: int) -> None:
        task.pid, task.running_since = pid, time.monotonic()
        container = task.container
        assert container is not None
        if container.log_group is not None:
            path = self._directory / f"{task.id}.log"
            stream = f"{container.log_prefix or 'ecs'}/{container.name}/{task.id}"
            self.logs.follow(task.id, path, container.log_group, stream)
        records.enter_stage(task.record, "RUNNING", time.time())
        for group in task.target_groups:
            self._registry.register(group, task.address)
        if task.stopping:
            # Asked to stop in the moment it was started.
            task.drain_since = time.monotonic()
            for group in task.target_groups:
                self._registry.forget(group, task.address)

    # --- stopping

    def _continue_stopping(self, task: Task, now: float) -> None:
        assert task.container is not None
        if task.term_at is None:
            drained = all(
                self._registry.target(group, task.address) is None for group in task.target_groups
            )
            too_long = now - (task.drain_since or now) > LONGEST_DRAIN_S
            if drained or too_long:
                records.enter_stage(task.record, "STOPPING", time.time())
                task.term_at = now
                # To the first process only, as a container runtime does.
                self._host.signal(task.id, signal.SIGTERM)
        elif now - task.term_at > task.container.stop_timeout_s and not task.killed:
            self.kill(task)

    def _end(self, task: Task, reason: str, stop_code: str, *, exit_code: int | None) -> None:
        task.failed = not task.stopping
        task.ended = True
        for group in task.target_groups:
            self._registry.forget(group, task.address)
        records.mark_stopping(task.record, reason, stop_code)
        records.mark_exit(task.record, exit_code, OUT_OF_MEMORY if task.out_of_memory else None)
        now = time.time()
        records.enter_stage(task.record, "DEPROVISIONING", now)
        records.enter_stage(task.record, "STOPPED", now)
        self.logs.finish(task.id)
        if task.failed:
            _log.warning(
                "task %s of %s stopped: %s (exit code %s)",
                task.id, task.record["group"], reason, exit_code,
            )  # fmt: skip
        threading.Thread(
            target=self._clean_up, args=(task.id,), name="region-task-cleanup", daemon=True
        ).start()

    def _clean_up(self, task_id: str) -> None:
        self.shares.release(task_id)
        shutil.rmtree(self._directory / task_id, ignore_errors=True)
        for old in _oldest(self._directory.glob("*.log"), _LOGS_KEPT):
            old.unlink(missing_ok=True)

    def _check_memory(self) -> None:
        for task in self.tasks.values():
            if task.pid is None or task.ended or task.container is None or task.killed:
                continue
            limit = task.container.memory_mib * 2**20
            if memory.rss_bytes(task.pid) > limit and (memory.task_bytes(task.pid) or 0) > limit:
                task.out_of_memory = True
                self.kill(task)


def _start_failure(error: Exception) -> str:
    if isinstance(error, CannotPullContainer):
        return f"CannotPullContainerError: {error}"
    if isinstance(error, SecretUnavailable):
        return (
            "ResourceInitializationError: unable to pull secrets or registry auth: execution "
            f"resource retrieval failed: {error}"
        )
    return str(error)


def _oldest(paths: Iterable[Path], kept: int) -> list[Path]:
    found = []
    for path in paths:
        try:
            found.append((path.stat().st_mtime, path))
        except OSError:
            continue
    return [path for _, path in sorted(found, reverse=True)[kept:]]
