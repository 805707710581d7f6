"""The emulator's ECS: it keeps the records and answers; our controller is the scheduler.

Its own scheduling (fake tasks that are RUNNING at once, timers that complete a rollout after a
second, containers through Docker) is taken out; what is left are records and their API.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from local_region.seams import core
from local_region.tasks import records
from local_region.tasks.records import Record

_Request = dict[str, Any]


class EcsHooks(Protocol):
    """What the controller does when the API is called. Called with the store's lock held."""

    def wake(self) -> None:
        """A service's record has changed."""

    def run_task(
        self,
        definition: Record,
        placement: records.Placement,
        count: int,
        overrides: Mapping[str, Any],
    ) -> list[Record]:
        """Start tasks that belong to no service; their records."""

    def stop_task(self, task: Record, reason: str) -> None:
        """Begin to stop a task, whoever owns it."""


class SecretUnavailable(Exception):
    """A secret a container names cannot be resolved."""


class EcsStore:
    """The records of one account and region. Every call needs them pinned.

    `lock` is held by every API call that changes a service or a task; whoever changes records
    from elsewhere holds it too.
    """

    lock = threading.RLock()

    def services(self) -> list[tuple[str, Record]]:
        """(cluster name, service record) of every service, also inactive ones."""
        return [(key.split("/", 1)[0], service) for key, service in _module()._services.items()]

    def service(self, cluster: str, name: str) -> Record | None:
        """A service by names or ARNs."""
        cluster, name = cluster.rpartition("/")[2], name.rpartition("/")[2]
        found: Record | None = _module()._services.get(f"{cluster}/{name}")
        return found

    def tasks(self) -> dict[str, Record]:
        """ARN -> task record."""
        return dict(_module()._tasks.items())

    def put_task(self, task: Record) -> None:
        _module()._tasks[task["taskArn"]] = task

    def remove_task(self, arn: str) -> None:
        _module()._tasks.pop(arn, None)

    def task_definition(self, reference: str) -> Record | None:
        """A task definition by ARN, family or family:revision."""
        ecs = _module()
        found: Record | None = ecs._task_defs.get(ecs._resolve_td_key(reference))
        return found

    def resolve_secret(self, name: str, value_from: str) -> str:
        """The value of a container's secret. Raises SecretUnavailable, without the value."""
        ecs = _module()
        try:
            secrets = {"secrets": [{"name": name, "valueFrom": value_from}]}
            return str(ecs._resolve_container_secrets(secrets)[name])
        except (ecs._SecretResolutionError, KeyError) as error:
            raise SecretUnavailable(str(error)) from error

    def put_log_lines(self, group: str, stream: str, lines: Sequence[tuple[float, str]]) -> bool:
        """Append (epoch seconds, text) to a log stream; False when the group does not exist."""
        ecs, logs = _module(), core.module("services.cloudwatch_logs")
        config = {"group": group, "stream": stream, "region": None, "create_group": False}
        if group not in logs._log_groups or not ecs._ensure_awslogs_stream(config):
            return False
        events = [{"timestamp": int(at * 1000), "message": text} for at, text in lines]
        logs._put_log_events({"logGroupName": group, "logStreamName": stream, "logEvents": events})
        return True


def install(store: EcsStore, hooks: EcsHooks, has_load_balancer: Callable[[str], bool]) -> None:
    """Take the emulator's scheduler out and ours in. Raises SeamMoved.

    `has_load_balancer(target group ARN)`: ECS refuses a service whose target group has none.
    """
    ecs = _module()
    for name in (
        "_services", "_tasks", "_task_defs", "_clusters", "_resolve_td_key", "_resolve_task",
        "_resolve_cluster_name", "_resolve_service_ref", "_launch_choice", "_task_capacity",
        "_requested_subnet", "_resolve_container_secrets", "_SecretResolutionError",
        "_ensure_awslogs_stream", "_sanitize", "_tags",
    ):  # fmt: skip
        core.attribute(ecs, name)
    for name in ("_log_groups", "_put_log_events"):
        core.attribute(core.module("services.cloudwatch_logs"), name)
    api = _Api(ecs, store, hooks, has_load_balancer)
    core.replace(ecs, "_get_docker", lambda: None)
    # Times to the millisecond: the emulator rounds its own ISO strings to seconds.
    core.replace(ecs, "_iso", time.time)
    core.replace(ecs, "_make_deployment", _make_deployment)
    for name in ("_reconcile_service_tasks", "_sync_service_targets", "_refresh_service_state",
                 "_start_restored_service_reconciler", "_complete_service_deployment"):  # fmt: skip
        core.replace(ecs, name, _do_nothing)
    actions = core.attribute(ecs, "_ACTION_MAP")
    for action, function, make in (
        ("CreateService", "_create_service", api.create_service),
        ("UpdateService", "_update_service", api.update_service),
        ("DeleteService", "_delete_service", api.delete_service),
        ("RunTask", "_run_task", api.run_task),
        ("StopTask", "_stop_task", api.stop_task),
    ):
        # Once for requests, once for those who call the function (CloudFormation's handlers).
        handler = make(core.attribute(ecs, function))
        core.replace(ecs, function, handler)
        core.replace(actions, action, handler)


