"""The controller: makes ECS's records come true, on one thread, several times a second."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from local_region.balancer.targets import TargetRegistry
from local_region.context import RegionContext, Stabilisation
from local_region.errors import DataPlaneFailed
from local_region.seams import ecr, ecs
from local_region.seams.ecs import EcsStore
from local_region.seams.elb import ElbStore
from local_region.tasks import cpu_share, records
from local_region.tasks.alarm_watch import AlarmWatch
from local_region.tasks.containers import ContainerLauncher
from local_region.tasks.images import ImageStore
from local_region.tasks.launcher import Launcher, ProcessLauncher
from local_region.tasks.process import TaskHost
from local_region.tasks.records import Record
from local_region.tasks.report import RunningTask, ServiceCounts, service_status, task_status
from local_region.tasks.rollout import ServiceState
from local_region.tasks.runner import TaskRunner
from local_region.tasks.scheduler import ServiceScheduler
from local_region.tasks.task import Task

STOPPED_KEPT = 200
STOPPED_KEPT_S = 3600.0
_WAIT_POLL_S = 0.05
_log = logging.getLogger("local_region.tasks.controller")


class Controller:
    """The ECS scheduler of the region. Public methods are thread-safe."""

    def __init__(self, context: RegionContext) -> None:
        self._context = context
        self._store = EcsStore()
        self._elb = ElbStore()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self.targets = TargetRegistry()
        self.targets.on_change(self._wake.set)
        self.host = TaskHost(context.children, context.directory / "tasks" / "host.log")
        self._states: dict[str, ServiceState] = {}
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Take over ECS and the registry, start the task host and the loop.

        Raises DataPlaneFailed, SeamMoved.
        """
        context = self._context
        ecr.install()
        ecs.install(self._store, self, lambda arn: bool(self._elb.load_balancers_of(arn)))
        self.host.start()
        try:
            launcher = self._launcher()
        except DataPlaneFailed:
            self.host.stop()
            raise
        self.cpu_enforcement = launcher.shares.method
        self._runner = TaskRunner(
            context, self._store, self.host, launcher, self.targets, self._wake.set
        )
        self._scheduler = ServiceScheduler(
            self._store, self._runner, self.targets,
            context.settings.publish_delay_s + 1.0,
            AlarmWatch(context).look,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._loop, name="region-tasks", daemon=True)
        self._thread.start()

    def _launcher(self) -> Launcher:
        """What the settings make tasks into. Raises DataPlaneFailed."""
        context, registry = self._context, ecr.RegistryStore()
        address = f"{context.account_id}.dkr.ecr.{context.region}.amazonaws.com"
        directory = context.directory.resolve()
        if engine := context.settings.container_engine:
            return ContainerLauncher(engine, self.host, registry, address, directory)
        images = ImageStore(registry, address, directory / "images")
        shares = cpu_share.choose(self.host)
        return ProcessLauncher(shares, images, self.host, directory / "volumes")

    def stop(self, timeout_s: float) -> None:
        """Stop every task (SIGTERM, near the end of the time SIGKILL) and the host. Idempotent."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        deadline = time.monotonic() + timeout_s * 0.7
        with self._context.scope(), self._store.lock:
            for task in self._runner.tasks.values():
                # The region goes down: nobody is served any more, so nobody is drained.
                task.target_groups = ()
                self._runner.stop(task, "The local region is stopping", "UserInitiated")
        while time.monotonic() < deadline and self._step_runner():
            time.sleep(0.02)
        with self._store.lock:
            for task in self._runner.tasks.values():
                self._runner.kill(task)
        deadline = time.monotonic() + timeout_s * 0.2
        while time.monotonic() < deadline and self._step_runner():
            time.sleep(0.02)
        self._runner.close(timeout_s)

    def close_host(self, timeout_s: float) -> None:
        """End the task host, after Envoy, which it started as well. Idempotent."""
        self.host.stop(timeout_s)

    # --- what CloudFormation waits for

    def wait_stable(
        self, cluster: str, service: str, deployment_id: str, timeout_s: float
    ) -> Stabilisation:
        """Block until that deployment has completed or failed."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not self._context.stopping.is_set():
            with self._context.scope(), self._store.lock:
                record = self._store.service(cluster, service)
                if record is None or record["status"] != "ACTIVE":
                    return Stabilisation("GONE", f"Service {service} is not active")
                state = self._states.get(record["serviceArn"])
                outcome = state.outcomes.get(deployment_id) if state else None
                known = any(d["id"] == deployment_id for d in record["deployments"])
            if outcome is not None and outcome.rollout == "FAILED":
                return Stabilisation("FAILED", outcome.reason)
            if outcome is not None and record["runningCount"] == record["desiredCount"]:
                return Stabilisation("COMPLETED", outcome.reason)
            if outcome is None and not known:
                return Stabilisation("FAILED", f"Deployment {deployment_id} was superseded")
            time.sleep(_WAIT_POLL_S)
        return Stabilisation("TIMEOUT", f"Service {service} did not stabilise in {timeout_s:.0f} s")

    def wait_inactive(self, cluster: str, service: str, timeout_s: float) -> bool:
        """Block until a deleted service's tasks are gone; False when they are not in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with self._context.scope():
                record = self._store.service(cluster, service)
            if record is None or record["status"] == "INACTIVE":
                return True
            time.sleep(_WAIT_POLL_S)
        return False

    # --- what metering and the status page ask

    def running_tasks(self) -> list[RunningTask]:
        """The tasks that are RUNNING now."""
        with self._store.lock:
            return [
                RunningTask(
                    task.id, task.cluster, task.service, task.pid,
                    task.container.cores, task.container.memory_mib, task.running_since,
                )
                for task in self._runner.tasks.values()
                if task.record["lastStatus"] == "RUNNING"
                and task.pid is not None
                and task.running_since is not None
                and task.container is not None
            ]  # fmt: skip

    def service_counts(self) -> list[ServiceCounts]:
        """The counts of every active service."""
        with self._context.scope(), self._store.lock:
            return [
                ServiceCounts(
                    cluster, service["serviceName"], service["desiredCount"],
                    service["runningCount"], service["pendingCount"],
                )
                for cluster, service in self._store.services()
                if service["status"] == "ACTIVE"
            ]  # fmt: skip

    def cpu_usage(self, task_id: str, pid: int) -> cpu_share.CpuUsage | None:
        """A task's CPU account since it started."""
        return self._runner.launcher.shares.usage(task_id, pid)

    def memory_bytes(self, task_id: str, pid: int) -> int | None:
        """The memory a task uses now."""
        return self._runner.launcher.memory_bytes(task_id, pid)

    def status(self) -> dict[str, Any]:
        """Services and tasks for the region's status page."""
        with self._context.scope(), self._store.lock:
            return {
                "services": [service_status(c, s) for c, s in self._store.services()],
                "tasks": [
                    task_status(task) for task in self._runner.tasks.values() if not task.ended
                ],
                "cpu_enforcement": self.cpu_enforcement,
            }

    # --- what the ECS API asks (seams.ecs.EcsHooks), with the store's lock held

    def wake(self) -> None:
        self._wake.set()

    def run_task(
        self,
        definition: Record,
        placement: records.Placement,
        count: int,
        overrides: Mapping[str, Any],
    ) -> list[Record]:
        started = []
        for _ in range(count):
            record = records.new_task(
                definition, placement, now=time.time(), overrides=dict(overrides)
            )
            self._runner.launch(Task(record, placement.cluster_name), definition)
            started.append(record)
        return started

    def stop_task(self, task: Record, reason: str) -> None:
        running = self._runner.tasks.get(records.task_id(task))
        if running is not None:
            self._runner.stop(running, reason, "UserInitiated")
            self._wake.set()

    # --- the loop

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(self._context.settings.reconcile_interval_s)
            self._wake.clear()
            try:
                with self._context.scope(), self._store.lock:
                    self._reconcile()
            except Exception:
                _log.exception("the task controller stumbled; going on")

    def _reconcile(self) -> None:
        self._runner.step()
        services = self._store.services()
        for cluster, record in services:
            state = self._states.get(record["serviceArn"])
            if state is None or state.record is not record:
                state = self._states[record["serviceArn"]] = ServiceState(record)
            if record["status"] != "INACTIVE":
                self._scheduler.reconcile(cluster, state)
        self._sweep({record["serviceArn"] for _, record in services})

    def _sweep(self, services: set[str]) -> None:
        """Forget what has ended; end what the store no longer knows (it was reset)."""
        for arn in set(self._states) - services:
            del self._states[arn]
        stored = self._store.tasks()
        for task in list(self._runner.tasks.values()):
            if task.ended and task.service is None:
                self._runner.forget_ended(task)
            elif task.record["taskArn"] not in stored:
                self._runner.kill(task)
                if task.ended:
                    self._runner.forget_ended(task)
        stopped = sorted(
            (t for t in stored.values() if t["lastStatus"] == "STOPPED"),
            key=lambda t: t["stoppedAt"], reverse=True,
        )  # fmt: skip
        now = time.time()
        for index, record in enumerate(stopped):
            if index >= STOPPED_KEPT or now - record["stoppedAt"] > STOPPED_KEPT_S:
                self._store.remove_task(record["taskArn"])

    def _step_runner(self) -> bool:
        with self._context.scope(), self._store.lock:
            self._runner.step()
            return any(not task.ended for task in self._runner.tasks.values())


def start(context: RegionContext) -> Controller:
    """Start the controller. Raises DataPlaneFailed, SeamMoved."""
    controller = Controller(context)
    controller.start()
    return controller
