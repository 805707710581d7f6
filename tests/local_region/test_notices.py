import threading
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from local_region import notices
from local_region.cloudwatch.store import MetricStore
from local_region.notices import Notices
from local_region.settings import Settings
from local_region.tasks import records

SCOPE = ("000000000000", "eu-west-1")


@pytest.fixture
def world(monkeypatch):
    made = SimpleNamespace(tasks={}, events=[], queues=[], now_s=1000.0)
    monkeypatch.setattr(notices.events, "put_aws_event", lambda *event: made.events.append(event))
    monkeypatch.setattr(notices.events, "visible_messages", lambda: made.queues)
    made.metrics = MetricStore(SCOPE)
    context = SimpleNamespace(
        stopping=threading.Event(), settings=Settings(), metrics=made.metrics, scope=nullcontext
    )
    store = SimpleNamespace(tasks=lambda: dict(made.tasks))
    made.notices = Notices(context, store, clock=lambda: made.now_s)
    return made


def task():
    definition = {"taskDefinitionArn": "arn:td", "containerDefinitions": [{"name": "job"}]}
    placement = records.Placement(
        "eu-west-1", "0", "c", "arn:c", "family:job", "chronos-schedule/x"
    )
    return records.new_task(definition, placement, now=1000.0)


def test_every_change_of_a_task_is_told_once(world):
    record = task()
    world.tasks[record["taskArn"]] = record
    world.notices.step()
    world.notices.step()
    records.mark_stopping(record, "Essential container in task exited", "EssentialContainerExited")
    records.mark_exit(record, 2)
    records.enter_stage(record, "STOPPED", 1010.5)
    world.notices.step()
    assert [(e[0], e[1], e[3]["lastStatus"]) for e in world.events] == [
        ("aws.ecs", "ECS Task State Change", "PROVISIONING"),
        ("aws.ecs", "ECS Task State Change", "STOPPED"),
    ]
    last = world.events[-1][3]
    assert last["containers"][0]["exitCode"] == 2
    assert last["stoppedAt"] == "1970-01-01T00:16:50.500+00:00"
    assert "_deployment_id" not in last
    assert "startedAt" not in last


def test_a_queues_length_is_a_metric_of_each_period(world):
    world.queues = [(*SCOPE, "letters", 3)]
    for world.now_s in (1000.0, 1009.9, 1010.0, 1015.0, 1020.0):
        world.notices.step()
    found = world.metrics.statistic(
        "AWS/SQS", "ApproximateNumberOfMessagesVisible", {"QueueName": "letters"},
        "Maximum", 990, 1030, 10,
    )  # fmt: skip
    assert sorted(found) == [(1000.0, 3.0), (1010.0, 3.0)]
