"""The seam into the emulator's ECS: records stay, scheduling is ours."""

from __future__ import annotations

import json

import pytest

from local_region.errors import SeamMoved
from local_region.seams import core, ecs
from local_region.tasks import records

ACCOUNT, REGION = "000000000000", "eu-west-1"
_REPLACED = (
    "_get_docker", "_iso", "_make_deployment", "_reconcile_service_tasks",
    "_sync_service_targets", "_refresh_service_state", "_start_restored_service_reconciler",
    "_complete_service_deployment", "_create_service", "_update_service", "_delete_service",
    "_run_task", "_stop_task",
)  # fmt: skip


class Hooks:
    def __init__(self, store):
        self.store, self.wakes, self.stopped = store, 0, []

    def wake(self):
        self.wakes += 1

    def run_task(self, definition, placement, count, overrides):
        self.placement = placement
        started = []
        for _ in range(count):
            task = records.new_task(definition, placement, now=1.0, overrides=dict(overrides))
            self.store.put_task(task)
            started.append(task)
        return started

    def stop_task(self, task, reason):
        self.stopped.append((task["taskArn"], reason))
        records.mark_stopping(task, reason, "UserInitiated")


class World:
    def __init__(self, module, store, hooks):
        self.module, self.store, self.hooks = module, store, hooks

    def call(self, action, **request):
        status, _, body = self.module._finalize_ecs_response(
            self.module._dispatch_action(action, request)
        )
        return status, json.loads(body)

    def service(self, **more):
        return self.call(
            "CreateService", cluster="c", serviceName="s", taskDefinition="shop", **more
        )

    def describe(self):
        return self.call("DescribeServices", cluster="c", services=["s"])[1]["services"][0]


@pytest.fixture
def world():
    module = core.module("services.ecs")
    store = ecs.EcsStore()
    hooks = Hooks(store)
    with pytest.MonkeyPatch.context() as patch, core.request_scope(ACCOUNT, REGION):
        for name in _REPLACED:
            patch.setattr(module, name, getattr(module, name))
        patch.setattr(module, "_ACTION_MAP", dict(module._ACTION_MAP))
        ecs.install(store, hooks, lambda arn: arn == "arn:good")
        world = World(module, store, hooks)
        world.call("CreateCluster", clusterName="c")
        world.call(
            "RegisterTaskDefinition", family="shop", cpu="256", memory="512",
            containerDefinitions=[{"name": "web", "image": "i"}],
        )  # fmt: skip
        yield world
        module.reset()


def test_new_service_waits_for_the_controller(world):
    status, answer = world.service(desiredCount=2)
    service = answer["service"]
    assert status == 200
    assert (service["desiredCount"], service["runningCount"]) == (2, 0)
    (deployment,) = service["deployments"]
    assert (deployment["status"], deployment["rolloutState"]) == ("PRIMARY", "IN_PROGRESS")
    assert world.hooks.wakes == 1
    assert world.store.tasks() == {}


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"cluster": "none"}, "ClusterNotFoundException"),
        ({"taskDefinition": "none"}, "ClientException"),
        ({"loadBalancers": [{"targetGroupArn": "arn:bad"}]}, "InvalidParameterException"),
    ],
)
def test_service_that_ecs_would_refuse(world, request_, code):
    base = {"cluster": "c", "serviceName": "s", "taskDefinition": "shop"}
    status, answer = world.call("CreateService", **{**base, **request_})
    assert (status, answer["__type"]) == (400, code)
    assert world.store.services() == []


def test_target_group_with_a_load_balancer_is_fine(world):
    assert world.service(loadBalancers=[{"targetGroupArn": "arn:good"}])[0] == 200


def test_another_target_group_takes_a_deployment(world):
    world.service(loadBalancers=[{"targetGroupArn": "arn:good"}])
    for group, deployments in (("arn:good", 1), ("arn:other", 2), ("arn:other", 2)):
        _, answer = world.call(
            "UpdateService", cluster="c", service="s", loadBalancers=[{"targetGroupArn": group}]
        )
        assert len(answer["service"]["deployments"]) == deployments
    assert answer["service"]["loadBalancers"] == [{"targetGroupArn": "arn:other"}]


def test_scaling_starts_no_deployment(world):
    first = world.service()[1]["service"]["deployments"][0]["id"]
    _, answer = world.call(
        "UpdateService", cluster="c", service="s", desiredCount=3, taskDefinition="shop"
    )
    (deployment,) = answer["service"]["deployments"]
    assert (deployment["id"], deployment["desiredCount"]) == (first, 3)
    assert answer["service"]["events"] == []


@pytest.mark.parametrize("change", [{"taskDefinition": "shop:2"}, {"forceNewDeployment": True}])
def test_new_version_starts_one(world, change):
    first = world.service()[1]["service"]["deployments"][0]["id"]
    world.call(
        "RegisterTaskDefinition", family="shop",
        containerDefinitions=[{"name": "web", "image": "j"}],
    )  # fmt: skip
    _, answer = world.call("UpdateService", cluster="c", service="s", **change)
    new, old = answer["service"]["deployments"]
    assert (new["status"], new["rolloutState"]) == ("PRIMARY", "IN_PROGRESS")
    assert (old["status"], old["id"]) == ("ACTIVE", first)
    assert world.hooks.wakes == 2


