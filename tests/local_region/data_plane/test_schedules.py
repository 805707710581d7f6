"""Schedules that fire: real processes are started, their ends are told, failures are buried."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
ROLE = "arn:aws:iam::000000000000:role/scheduler"
QUEUE_ARN = "arn:aws:sqs:eu-west-1:000000000000:letters"
SAYS = "import os, sys; print('says', os.environ['WORD']); sys.exit(int(os.environ['CODE']))"


def wait_for(what: Callable[[], Any], timeout_s: float = 40.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (answer := what()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain"
        time.sleep(0.1)
    return answer


@pytest.fixture(scope="module")
def job(region):
    """A task definition that prints a word and ends with a code; a queue; a log group."""
    ecs = region.client("ecs")
    ecs.create_cluster(clusterName="jobs")
    region.client("logs").create_log_group(logGroupName="/jobs")
    region.client("sqs").create_queue(QueueName="letters")
    options = {"awslogs-group": "/jobs", "awslogs-stream-prefix": "job"}
    definition = ecs.register_task_definition(
        family="job", cpu="512", memory="256", networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        containerDefinitions=[
            {
                "name": "job", "image": region.push("jobs"), "command": ["python", "-c", SAYS],
                "environment": [{"name": "WORD", "value": "hello"}, {"name": "CODE", "value": "0"}],
                "logConfiguration": {"logDriver": "awslogs", "options": options},
            }
        ],
    )  # fmt: skip
    return definition["taskDefinition"]["taskDefinitionArn"]


def schedule(region, name: str, expression: str, job: str, **more: Any) -> None:
    """Create a schedule with the job as its target; `more` goes into the target."""
    cluster = region.client("ecs").describe_clusters(clusters=["jobs"])["clusters"][0]
    region.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression=expression,
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE" if expression.startswith("at(") else "NONE",
        Target={
            "Arn": cluster["clusterArn"],
            "RoleArn": ROLE,
            "EcsParameters": {"TaskDefinitionArn": job, "LaunchType": "FARGATE"},
            **more,
        },
    )


def tasks_of(region, name: str, status: str = "STOPPED") -> list[dict[str, Any]]:
    ecs = region.client("ecs")
    arns = ecs.list_tasks(
        cluster="jobs", startedBy=f"chronos-schedule/{name}", desiredStatus=status
    )["taskArns"]
    return ecs.describe_tasks(cluster="jobs", tasks=arns)["tasks"] if arns else []


def stopped(region, name: str) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        found = [t for t in tasks_of(region, name) if t["lastStatus"] == "STOPPED"]
        return found[0] if found else None

    return wait_for(ended)


def soon(seconds: float) -> str:
    """A time that far ahead, or up to a second less: expressions have whole seconds."""
    return f"at({datetime.fromtimestamp(time.time() + seconds, UTC):%Y-%m-%dT%H:%M:%S})"


def test_a_schedule_starts_a_process_at_its_time_and_its_end_is_told(region, job):
    pairs = [
        {"name": "WORD", "value": "<aws.scheduler.scheduled-time>"},
        {"name": "CODE", "value": "3"},
    ]
    override = {"containerOverrides": [{"name": "job", "environment": pairs}]}
    region.client("scheduler")  # making it takes its time, and the schedule is soon due
    expression = soon(5)
    schedule(region, "once", expression, job, Input=json.dumps(override))
    due = datetime.fromisoformat(expression[3:-1]).replace(tzinfo=UTC)
    assert tasks_of(region, "once", "RUNNING") == []
    task = stopped(region, "once")
    assert 0 <= (task["createdAt"] - due).total_seconds() < 10
    assert task["containers"][0]["exitCode"] == 3
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["stoppedReason"] == "Essential container in task exited"
    stream = f"job/job/{task['taskArn'].rpartition('/')[2]}"
    logs = region.client("logs")

    def said() -> list[str]:
        # The stream comes into being with its first line.
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
            events = logs.get_log_events(logGroupName="/jobs", logStreamName=stream)["events"]
            return [event["message"] for event in events]
        return []

    assert wait_for(said) == [f"says {due:%Y-%m-%dT%H:%M:%SZ}"]
    names = [s["Name"] for s in region.client("scheduler").list_schedules()["Schedules"]]
    assert "once" not in names


def test_a_rate_fires_at_once_and_a_stopped_task_says_who_stopped_it(region, job):
    sleeps = {"containerOverrides": [{"name": "job", "command": ["sleep", "60"]}]}
    schedule(region, "often", "rate(1 hour)", job, Input=json.dumps(sleeps))
    running = wait_for(
        lambda: [t for t in tasks_of(region, "often", "RUNNING") if t["lastStatus"] == "RUNNING"]
    )
    ecs = region.client("ecs")
    ecs.stop_task(cluster="jobs", task=running[0]["taskArn"], reason="enough")
    task = stopped(region, "often")
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")
    assert task["containers"][0]["exitCode"] == 143
    assert len(tasks_of(region, "often")) == 1
    region.client("scheduler").delete_schedule(Name="often")


def test_what_cannot_be_invoked_lies_in_the_dead_letter_queue(region, job):
    schedule(
        region, "doomed", soon(4), f"{job.rpartition('/')[0]}/nothing:1",
        DeadLetterConfig={"Arn": QUEUE_ARN}, RetryPolicy={"MaximumRetryAttempts": 0},
    )  # fmt: skip
    sqs = region.client("sqs")
    url = sqs.get_queue_url(QueueName="letters")["QueueUrl"]

    def letters() -> list[dict[str, Any]]:
        found = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])
        return found.get("Messages", [])

    (letter,) = wait_for(letters)
    told = {k: v["StringValue"] for k, v in letter["MessageAttributes"].items()}
    assert told["ERROR_CODE"] == "ClientException"
    assert told["ERROR_MESSAGE"] == "TaskDefinition not found."
    assert told["SCHEDULE_ARN"].endswith(":schedule/default/doomed")
    assert json.loads(letter["Body"])["taskDefinition"].endswith("/nothing:1")

    def outcomes() -> list[str]:
        found = region.status()["occurrences"]
        return [o["outcome"] for o in found if o["schedule"] == "doomed"]

    # Told of a moment after the letter was sent.
    assert wait_for(outcomes) == ["dead-lettered"]


@pytest.mark.parametrize(("name", "code", "image"), [("bad", "1", ""), ("gone", "0", "x.y/no:1")])
def test_a_task_that_ends_badly_is_an_event_that_a_rule_can_send_on(region, job, name, code, image):
    """The pattern of the runbooks stack: an exit code other than 0, or a start that failed."""
    ecs, sqs, events = (region.client(service) for service in ("ecs", "sqs", "events"))
    url = sqs.create_queue(QueueName=f"ends-{name}")["QueueUrl"]
    pattern = {
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {
            "lastStatus": ["STOPPED"],
            "group": [name],
            "$or": [
                {"containers": {"exitCode": [{"anything-but": [0]}]}},
                {"stopCode": ["TaskFailedToStart"]},
            ],
        },
    }
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    arn = f"arn:aws:sqs:eu-west-1:000000000000:ends-{name}"
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    definition = job
    if image:
        container = {"name": "job", "image": image, "command": ["true"]}
        definition = ecs.register_task_definition(
            family="gone", cpu="256", memory="512", containerDefinitions=[container]
        )["taskDefinition"]["taskDefinitionArn"]
    arns = []
    for wanted in {"0", code}:
        override = {"name": "job", "environment": [{"name": "CODE", "value": wanted}]}
        arns += [
            task["taskArn"]
            for task in ecs.run_task(
                cluster="jobs", taskDefinition=definition, group=name,
                overrides={"containerOverrides": [override]},
            )["tasks"]
        ]  # fmt: skip

    def all_ended() -> bool:
        tasks = ecs.describe_tasks(cluster="jobs", tasks=arns)["tasks"]
        return all(task["lastStatus"] == "STOPPED" for task in tasks)

    found = wait_for(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    detail = json.loads(found[0]["Body"])["detail"]
    assert detail["lastStatus"] == "STOPPED"
    assert detail.get("stopCode") == ("TaskFailedToStart" if image else "EssentialContainerExited")
    # The one that ended well is not among them, or would be soon.
    wait_for(all_ended)
    time.sleep(0.6)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)


def test_an_expression_that_aws_would_refuse_is_refused(region, job):
    scheduler = region.client("scheduler")
    for expression in ("cron(0 8 * * *)", "rate(1 minutes)"):
        with pytest.raises(scheduler.exceptions.ValidationException, match="Invalid Schedule"):
            schedule(region, "bad", expression, job)
