"""ECS records: complete from the start, changed in place."""

from __future__ import annotations

import json

import pytest

from local_region.tasks import records
from local_region.tasks.records import Placement

DEFINITION = {
    "taskDefinitionArn": "arn:aws:ecs:eu-west-1:0:task-definition/shop:1", "cpu": 256,
    "memory": "512", "containerDefinitions": [{"name": "web", "image": "i", "cpu": 0}],
}  # fmt: skip
PLACEMENT = Placement(
    "eu-west-1", "000000000000", "c", "arn:aws:ecs:eu-west-1:000000000000:cluster/c",
    "service:s", "ecs-svc/1", subnet="subnet-1",
)  # fmt: skip


def new_task(**options):
    return records.new_task(DEFINITION, PLACEMENT, now=100.0, **options)


def test_new_task():
    task = new_task(deployment_id="d")
    assert task["taskArn"].startswith("arn:aws:ecs:eu-west-1:000000000000:task/c/")
    assert (task["lastStatus"], task["desiredStatus"]) == ("PROVISIONING", "RUNNING")
    assert (task["cpu"], task["memory"]) == ("256", "512")
    assert len(records.task_id(task)) == 32
    json.dumps(task)


def test_life_of_a_task_never_adds_a_key():
    """API threads copy records meanwhile: a dictionary that grows would break them."""
    task = new_task()
    keys, container_keys = set(task), set(task["containers"][0])
    for moment, stage in enumerate(
        ("PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING",
         "STOPPED"), 101,
    ):  # fmt: skip
        records.enter_stage(task, stage, float(moment))
    records.bind_port(task, 8000, 21000, "sha256:1")
    records.mark_stopping(task, "r", "c")
    records.mark_exit(task, 0)
    assert (set(task), set(task["containers"][0])) == (keys, container_keys)


def test_times_of_the_stages():
    task = new_task()
    for moment, stage in ((101, "PENDING"), (102, "ACTIVATING"), (103, "RUNNING")):
        records.enter_stage(task, stage, moment)
    assert (task["pullStartedAt"], task["pullStoppedAt"], task["startedAt"]) == (101, 102, 103)
    assert task["connectivity"] == "CONNECTED"
    assert task["containers"][0]["lastStatus"] == "RUNNING"
    assert task["attachments"][0]["status"] == "ATTACHED"
    records.enter_stage(task, "DEACTIVATING", 104)
    records.enter_stage(task, "STOPPED", 105)
    assert (task["stoppingAt"], task["executionStoppedAt"], task["stoppedAt"]) == (104, 105, 105)
    assert task["containers"][0]["lastStatus"] == "STOPPED"


def test_task_that_never_ran_has_no_start():
    task = new_task()
    records.enter_stage(task, "STOPPED", 101)
    assert task["startedAt"] is None
    assert task["stoppedAt"] == 101


def test_first_reason_stays():
    task = new_task()
    records.mark_stopping(task, "asked", "UserInitiated")
    records.mark_stopping(task, "exited", "EssentialContainerExited")
    assert (task["stoppedReason"], task["stopCode"]) == ("asked", "UserInitiated")
    assert task["desiredStatus"] == "STOPPED"


def test_port_and_address_are_shown():
    task = new_task()
    records.bind_port(task, 8000, 21000, "sha256:1")
    assert task["containers"][0]["networkBindings"] == [
        {"bindIP": "127.0.0.1", "containerPort": 8000, "hostPort": 21000, "protocol": "tcp"}
    ]
    details = {d["name"]: d["value"] for d in task["attachments"][0]["details"]}
    assert details == {"subnetId": "subnet-1", "privateIPv4Address": "127.0.0.1"}


def test_new_deployments_have_ids_of_their_own():
    one, two = (records.new_deployment("td", 1, now=1.0) for _ in range(2))
    assert one["id"] != two["id"]
    assert one["rolloutState"] == "IN_PROGRESS"


def test_newest_hundred_events_stay():
    service = {"events": []}
    for number in range(120):
        before = service["events"]
        records.add_event(service, str(number), float(number))
        assert service["events"] is not before
    assert len(service["events"]) == 100
    assert service["events"][0]["message"] == "119"


@pytest.mark.parametrize(
    ("stage", "desired", "running", "pending"),
    [
        ("PROVISIONING", "RUNNING", 0, 1),
        ("ACTIVATING", "RUNNING", 0, 1),
        ("RUNNING", "RUNNING", 1, 0),
        ("DEACTIVATING", "STOPPED", 0, 0),
        ("STOPPED", "STOPPED", 0, 0),
    ],
)
def test_counts(stage, desired, running, pending):
    service = {"deployments": [records.new_deployment("td", 1, now=1.0) for _ in range(2)]}
    mine = service["deployments"][1]
    task = new_task(deployment_id=mine["id"])
    task["lastStatus"], task["desiredStatus"] = stage, desired
    records.count_tasks(service, [task])
    assert (service["runningCount"], service["pendingCount"]) == (running, pending)
    assert (mine["runningCount"], mine["pendingCount"]) == (running, pending)
    assert service["deployments"][0]["runningCount"] == 0
