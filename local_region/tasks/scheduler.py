"""One service, brought towards what its record asks for, one step at a call."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from local_region.balancer.targets import TargetRegistry
from local_region.seams.ecs import EcsStore, task_placement
from local_region.tasks import deployments, records
from local_region.tasks.alarm_watch import AlarmView
from local_region.tasks.deployments import Policy, TaskView
from local_region.tasks.records import Record
from local_region.tasks.rollout import (
    Failure,
    ServiceState,
    add_event,
    complete,
    fail,
    groups_of,
    primary_of,
    tidy,
    view,
)
from local_region.tasks.runner import TaskRunner
from local_region.tasks.task import Task

STEADY_S = 1.0
"""A task without a load balancer counts as healthy after it has run this long."""
UNKNOWN_ALARMS_S = 60.0
_UNASKED = ("EssentialContainerExited", "TaskFailedToStart")
_log = logging.getLogger("local_region.tasks.scheduler")


class ServiceScheduler:
    """Acts for services on the runner. Every method is called with the store's lock held.

    `look(names)`: deployment alarms, None when not known yet. They are watched (the bake time)
    for as long as the slowest of them looks back after the new tasks have taken over, and
    `alarm_delay_s` more, which is how late an alarm is evaluated.
    """

    def __init__(
        self,
        store: EcsStore,
        runner: TaskRunner,
        registry: TargetRegistry,
        alarm_delay_s: float,
        look: Callable[[tuple[str, ...]], AlarmView | None],
    ) -> None:
        self._store, self._runner, self._registry = store, runner, registry
        self._alarm_delay_s, self._look = alarm_delay_s, look

    def reconcile(self, cluster: str, state: ServiceState) -> None:
        """Take one service one step on."""
        service = state.record
        tasks = self._tasks(cluster, service)
        if service["status"] == "ACTIVE":
            policy = deployments.read_policy(service)
            self._replace_unhealthy(service, state, tasks)
            self._book_ends(cluster, service, state)
            self._judge(service, state, policy)
            self._act(cluster, service, state, policy, tasks)
            self._book_healthy(service, state, policy, self._tasks(cluster, service))
            self._complete(cluster, service, state, policy)
        else:
            for task in tasks:
                self._runner.stop(task, "Service deleted", "ServiceSchedulerInitiated")
            self._book_ends(cluster, service, state)
        tasks = self._tasks(cluster, service)
        records.count_tasks(service, [task.record for task in tasks])
        tidy(service, {task.deployment_id for task in tasks})
        if service["status"] == "DRAINING" and not tasks:
            service["status"], service["deployments"] = "INACTIVE", []

    def _of(self, cluster: str, service: Record) -> list[Task]:
        mine = (cluster, service["serviceName"])
        return [t for t in self._runner.tasks.values() if (t.cluster, t.service) == mine]

    def _tasks(self, cluster: str, service: Record) -> list[Task]:
        return [task for task in self._of(cluster, service) if not task.ended]

    # --- how tasks fare

    def _replace_unhealthy(
        self, service: Record, state: ServiceState, tasks: Iterable[Task]
    ) -> None:
        # Not compressed: what it covers, a start, is not either.
        grace_s = float(service.get("healthCheckGracePeriodSeconds") or 0)
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
                add_event(
                    service,
                    f"(port {task.port}) is unhealthy in (target-group {group}) "
                    f"due to (reason {why})",
                )
                reason = f"Task failed ELB health checks in (target-group {group})"
                self._runner.stop(task, reason, "ServiceSchedulerInitiated")
                self._count_failure(service, state, task)
                break

    def _book_ends(self, cluster: str, service: Record, state: ServiceState) -> None:
        for task in self._of(cluster, service):
            if task.ended:
                if task.record["stopCode"] in _UNASKED and service["status"] == "ACTIVE":
                    self._count_failure(service, state, task)
                self._runner.forget_ended(task)

    def _book_healthy(
        self, service: Record, state: ServiceState, policy: Policy, tasks: Iterable[Task]
    ) -> None:
        for task in tasks:
            if task.healthy_seen or not self._is_healthy(task):
                continue
            task.healthy_seen = True
            for group in task.target_groups:
                add_event(service, f"registered 1 targets in (target-group {group})")
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
                add_event(service, "is unable to consistently start tasks successfully.")
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
        primary = primary_of(service)
        if primary is None or primary["rolloutState"] != "IN_PROGRESS":
            return
        if deployments.breaker_tripped(policy, view(primary)):
            failure = Failure(
                deployments.BREAKER_REASON,
                "deployment failed: tasks failed to start.",
                "circuit breaker",
                policy.breaker.rollback,
            )
            fail(service, state, primary, failure)
        elif policy.alarm_names and primary["id"] != state.completed_id:
            self._judge_alarms(service, state, policy, primary)

    def _judge_alarms(
        self, service: Record, state: ServiceState, policy: Policy, primary: Record
    ) -> None:
        seen = self._look(policy.alarm_names)
        if seen is None:
            return
        states = seen.states
        if state.alarms_for != primary["id"]:
            state.alarms_for = primary["id"]
            state.ignored_alarms = frozenset(n for n, s in states.items() if s == "ALARM")
        ringing, state.ignored_alarms = deployments.alarms_that_fail(states, state.ignored_alarms)
        if ringing:
            _log.warning("deployment %s: alarms %s", primary["id"], ", ".join(ringing))
            failure = Failure(
                deployments.ALARM_REASON,
                "deployment failed: alarm detected.",
                "alarms",
                policy.alarm_rollback,
            )
            fail(service, state, primary, failure)

    def _act(
        self, cluster: str, service: Record, state: ServiceState, policy: Policy, tasks: list[Task]
    ) -> None:
        views = [self._task_view(task) for task in tasks if not task.stopping]
        actions = deployments.decide(policy, [view(d) for d in service["deployments"]], views)
        if actions.start and time.monotonic() >= state.next_start_at:
            state.steady = False
            started = [self._start(cluster, service) for _ in range(actions.start)]
            add_event(service, _tasks_message("has started", "tasks", started))
        by_id = {task.id: task for task in tasks}
        stopped = [by_id[task_id] for task_id, _ in actions.stop]
        for task, (_, reason) in zip(stopped, actions.stop, strict=True):
            self._runner.stop(task, reason, "ServiceSchedulerInitiated")
        if stopped:
            state.steady = False
            for group in groups_of(service):
                count = len(stopped)
                add_event(service, f"deregistered {count} targets in (target-group {group})")
                add_event(service, f"has begun draining connections on {count} tasks.")
            add_event(service, _tasks_message("has stopped", "running tasks", stopped))

    def _start(self, cluster: str, service: Record) -> Task:
        primary = primary_of(service)
        assert primary is not None
        definition = self._store.task_definition(primary["taskDefinition"])
        record = records.new_task(
            definition or {"taskDefinitionArn": primary["taskDefinition"]},
            task_placement(cluster, service),
            now=time.time(),
            deployment_id=primary["id"],
        )
        task = Task(record, cluster, service["serviceName"], groups_of(service))
        self._runner.launch(task, definition or {})
        return task

    def _complete(self, cluster: str, service: Record, state: ServiceState, policy: Policy) -> None:
        primary = primary_of(service)
        if primary is None:
            return
        tasks = self._tasks(cluster, service)
        views = [self._task_view(task) for task in tasks if not task.stopping]
        stopping_old = sum(t.stopping and t.deployment_id != primary["id"] for t in tasks)
        if not deployments.is_complete(policy, view(primary), views, stopping_old):
            state.ready_since = None
        elif self._has_baked(state, policy, primary):
            complete(service, state, primary)
        settled = len(views) == policy.desired and all(v.healthy for v in views)
        if settled and not state.steady and primary["rolloutState"] == "COMPLETED":
            state.steady = True
            add_event(service, "has reached a steady state.")

    def _has_baked(self, state: ServiceState, policy: Policy, primary: Record) -> bool:
        if not policy.alarm_names or state.completed_id in (None, primary["id"]):
            # Nobody watches, or there is nothing to go back to.
            return True
        if state.ready_since is None:
            state.ready_since = time.monotonic()
        seen = self._look(policy.alarm_names)
        if seen is None:
            # An emulator that does not answer shall not hold a deployment up for ever.
            return time.monotonic() - state.ready_since >= UNKNOWN_ALARMS_S
        bake_s = seen.looks_back_s + self._alarm_delay_s
        return time.monotonic() - state.ready_since >= bake_s

    def _task_view(self, task: Task) -> TaskView:
        return TaskView(
            id=task.id,
            deployment_id=task.deployment_id or "",
            running=task.record["lastStatus"] == "RUNNING",
            healthy=self._is_healthy(task),
            created_at=task.record["createdAt"],
        )


def _tasks_message(verb: str, noun: str, tasks: list[Task]) -> str:
    names = " ".join(f"(task {task.id})" for task in tasks)
    return f"{verb} {len(tasks)} {noun}: {names}."
