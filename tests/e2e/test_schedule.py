"""A scheduled runbook, end to end: a schedule fires, notebooks run, a report lies in the bucket."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.scenario, pytest.mark.timeout(420)]
ROOT = Path(__file__).resolve().parents[2]


def wait_for(what: Callable[[], Any], timeout_s: float, every_s: float = 0.5) -> Any:
    """The first true answer; fails with the last one after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (answer := what()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain; last: {answer!r}"
        time.sleep(every_s)
    return answer


def launch(project: Any, stack: str) -> None:
    """One stack and what it depends on, by plain Sceptre."""
    variables = {
        **os.environ, "AWS_ENDPOINT_URL": project.state()["endpoint_url"],
        "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
        "RUNBOOK_PROJECT": str(project.root), "RUNBOOK_LOCAL_REGION_DIR": str(project.region_dir),
    }  # fmt: skip
    done = subprocess.run(
        [str(Path(sys.executable).with_name("sceptre")), "launch", "-y", stack],
        cwd=project.root / "sceptre", env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_schedule_runs_a_notebook_and_publishes_its_report(project: Any) -> None:
    shutil.copytree(ROOT / "runbook", project.root / "runbook")
    shutil.copy(ROOT / "pyproject.toml", project.root)
    project.up()
    launch(project, "local/registry.yaml")
    packed = project.run("image", "pack", "--target", "runbook")
    assert packed.returncode == 0, packed.stderr
    project.set_parameters(
        "runbooks",
        RunbookImageReference=f'"{packed.stdout.strip()}"',
        DailyState="ENABLED",
        # The topic's own layer would bring the balancer and the service along.
        TicketTopicArn="arn:aws:sns:eu-west-1:000000000000:tickets",
    )
    with (project.root / "sceptre" / "config" / "local" / "runbooks.yaml").open("a") as stream:
        stream.write('  DailyExpression: "rate(1 hour)"\n')
    launch(project, "local/runbooks.yaml")
    outputs = project.outputs("runbooks")
    name = outputs["ScheduleNames"].split(",")[0]
    ecs, cluster = project.client("ecs"), project.outputs("cluster")["ClusterName"]

    def ended() -> dict[str, Any] | None:
        arns = ecs.list_tasks(
            cluster=cluster, startedBy=f"chronos-schedule/{name}", desiredStatus="STOPPED"
        )["taskArns"]
        found = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
        return next((task for task in found if task["lastStatus"] == "STOPPED"), None)

    # A rate begins at once, and only one report shall be there.
    task = wait_for(ended, timeout_s=150)
    log = (project.region_dir / "tasks" / f"{task['taskArn'].rpartition('/')[2]}.log").read_text()
    assert task["containers"][0]["exitCode"] == 0, log
    assert task["taskDefinitionArn"] == outputs["RunbookTaskDefinitionArn"]

    s3, bucket = project.client("s3"), outputs["ReportBucketName"]
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    (page,) = [key for key in keys if key.endswith("/whole.html")]
    run_id = page.split("/")[1]
    result = json.load(
        s3.get_object(Bucket=bucket, Key=f"local/{run_id}/00_preflight/result.json")["Body"]
    )
    assert (result["verdict"], result["run_id"]) == ("pass", run_id)
    said = re.search(r"Published: s3://\S+/whole.html", log)
    assert said, log

    # Whoever gets the link needs nothing but a browser.
    link = project.run("report", "link", run_id, "--bucket", bucket)
    assert link.returncode == 0, link.stderr
    with urllib.request.urlopen(link.stdout.strip()) as answer:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "Preflight" in answer.read().decode()
    the_cron_line_works(project, bucket)
    a_run_that_ends_badly_is_told(project, cluster, outputs)


def a_run_that_ends_badly_is_told(project: Any, cluster: str, outputs: dict[str, str]) -> None:
    """The task's end is a message in the queue that the alarm watches."""
    command = ["python", "-m", "runbook", "run", "no_such_notebook", "--publish"]
    project.client("ecs").run_task(
        cluster=cluster,
        taskDefinition=outputs["RunbookTaskDefinitionArn"],
        overrides={"containerOverrides": [{"name": "runbook", "command": command}]},
    )
    sqs = project.client("sqs")
    url = outputs["DeadLetterQueueUrl"]

    def letters() -> Any:
        counted = sqs.get_queue_attributes(
            QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(counted["Attributes"]["ApproximateNumberOfMessages"])

    wait_for(letters, timeout_s=90)
    (letter,) = sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
    detail = json.loads(letter["Body"])["detail"]
    assert detail["taskDefinitionArn"] == outputs["RunbookTaskDefinitionArn"]
    assert detail["containers"][0]["exitCode"] == 2


def the_cron_line_works(project: Any, bucket: str) -> None:
    """The example's command, on this project and region, with the little that cron gives it."""
    shutil.copytree(ROOT / "examples" / "schedules", project.root / "examples" / "schedules")
    (project.root / ".venv").mkdir()
    (project.root / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (line,) = re.findall(
        r"^\d.*$", (ROOT / "examples" / "schedules" / "crontab").read_text(), re.MULTILINE
    )
    command = line.split(None, 5)[5]
    command = command.replace("/opt/ecs-runbook", str(project.root)).replace(" dev ", " local ")
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env={"HOME": str(project.root), "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    log = (project.root / "runs" / "cron.log").read_text()
    # All was well, so there is nothing to mail.
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), log
    (result,) = (project.root / "runs" / "local").glob("*/00_preflight/result.json")
    run_id = result.parents[1].name
    assert json.loads(result.read_text())["verdict"] == "pass"
    there = project.client("s3").head_object(Bucket=bucket, Key=f"local/{run_id}/whole.html")
    assert there["ContentType"] == "text/html; charset=utf-8"