def test_deleted_service_drains_and_takes_no_more_changes(world):
    world.service()
    status, answer = world.call("DeleteService", cluster="c", service="s")
    assert (status, answer["__type"]) == (400, "InvalidParameterException")
    _, answer = world.call("DeleteService", cluster="c", service="s", force=True)
    assert (answer["service"]["status"], answer["service"]["desiredCount"]) == ("DRAINING", 0)
    status, answer = world.call("UpdateService", cluster="c", service="s", desiredCount=1)
    assert answer["__type"] == "ServiceNotActiveException"
    status, answer = world.call("DeleteService", cluster="c", service="s", force=True)
    assert answer["__type"] == "ServiceNotActiveException"


def test_unknown_service_and_cluster(world):
    answers = [
        world.call("DeleteService", cluster="c", service="none"),
        world.call("DeleteService", cluster="none", service="s"),
        world.call("UpdateService", cluster="c", service="none"),
    ]
    codes = [answer["__type"] for _, answer in answers]
    assert codes == [
        "ServiceNotFoundException", "ClusterNotFoundException", "ServiceNotFoundException",
    ]  # fmt: skip


def test_template_functions_go_the_same_way(world):
    """CloudFormation's handlers call the module's functions, not the API."""
    world.module._create_service(
        {"cluster": "c", "serviceName": "s", "taskDefinition": "shop", "desiredCount": "2"}
    )
    assert world.describe()["desiredCount"] == 2
    world.module._delete_service({"cluster": "c", "service": "s", "force": True})
    assert world.describe()["status"] == "DRAINING"


def test_run_task_goes_to_the_controller(world):
    _, answer = world.call(
        "RunTask", cluster="c", taskDefinition="shop", count=2, launchType="FARGATE",
        startedBy="me",
        networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
    )  # fmt: skip
    assert [t["lastStatus"] for t in answer["tasks"]] == ["PROVISIONING"] * 2
    placement = world.hooks.placement
    assert (placement.group, placement.started_by) == ("family:shop", "me")
    assert (placement.launch_type, placement.subnet) == ("FARGATE", "subnet-1")
    status, answer = world.call("RunTask", cluster="c", taskDefinition="none")
    assert (status, answer["__type"]) == (400, "ClientException")


def test_stopped_task_leaves_the_list_of_running_ones(world):
    world.call("RunTask", cluster="c", taskDefinition="shop")
    (arn,) = world.call("ListTasks", cluster="c")[1]["taskArns"]
    _, answer = world.call("StopTask", cluster="c", task=arn, reason="why")
    assert answer["task"]["desiredStatus"] == "STOPPED"
    assert world.hooks.stopped == [(arn, "why")]
    assert world.call("ListTasks", cluster="c")[1]["taskArns"] == []
    stopped = world.call("ListTasks", cluster="c", desiredStatus="STOPPED")[1]["taskArns"]
    assert stopped == [arn]
    status, answer = world.call("StopTask", cluster="c", task="none")
    assert (status, answer["__type"]) == (400, "InvalidParameterException")


def test_times_have_fractions_of_a_second(world):
    world.service()
    created = world.describe()["deployments"][0]["createdAt"]
    assert isinstance(created, float)
    assert created != int(created)


def test_internal_keys_are_not_shown(world):
    world.call("RunTask", cluster="c", taskDefinition="shop")
    (arn,) = world.call("ListTasks", cluster="c")[1]["taskArns"]
    _, answer = world.call("DescribeTasks", cluster="c", tasks=[arn])
    assert not [key for key in answer["tasks"][0] if key.startswith("_")]


def test_secret_is_resolved_and_an_unknown_one_names_itself(world):
    secrets = core.module("services.secretsmanager")
    arn = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:key"
    with pytest.MonkeyPatch.context() as patch:
        values = {arn: '{"user": "u"}'}
        patch.setattr(secrets, "resolve_secret_string", values.get)
        assert world.store.resolve_secret("A", arn) == '{"user": "u"}'
        assert world.store.resolve_secret("A", f"{arn}:user::") == "u"
        with pytest.raises(ecs.SecretUnavailable, match="secret:other"):
            world.store.resolve_secret("A", arn.replace("key", "other"))


def test_log_lines_need_a_group(world):
    logs = core.module("services.cloudwatch_logs")
    assert not world.store.put_log_lines("/none", "s", [(1.0, "x")])
    logs._create_log_group({"logGroupName": "/g"})
    try:
        assert world.store.put_log_lines("/g", "s", [(1.5, "one"), (2.0, "two")])
        events = logs._log_groups["/g"]["streams"]["s"]["events"]
        assert [(e["timestamp"], e["message"]) for e in events] == [(1500, "one"), (2000, "two")]
    finally:
        logs._delete_log_group({"logGroupName": "/g"})


def test_placement_of_a_services_task(world):
    world.service(
        launchType="FARGATE", propagateTags="SERVICE", tags=[{"key": "a", "value": "b"}],
        networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-7"]}},
    )  # fmt: skip
    ((cluster, service),) = world.store.services()
    placement = ecs.task_placement(cluster, service)
    assert (placement.group, placement.subnet) == ("service:s", "subnet-7")
    assert placement.started_by == service["deployments"][0]["id"]
    assert placement.tags == [{"key": "a", "value": "b"}]


@pytest.mark.parametrize("name", ["_task_capacity", "_reconcile_service_tasks", "_ACTION_MAP"])
def test_moved_seam_is_noticed(world, monkeypatch, name):
    monkeypatch.delattr(world.module, name)
    with pytest.raises(SeamMoved, match=name):
        ecs.install(world.store, world.hooks, lambda arn: True)
