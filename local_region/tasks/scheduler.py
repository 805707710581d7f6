"""One service, brought towards what its record asks for. Called again and again; keeps what a
record does not hold: failures in a row, the deployment to go back to, what to wait for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from local_region.balancer.targets import TargetRegistry
from local_region.seams.ecs import EcsStore, task_placement
from local_region.tasks import deployments, records
from local_region.tasks.deployments import DeploymentView, Policy, TaskView
from local_region.tasks.records import Record
from local_region.tasks.runner import Task, TaskRunner

STEADY_S = 1.0
"""A task without a load balancer counts as healthy after it has run this long."""
BREAKER_EVENT = "deployment failed: tasks failed to start."
ALARM_EVENT = "deployment failed: alarm detected."
_log = logging.getLogger("local_region.tasks.scheduler")


@dataclass(frozen=True)
class Timing:
    """What the scheduler waits for, in seconds. `time_factor` compresses the grace period."""

    time_factor: float
    bake_s: float


@dataclass
class Outcome:
    """How a deployment ended: COMPLETED or FAILED, and rolloutStateReason."""

    rollout: str
    reason: str


@dataclass
class ServiceState:
    """What is remembered about a service beside its record. Times are monotonic seconds."""

    record: Record
    completed_id: str | None = None
    completed_definition: str | None = None
    next_start_at: float = 0.0
    ready_since: float | None = None
    steady: bool = False
    alarms_for: str | None = None
    ignored_alarms: frozenset[str] = frozenset()
    failures: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)


class ServiceScheduler:
    """Acts for services on the runner. Every method is called with the store's lock held."""

    def __init__(
        self,
        store: EcsStore,
        runner: TaskRunner,
        registry: TargetRegistry,
        timing: Timing,
        alarm_states: Callable[[tuple[str, ...]], Mapping[str, str] | None],
    ) -> None:
        self._store, self._runner, self._registry = store, runner, registry
        self._timing, self._alarm_states = timing, alarm_states

    def reconcile(self, cluster: str, state: ServiceState) -> None:
        """Take one service one step on."""
        service = state.record
        tasks = self._tasks(cluster, service)
        if service["status"] == "ACTIVE":
            policy = deployments.read_policy(service)
            self._replace_unhealthy(service, state, tasks)
            self._book_ends(service, state, policy, tasks)
            self._judge(service, state, policy)
            self._act(cluster, service, state, policy, tasks)
            self._complete(cluster, service, state, policy)
        else:
            for task in tasks:
                self._runner.stop(task, "Service deleted", "ServiceSchedulerInitiated")
        tasks = self._tasks(cluster, service)
        records.count_tasks(service, [task.record for task in tasks])
        self._tidy(service, tasks)
        if service["status"] == "DRAINING" and not tasks:
            service["status"], service["deployments"] = "INACTIVE", []

    def _tasks(self, cluster: str, service: Record) -> list[Task]:
        return [
            task
            for task in self._runner.tasks.values()
            if not task.ended and (task.cluster, task.service) == (cluster, service["serviceName"])
        ]

    # --- tasks that went wrong

    def _replace_unhealthy(
        self, service: Record, state: ServiceState, tasks: Iterable[Task]
    ) -> None:
        grace_s = float(service.get("healthCheckGracePeriodSeconds") or 0)
        grace_s *= self._timing.time_factor
        for task in tasks:
            if task.stopping or task.running_since is None:
                continue
            for group in task.target_groups:
                target = self._registry.target(group, task.address)
                if target is None or target.state != "unhealthy":
                    continue
                if time.monotonic() - task.running_since < grace_s:
                    continue
                why = target.reason[1] if target.reason else "unhealthy"
                self._event(
                    service,
                    f"(port {task.port}) is unhealthy in (target-group {group}) "
                    f"due to (reason {why})",
                )
                task.failed = True
                self._runner.stop(
                    task,
                    f"Task failed ELB health checks in (target-group {group})",
                    "ServiceSchedulerInitiated",
                )
                self._count_failure(service, state, task)
                break

    def _book_ends(
        self, service: Record, state: ServiceState, policy: Policy, tasks: Iterable[Task]
    ) -> None:
        for task in list(self._runner.tasks.values()):
            mine = task.service == service["serviceName"]
            if mine and task.record["clusterArn"] == service["clusterArn"] and task.ended:
                unasked = task.record["stopCode"] in (
                    "EssentialContainerExited", "TaskFailedToStart",
                )  # fmt: skip
                if task.failed and unasked:
                    self._count_failure(service, state, task)
                self._runner.forget_ended(task)
        for task in tasks:
            if not task.healthy_seen and self._is_healthy(task):
                task.healthy_seen = True
                if policy.breaker.reset_on_healthy_task and task.deployment_id is not None:
                    state.failures[task.deployment_id] = 0
                    for deployment in service["deployments"]:
                        if deployment["id"] == task.deployment_id:
                            deployment["failedTasks"] = 0

    def _count_failure(self, service: Record, state: ServiceState, task: Task) -> None:
        deployment_id = task.deployment_id or ""
        failures = state.failures.get(deployment_id, 0) + 1
        state.failures[deployment_id] = failures
        state.steady = False
        for deployment in service["deployments"]:
            if deployment["id"] == deployment_id and deployment["rolloutState"] == "IN_PROGRESS":
                deployment["failedTasks"] = failures
                deployment["updatedAt"] = time.time()
        delay_s = deployments.start_delay_s(failures)
        if delay_s:
            if failures == deployments.FREE_FAILURES:
                self._event(service, "is unable to consistently start tasks successfully.")
            state.next_start_at = time.monotonic() + delay_s

    def _is_healthy(self, task: Task) -> bool:
        if task.stopping or task.running_since is None:
            return False
        if not task.target_groups:
            return time.monotonic() - task.running_since >= STEADY_S
        targets = [self._registry.target(group, task.address) for group in task.target_groups]
        return all(target is not None and target.healthy for target in targets)

    # --- the deployment

    def _judge(self, service: Record, state: ServiceState, policy: Policy) -> None:
        primary = _primary(service)
        if primary is None or primary["rolloutState"] != "IN_PROGRESS":
            return
        if deployments.breaker_tripped(policy, _view(primary)):
            self._fail(
                service, state, primary,
                reason=deployments.BREAKER_REASON, event=BREAKER_EVENT,
                rollback=policy.breaker.rollback, by="circuit breaker",
            )  # fmt: skip
            return
        if not policy.alarm_names or primary["id"] == state.completed_id:
            return
        states = self._alarm_states(policy.alarm_names)
        if states is None:
            return
        if state.alarms_for != primary["id"]:
            state.alarms_for = primary["id"]
            state.ignored_alarms = frozenset(n for n, s in states.items() if s == "ALARM")
        ringing, state.ignored_alarms = deployments.alarms_that_fail(states, state.ignored_alarms)
        if ringing:
            _log.warning("deployment %s: alarms %s", primary["id"], ", ".join(ringing))
            self._fail(
                service, state, primary,
                reason=deployments.ALARM_REASON, event=ALARM_EVENT,
                rollback=policy.alarm_rollback, by="alarms",
            )  # fmt: skip

    def _fail(
        self,
        service: Record,
        state: ServiceState,
        primary: Record,
        *,
        reason: str,
        event: str,
        rollback: bool,
        by: str,
    ) -> None:
        now = time.time()
        primary["rolloutState"], primary["rolloutStateReason"] = "FAILED", reason
        primary["desiredCount"], primary["updatedAt"] = 0, now
        state.outcomes[primary["id"]] = Outcome("FAILED", reason)
        state.ready_since = None
        self._event(service, f"(deployment {primary['id']}) {event}")
        back_to = state.completed_id
        if not rollback or back_to is None or back_to == primary["id"]:
            return
        target = next((d for d in service["deployments"] if d["id"] == back_to), None)
        if target is None:
            # Its last task is gone, and with it its record.
            target = records.new_deployment(
                state.completed_definition or "", service["desiredCount"], now=now,
                launch_type=primary["launchType"],
            )  # fmt: skip
            state.completed_id = target["id"]
        primary["status"], target["status"] = "ACTIVE", "PRIMARY"
        target["rolloutState"], target["updatedAt"] = "IN_PROGRESS", now
        target["rolloutStateReason"] = (
            f"ECS deployment {by}: rolling back to deploymentId {target['id']}."
        )
        target["desiredCount"] = service["desiredCount"]
        service["taskDefinition"] = target["taskDefinition"]
        others = [d for d in service["deployments"] if d is not target]
        service["deployments"] = [target, *others]
        state.next_start_at = 0.0
        self._event(service, f"rolling back to deployment {target['id']}.")

    def _act(
        self, cluster: str, service: Record, state: ServiceState, policy: Policy, tasks: list[Task]
    ) -> None:
        views = [self._task_view(task) for task in tasks if not task.stopping]
        actions = deployments.decide(policy, [_view(d) for d in service["deployments"]], views)
        if actions.start and time.monotonic() >= state.next_start_at:
            state.steady = False
            started = [self._start(cluster, service) for _ in range(actions.start)]
            self._event(service, _tasks_message("has started", "tasks", started))
        by_id = {task.id: task for task in tasks}
        stopped = [by_id[task_id] for task_id, _ in actions.stop]
        for task, (_, reason) in zip(stopped, actions.stop, strict=True):
            self._runner.stop(task, reason, "ServiceSchedulerInitiated")
        if stopped:
            state.steady = False
            self._event(service, _tasks_message("has stopped", "running tasks", stopped))
            for group in _groups(service):
                self._event(
                    service, f"deregistered {len(stopped)} targets in (target-group {group})"
                )
            if _groups(service):
                self._event(service, f"has begun draining connections on {len(stopped)} tasks.")

    def _start(self, cluster: str, service: Record) -> Task:
        primary = _primary(service)
        assert primary is not None
        definition = self._store.task_definition(primary["taskDefinition"])
        placement = task_placement(cluster, service)
        record = records.new_task(
            definition or {"taskDefinitionArn": primary["taskDefinition"]},
            placement,
            now=time.time(),
            deployment_id=primary["id"],
        )
        task = Task(record, cluster, service["serviceName"], _groups(service))
        self._runner.launch(task, definition or {})
        return task

    def _complete(self, cluster: str, service: Record, state: ServiceState, policy: Policy) -> None:
        primary = _primary(service)
        if primary is None:
            return
        tasks = self._tasks(cluster, service)
        views = [self._task_view(task) for task in tasks if not task.stopping]
        stopping_old = sum(t.stopping and t.deployment_id != primary["id"] for t in tasks)
        settled = _settled(policy, views)
        if deployments.is_complete(policy, _view(primary), views, stopping_old):
            if self._baked(state, policy, primary):
                self._mark_complete(service, state, primary)
        else:
            state.ready_since = None
        if settled and not state.steady and primary["rolloutState"] == "COMPLETED":
            state.steady = True
            self._event(service, "has reached a steady state.")

    def _baked(self, state: ServiceState, policy: Policy, primary: Record) -> bool:
        """Deployment alarms are watched for a while after the new tasks have taken over."""
        if not policy.alarm_names or state.completed_id in (None, primary["id"]):
            return True
        if state.ready_since is None:
            state.ready_since = time.monotonic()
        return time.monotonic() - state.ready_since >= self._timing.bake_s

    def _mark_complete(self, service: Record, state: ServiceState, primary: Record) -> None:
        primary["rolloutState"] = "COMPLETED"
        primary["rolloutStateReason"] = deployments.COMPLETED_REASON.format(id=primary["id"])
        primary["updatedAt"] = time.time()
        state.completed_id = primary["id"]
        state.completed_definition = primary["taskDefinition"]
        state.ready_since = None
        state.outcomes[primary["id"]] = Outcome("COMPLETED", primary["rolloutStateReason"])
        self._event(service, f"(deployment {primary['id']}) deployment completed.")
        for group in _groups(service):
            count = service["desiredCount"]
            self._event(service, f"registered {count} targets in (target-group {group})")

    def _tidy(self, service: Record, tasks: Iterable[Task]) -> None:
        """Drop the deployments that have no task left; a failed one stays until what replaces it
        has completed, so that whoever asks meanwhile learns why."""
        in_use = {task.deployment_id for task in tasks}
        primary = _primary(service)
        rolling = primary is not None and primary["rolloutState"] == "IN_PROGRESS"
        kept = [
            d
            for d in service["deployments"]
            if d["status"] == "PRIMARY"
            or d["id"] in in_use
            or (rolling and d["rolloutState"] == "FAILED")
        ]
        if len(kept) != len(service["deployments"]):
            service["deployments"] = kept

    def _task_view(self, task: Task) -> TaskView:
        return TaskView(
            id=task.id,
            deployment_id=task.deployment_id or "",
            running=task.record["lastStatus"] == "RUNNING",
            healthy=self._is_healthy(task),
            created_at=task.record["createdAt"],
        )

    def _event(self, service: Record, message: str) -> None:
        records.add_event(service, f"(service {service['serviceName']}) {message}", time.time())


def _primary(service: Record) -> Record | None:
    return next((d for d in service["deployments"] if d["status"] == "PRIMARY"), None)


def _view(deployment: Record) -> DeploymentView:
    return DeploymentView(
        id=deployment["id"],
        primary=deployment["status"] == "PRIMARY",
        rollout=deployment["rolloutState"],
        failed_tasks=deployment["failedTasks"],
    )


def _groups(service: Record) -> tuple[str, ...]:
    groups = (b.get("targetGroupArn") for b in service.get("loadBalancers") or [])
    return tuple(dict.fromkeys(group for group in groups if group))


def _settled(policy: Policy, views: list[TaskView]) -> bool:
    return len(views) == policy.desired and all(view.healthy for view in views)


def _tasks_message(verb: str, noun: str, tasks: list[Task]) -> str:
    names = " ".join(f"(task {task.id})" for task in tasks)
    return f"{verb} {len(tasks)} {noun}: {names}."
