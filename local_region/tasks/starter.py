"""Everything that must be had before a task's process can start: image, secrets, view, share."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from local_region.context import RegionContext
from local_region.seams.ecs import EcsStore, SecretUnavailable
from local_region.tasks import records, spec
from local_region.tasks.free_ports import FreePorts
from local_region.tasks.images import CannotPullContainer
from local_region.tasks.launcher import Launcher, Start
from local_region.tasks.process import ProcessSpec
from local_region.tasks.records import Record
from local_region.tasks.task import Task

_log = logging.getLogger("local_region.tasks.starter")


@dataclass(frozen=True)
class Prepared:
    """A task that can be started, or why it cannot be (`failure`, its stoppedReason)."""

    task: Task
    process: ProcessSpec | None = None
    container: spec.ContainerSpec | None = None
    digest: str = ""
    failure: str = ""


class TaskStarter:
    """Prepares tasks on worker threads; `done` is called there with each result."""

    def __init__(
        self,
        context: RegionContext,
        store: EcsStore,
        launcher: Launcher,
        done: Callable[[Prepared], None],
    ) -> None:
        self._context, self._store = context, store
        self._launcher, self._done = launcher, done
        self._directory = context.directory.resolve() / "tasks"
        self._ports = FreePorts()
        self._workers = ThreadPoolExecutor(4, thread_name_prefix="region-task-start")

    def submit(self, task: Task, definition: Record) -> None:
        """Begin to prepare a task from its task definition."""
        self._workers.submit(self._prepare, task, definition)

    def close(self) -> None:
        self._workers.shutdown(wait=True, cancel_futures=True)

    def _prepare(self, task: Task, definition: Record) -> None:
        try:
            with self._context.scope():
                self._enter(task, "PENDING")
                prepared = self._make_process(task, definition)
        except (spec.CannotStart, SecretUnavailable, CannotPullContainer) as error:
            prepared = Prepared(task, failure=stopped_reason(error))
        except Exception as error:
            _log.exception("task %s could not be prepared", task.id)
            prepared = Prepared(task, failure=f"ResourceInitializationError: {error}")
        self._done(prepared)

    def _make_process(self, task: Task, definition: Record) -> Prepared:
        container = spec.read_task_definition(definition, task.record["overrides"])
        image = self._launcher.pull(container.image)
        self._enter(task, "ACTIVATING")
        secrets = {
            secret.name: self._store.resolve_secret(secret.name, secret.value_from)
            for secret in container.secrets
        }
        directory = self._directory / task.id
        directory.mkdir(parents=True, exist_ok=True)
        task.port = self._ports.take()
        process = self._launcher.process(
            Start(
                task_id=task.id,
                container=container,
                image=image,
                directory=directory,
                log=self._directory / f"{task.id}.log",
                secrets=secrets,
                port=task.port,
                region=self._region_environment(),
            )
        )
        return Prepared(task, process, container, image.digest)

    def _region_environment(self) -> dict[str, str]:
        return {
            # Where the region's state is: a runbook that runs as a task looks there, too.
            "RUNBOOK_LOCAL_REGION_DIR": str(self._context.directory.resolve()),
            "AWS_ENDPOINT_URL": self._context.endpoint_url,
            "AWS_REGION": self._context.region,
            "AWS_DEFAULT_REGION": self._context.region,
            "AWS_ACCESS_KEY_ID": self._context.account_id,
            "AWS_SECRET_ACCESS_KEY": "local",
        }

    def _enter(self, task: Task, stage: records.Stage) -> None:
        with self._store.lock:
            records.enter_stage(task.record, stage, time.time())


def stopped_reason(error: Exception) -> str:
    """A start's failure in ECS's words."""
    if isinstance(error, CannotPullContainer):
        return f"CannotPullContainerError: {error}"
    if isinstance(error, SecretUnavailable):
        return (
            "ResourceInitializationError: unable to pull secrets or registry auth: execution "
            f"resource retrieval failed: {error}"
        )
    return str(error)