class _Api:
    """The operations that schedule. Each method takes the emulator's handler, gives ours."""

    def __init__(
        self, ecs: Any, store: EcsStore, hooks: EcsHooks, has_load_balancer: Callable[[str], bool]
    ) -> None:
        self._ecs, self._store, self._hooks = ecs, store, hooks
        self._has_load_balancer = has_load_balancer

    def create_service(self, create: Callable[[_Request], Any]) -> Callable[[_Request], Any]:
        def answer(request: _Request) -> Any:
            with self._store.lock:
                refused = self._refuse_service(request)
                if refused is not None:
                    return refused
                request = {**request, "desiredCount": int(request.get("desiredCount", 1))}
                result = create(request)
                if result[0] < 300:
                    self._hooks.wake()
                return result

        return answer

    def _refuse_service(self, request: _Request) -> Any:
        cluster = self._ecs._resolve_cluster_name(request.get("cluster", "default"))
        if cluster is None or cluster not in self._ecs._clusters:
            return self._error("ClusterNotFoundException", "Cluster not found.")
        definition = self._store.task_definition(request.get("taskDefinition", ""))
        if definition is None or definition.get("status") != "ACTIVE":
            return self._error("ClientException", "TaskDefinition not found.")
        for balancer in request.get("loadBalancers") or []:
            group = balancer.get("targetGroupArn", "")
            if group and not self._has_load_balancer(group):
                return self._error(
                    "InvalidParameterException",
                    f"The target group with targetGroupArn {group} does not have an associated "
                    "load balancer.",
                )
        return None

    def update_service(self, update: Callable[[_Request], Any]) -> Callable[[_Request], Any]:
        def answer(request: _Request) -> Any:
            with self._store.lock:
                cluster = str(request.get("cluster", "default"))
                service = self._store.service(cluster, str(request.get("service", "")))
                if service is not None and service["status"] != "ACTIVE":
                    return self._error("ServiceNotActiveException", "Service was not ACTIVE.")
                events = list(service["events"]) if service is not None else []
                balancers = request.get("loadBalancers")
                if service is not None and balancers not in (None, service["loadBalancers"]):
                    # A task is registered once, when it starts: others take over in other groups.
                    request = {**request, "forceNewDeployment": True}
                result = update(request)
                if result[0] >= 300 or service is None:
                    return result
                # The emulator notes a drained task at every change; there is none yet.
                service["events"] = events
                self._hooks.wake()
                return self._ecs.json_response({"service": self._ecs._sanitize(service)})

        return answer

    def delete_service(self, delete: Callable[[_Request], Any]) -> Callable[[_Request], Any]:
        def answer(request: _Request) -> Any:
            with self._store.lock:
                cluster = self._ecs._resolve_cluster_name(request.get("cluster", "default"))
                if cluster is None or cluster not in self._ecs._clusters:
                    return self._error("ClusterNotFoundException", "Cluster not found.")
                service = self._store.service(cluster, str(request.get("service", "")))
                if service is None:
                    return self._error("ServiceNotFoundException", "Service not found.")
                if service["status"] != "ACTIVE":
                    return self._error("ServiceNotActiveException", "Service was not ACTIVE.")
                if service["desiredCount"] > 0 and not request.get("force"):
                    return self._error(
                        "InvalidParameterException",
                        "The service cannot be stopped while it is scaled above 0.",
                    )
                service["status"], service["desiredCount"] = "DRAINING", 0
                for deployment in service["deployments"]:
                    deployment["desiredCount"] = 0
                self._hooks.wake()
                return self._ecs.json_response({"service": self._ecs._sanitize(service)})

        return answer

    def run_task(self, run: Callable[[_Request], Any]) -> Callable[[_Request], Any]:
        def answer(request: _Request) -> Any:
            with self._store.lock:
                cluster = self._ecs._resolve_cluster_name(request.get("cluster", "default"))
                if cluster is None or cluster not in self._ecs._clusters:
                    return self._error("ClusterNotFoundException", "Cluster not found.")
                definition = self._store.task_definition(request.get("taskDefinition", ""))
                if definition is None or definition.get("status") != "ACTIVE":
                    return self._error("ClientException", "TaskDefinition not found.")
                record = self._ecs._clusters[cluster]
                launch, strategy, refused = self._ecs._launch_choice(request, record)
                if refused:
                    return refused
                placement = self._placement(cluster, record, request, launch, strategy)
                tasks = self._hooks.run_task(
                    definition,
                    placement,
                    int(request.get("count") or 1),
                    request.get("overrides") or {},
                )
                for task in tasks:
                    if task["tags"]:
                        self._ecs._tags[task["taskArn"]] = list(task["tags"])
                return self._ecs.json_response(
                    {"tasks": [self._ecs._sanitize(task) for task in tasks], "failures": []}
                )

        return answer

    def _placement(
        self, cluster: str, record: Record, request: _Request, launch: Any, strategy: Any
    ) -> records.Placement:
        launch_type, provider = self._ecs._task_capacity(launch, strategy)
        definition = str(request.get("taskDefinition", "")).rpartition("/")[2].split(":")[0]
        return records.Placement(
            region=self._ecs.get_region(),
            account_id=self._ecs.get_account_id(),
            cluster_name=cluster,
            cluster_arn=record["clusterArn"],
            group=request.get("group") or f"family:{definition}",
            started_by=request.get("startedBy") or "",
            launch_type=launch_type,
            capacity_provider=provider,
            subnet=self._ecs._requested_subnet(request),
            enable_execute_command=bool(request.get("enableExecuteCommand")),
            tags=request.get("tags") or [],
        )

    def stop_task(self, stop: Callable[[_Request], Any]) -> Callable[[_Request], Any]:
        def answer(request: _Request) -> Any:
            with self._store.lock:
                cluster = self._ecs._resolve_cluster_name(request.get("cluster", "default"))
                if cluster is None:
                    return self._error("ClusterNotFoundException", "Cluster not found.")
                task = self._ecs._resolve_task(request.get("task", ""), cluster)
                if not task:
                    return self._error(
                        "InvalidParameterException", "The referenced task was not found."
                    )
                if task["desiredStatus"] != "STOPPED":
                    self._hooks.stop_task(task, request.get("reason") or "Task stopped by user")
                return self._ecs.json_response({"task": self._ecs._sanitize(task)})

        return answer

    def _error(self, code: str, message: str) -> Any:
        return self._ecs.error_response_json(code, message, 400)


def task_placement(cluster: str, service: Record) -> records.Placement:
    """Where a service's tasks go, from its record. Needs account and region pinned."""
    ecs = _module()
    strategy = service.get("capacityProviderStrategy") or None
    launch_type, provider = ecs._task_capacity(service.get("launchType"), strategy)
    primary = service["deployments"][0]["id"] if service["deployments"] else service["serviceName"]
    return records.Placement(
        region=ecs.get_region(),
        account_id=ecs.get_account_id(),
        cluster_name=cluster,
        cluster_arn=service["clusterArn"],
        group=f"service:{service['serviceName']}",
        started_by=primary,
        launch_type=launch_type,
        capacity_provider=provider,
        subnet=ecs._requested_subnet(service),
        enable_execute_command=bool(service.get("enableExecuteCommand")),
        tags=service.get("tags") or [] if service.get("propagateTags") == "SERVICE" else [],
    )


def _make_deployment(task_definition: str, desired: int, status: str = "PRIMARY") -> Record:
    return records.new_deployment(task_definition, desired, now=time.time())


def _do_nothing(*arguments: Any, **options: Any) -> None:
    """Stands where the emulator would schedule."""


def _module() -> Any:
    return core.module("services.ecs")
