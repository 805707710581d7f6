"""The life of a task: image, process, targets, drain, end. One place for all side effects."""

from __future__ import annotations

import logging
import queue
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from local_region.balancer.targets import TargetRegistry
from local_region.cloudwatch.embedded import put_embedded
from local_region.context import RegionContext
from local_region.seams.ecs import EcsStore
from local_region.tasks import memory, records
from local_region.tasks.launcher import Launcher
from local_region.tasks.logs import LogForwarder
from local_region.tasks.process import ProcessEvent, TaskHost
from local_region.tasks.records import Record
from local_region.tasks.starter import Prepared, TaskStarter
from local_region.tasks.task import Task

MEMORY_CHECK_S = 1.0
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
EXITED = "Essential container in task exited"
LONGEST_DRAIN_S = 310.0
_LOGS_KEPT = 200
_log = logging.getLogger("local_region.tasks")


class TaskRunner:
    """All tasks of the region. Every method is called with the store's lock held."""

    def __init__(
        self,
        context: RegionContext,
        store: EcsStore,
        host: TaskHost,
        launcher: Launcher,
        registry: TargetRegistry,
        wake: Callable[[], None],
    ) -> None:
        self._store, self._host = store, host
        self._metrics, self._scope = context.metrics, (context.account_id, context.region)
        self.launcher, self._registry, self._wake = launcher, registry, wake
        self._directory = context.directory.resolve() / "tasks"
        self._starter = TaskStarter(context, store, launcher, self._on_prepared)
        self._prepared: queue.SimpleQueue[Prepared] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[ProcessEvent] = queue.SimpleQueue()
        self._memory_checked = 0.0
        self.tasks: dict[str, Task] = {}
        self.logs = LogForwarder(self._put_lines, context.scope)
        self.logs.start()
        host.subscribe(self._on_event)

    def launch(self, task: Task, definition: Record) -> None:
        """Begin to start a task; its record is in the store when this returns."""
        self.tasks[task.id] = task
        self._store.put_task(task.record)
        self._starter.submit(task, definition)

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
        if not self.launcher.limits_memory and now - self._memory_checked >= MEMORY_CHECK_S:
            self._memory_checked = now
            self._check_memory()

    def kill(self, task: Task) -> None:
        """End a task now, without draining."""
        if task.pid is not None and not task.ended:
            task.killed = True
            self.launcher.kill(task.id)

    def close(self, timeout_s: float) -> None:
        """After all tasks have ended. Idempotent."""
        self._starter.close()
        self.logs.stop(timeout_s)
        self.launcher.close()

    def forget_ended(self, task: Task) -> None:
        self.tasks.pop(task.id, None)

    # --- starting

    def _put_lines(self, group: str, stream: str, lines: Sequence[tuple[float, str]]) -> bool:
        """Into the log, and out of it the metrics that CloudWatch would find there."""
        if not self._store.put_log_lines(group, stream, lines):
            return False
        put_embedded(self._metrics, (text for _, text in lines), self._scope)
        return True

    def _on_prepared(self, prepared: Prepared) -> None:
        self._prepared.put(prepared)
        self._wake()

    def _start(self, prepared: Prepared) -> None:
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
        self.launcher.shares.release(task_id)
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


def _oldest(paths: Iterable[Path], kept: int) -> list[Path]:
    found = []
    for path in paths:
        try:
            found.append((path.stat().st_mtime, path))
        except OSError:
            continue
    return [path for _, path in sorted(found, reverse=True)[kept:]]
