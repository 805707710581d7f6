"""Services on a real region: scaling, replacement, deployments, with traffic running."""

from __future__ import annotations

import json
import os
import signal
import time

import psutil
import pytest

pytestmark = pytest.mark.e2e


def wait_for(what, timeout_s=40.0):
    deadline = time.monotonic() + timeout_s
    while not (answer := what()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s; last answer: {answer!r}"
        time.sleep(0.05)
    return answer


def test_scale_out_and_in_lose_no_request(region):
    service = region.service(desired=1)
    load = service.load("/slow/5", rate_rps=100, duration_s=60)
    # The tiny service ends 50 ms after SIGTERM: who is stopped with such a request dies with it.
    long = service.load("/slow/1000", rate_rps=10, duration_s=60)
    time.sleep(1)
    service.update(desiredCount=3)
    wait_for(lambda: service.is_steady(3))
    time.sleep(1)
    service.update(desiredCount=1)
    # Far below the deregistration delay of 300 s: who has no request left is not kept.
    wait_for(lambda: len(service.processes()) == 1)
    time.sleep(1)
    assert set(load.end()) == {200}
    assert set(long.end()) == {200}
    stopped = service.tasks("STOPPED")
    assert [t["lastStatus"] for t in stopped] == ["STOPPED", "STOPPED"]
    assert {t["stopCode"] for t in stopped} == {"ServiceSchedulerInitiated"}
    # They were told to end and did, nobody had to kill them.
    assert {t["containers"][0]["exitCode"] for t in stopped} == {0}
    assert len(service.tasks("RUNNING")) == 1


def test_new_targets_share_the_traffic(region):
    service = region.service(desired=3)
    ports = {task["port"] for task in service.processes()}
    # The balancer hears of the last one a moment after it is healthy.
    wait_for(lambda: {json.loads(service.get("/about"))["port"] for _ in range(9)} == ports)
    bindings = {task["containers"][0]["networkBindings"][0]["hostPort"] for task in service.tasks()}
    assert bindings == ports


def test_killed_task_loses_its_requests_in_flight_only(region):
    service = region.service(desired=2)
    load = service.load("/slow/100", rate_rps=80, duration_s=5)
    time.sleep(1.5)
    victim = service.processes()[0]
    killed = time.monotonic()
    os.kill(victim["pid"], signal.SIGKILL)
    wait_for(lambda: victim["pid"] not in {t["pid"] for t in service.processes()})
    known = time.monotonic()
    wait_for(lambda: service.is_steady(2))
    counts = load.finish()
    failed = [(at, status) for at, status in load.results if status != 200]
    # 80 requests a second, half of them his, 100 ms each: four, and some for the coincidence; and
    # those of the moment before the region, and after it Envoy, knew.
    assert len(failed) <= 10 + 40 * (known - killed)
    assert all(killed - 1 <= at <= known + 1 for at, _ in failed), failed
    assert {status for _, status in failed} <= {502}
    assert sum(counts.values()) == 400
    ended = next(t for t in service.tasks("STOPPED"))
    assert ended["stopCode"] == "EssentialContainerExited"
    assert ended["containers"][0]["exitCode"] == 137


def test_rolling_deployment_loses_no_request_and_keeps_the_minimum(region):
    service = region.service(desired=2)
    before = {t["pid"] for t in service.processes()}
    load = service.load("/slow/5", rate_rps=80, duration_s=6)
    long = service.load("/slow/1000", rate_rps=10, duration_s=6)
    time.sleep(1)
    fewest = [2]

    def rolled():
        fewest.append(service.health()["healthy"])
        return service.is_steady(2) and not before & {t["pid"] for t in service.processes()}

    first = service.describe()["deployments"][0]["id"]
    updated = service.update(taskDefinition=service.define(environment={"VERSION": "2"}))
    assert [d["rolloutState"] for d in updated["deployments"]] == ["IN_PROGRESS", "COMPLETED"]
    wait_for(rolled)
    assert load.finish() == {200: 480}
    assert long.finish() == {200: 60}
    assert min(fewest) >= 2
    assert service.describe()["deployments"][0]["id"] != first
    assert json.loads(service.get("/about"))["environment"]["VERSION"] == "2"


@pytest.mark.parametrize(
    ("change", "stopped_reason"),
    [
        (
            {"command": ("python", "-c", "raise SystemExit(3)")},
            "Essential container in task exited",
        ),
        ({"command": ("no-such-program",)}, "CannotStartContainerError"),
        ({"image": "000000000000.dkr.ecr.eu-west-1.amazonaws.com/none:1"}, "CannotPullContainer"),
    ],
    ids=["crashing", "unstartable", "missing image"],
)
def test_broken_version_is_rolled_back(region, change, stopped_reason):
    service = region.service(desired=1)
    good = service.describe()["taskDefinition"]
    load = service.load("/slow/5", rate_rps=50, duration_s=3)
    service.update(taskDefinition=service.define(**change))
    wait_for(
        lambda: (
            any("rolling back to deployment" in e for e in service.events())
            and service.is_steady(1)
        )
    )
    assert load.finish() == {200: 150}
    assert service.describe()["taskDefinition"] == good
    assert any("deployment failed: tasks failed to start." in e for e in service.events())
    assert stopped_reason in service.tasks("STOPPED")[0]["stoppedReason"]


def test_version_that_never_becomes_healthy_is_rolled_back(region):
    # Three at once: each is given up after two checks five seconds apart, and three end it.
    service = region.service(desired=3, grace_s=0)
    load = service.load("/slow/5", rate_rps=20, duration_s=12)
    service.update(taskDefinition=service.define(environment={"HEALTH_STATUS": "500"}))
    wait_for(lambda: any("rolling back to deployment" in e for e in service.events()), 60)
    wait_for(lambda: service.is_steady(3))
    assert load.finish() == {200: 240}
    assert any("Health checks failed with these codes: [500]" in e for e in service.events())
    stopped = service.tasks("STOPPED")
    assert any("Task failed ELB health checks" in t["stoppedReason"] for t in stopped)


def test_version_that_rings_an_alarm_is_rolled_back(region):
    service = region.service(desired=1)
    group = "targetgroup/" + service.target_group.partition(":targetgroup/")[2]
    region.client("cloudwatch").put_metric_alarm(
        AlarmName="errors", Namespace="AWS/ApplicationELB", MetricName="HTTPCode_Target_5XX_Count",
        Dimensions=[{"Name": "TargetGroup", "Value": group}], Statistic="Sum", Period=1,
        EvaluationPeriods=2, DatapointsToAlarm=2, Threshold=1, TreatMissingData="notBreaching",
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )  # fmt: skip
    good = service.describe()["taskDefinition"]
    configuration = service.describe()["deploymentConfiguration"]
    alarms = {"alarmNames": ["errors"], "enable": True, "rollback": True}
    bad = service.define(environment={"ERRORS": "on"})
    # From before the bad version serves until after it has gone.
    load = service.load("/work", rate_rps=20, duration_s=90)
    service.update(taskDefinition=bad, deploymentConfiguration={**configuration, "alarms": alarms})
    wait_for(lambda: any("deployment failed: alarm detected." in e for e in service.events()))
    wait_for(lambda: service.is_steady(1))
    assert service.describe()["taskDefinition"] == good
    assert set(load.end()) == {200, 500}


def test_first_version_that_crashes_leaves_a_failed_deployment(region):
    service = region.service(desired=0)
    broken = service.define(command=("python", "-c", "raise SystemExit(3)"))
    service.ecs.create_service(
        cluster=service.name, serviceName="broken", taskDefinition=broken, desiredCount=1,
        launchType="FARGATE",
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
    )  # fmt: skip

    def deployment():
        answer = service.ecs.describe_services(cluster=service.name, services=["broken"])
        return answer["services"][0]["deployments"][0]

    wait_for(lambda: deployment()["rolloutState"] == "FAILED")
    assert deployment()["rolloutStateReason"] == (
        "ECS deployment circuit breaker: tasks failed to start."
    )
    assert deployment()["failedTasks"] == 3
    service.ecs.delete_service(cluster=service.name, service="broken", force=True)


def test_task_sees_its_definition_and_nothing_else(region):
    secret = region.client("secretsmanager").create_secret(Name="key", SecretString="s3cret")
    service = region.service(desired=1)
    service.update(
        taskDefinition=service.define(
            environment={"PORT": "8000", "COLOUR": "red"},
            secrets=[{"name": "KEY", "valueFrom": secret["ARN"]}],
            mountPoints=[{"sourceVolume": f"data-{service.name}", "containerPath": "/srv/data"}],
        )
    )
    wait_for(lambda: service.is_steady(1))
    wait_for(service.answers)
    about = json.loads(service.get("/about"))
    environment = about["environment"]
    assert environment["KEY"] == "s3cret"
    assert environment["COLOUR"] == "red"
    assert environment["HOST"] == "127.0.0.1"
    assert about["port"] == service.processes()[0]["port"]
    assert environment["AWS_ENDPOINT_URL"] == region.endpoint_url
    assert "DOCKER_HOST" not in environment
    assert "MINISTACK_REGION" not in environment
    assert about["cwd"].endswith("/rootfs/srv")
    assert about["data"] == [str(about["port"])]
    # The volume outlives the task.
    volume = region.directory / "volumes" / f"data-{service.name}"
    assert (volume / str(about["port"])).read_text() == "here"


def test_stop_task_really_stops_it_and_it_is_replaced(region):
    service = region.service(desired=1)
    task, process = service.tasks()[0], service.processes()[0]
    answer = service.ecs.stop_task(cluster=service.name, task=task["taskArn"], reason="because")[
        "task"
    ]
    assert answer["desiredStatus"] == "STOPPED"
    assert task["taskArn"] not in {t["taskArn"] for t in service.tasks("RUNNING")}
    wait_for(lambda: not psutil.pid_exists(process["pid"]))
    wait_for(lambda: service.is_steady(1))
    # The region hears of a process's end a moment after it.
    wait_for(lambda: service.tasks("STOPPED")[0]["lastStatus"] == "STOPPED")
    stopped = service.tasks("STOPPED")[0]
    assert (stopped["stoppedReason"], stopped["stopCode"]) == ("because", "UserInitiated")
    times = [stopped[k] for k in ("createdAt", "startedAt", "stoppingAt", "stoppedAt")]
    assert times == sorted(times)


def test_run_task_runs_to_its_end(region):
    service = region.service(desired=0)
    command = ["python", "-c", "print('done'); raise SystemExit(5)"]
    arn = service.ecs.run_task(
        cluster=service.name, taskDefinition=service.name, launchType="FARGATE",
        overrides={"containerOverrides": [{"name": "web", "command": command}]},
    )["tasks"][0]["taskArn"]  # fmt: skip

    def task():
        return service.ecs.describe_tasks(cluster=service.name, tasks=[arn])["tasks"][0]

    wait_for(lambda: task()["lastStatus"] == "STOPPED")
    assert task()["containers"][0]["exitCode"] == 5
    log = region.directory / "tasks" / f"{arn.rpartition('/')[2]}.log"
    assert log.read_text() == "done\n"


def test_task_that_takes_too_much_memory_is_killed(region):
    service = region.service(desired=0)
    command = ["python", "-c", "import time; x = bytearray(400 << 20); time.sleep(60)"]
    arn = service.ecs.run_task(
        cluster=service.name, taskDefinition=service.name,
        overrides={"containerOverrides": [{"name": "web", "command": command}]},
    )["tasks"][0]["taskArn"]  # fmt: skip

    def task():
        return service.ecs.describe_tasks(cluster=service.name, tasks=[arn])["tasks"][0]

    wait_for(lambda: task()["lastStatus"] == "STOPPED")
    container = task()["containers"][0]
    assert container["exitCode"] == 137
    assert container["reason"].startswith("OutOfMemoryError")


def test_output_arrives_in_the_log_group(region):
    logs = region.client("logs")
    logs.create_log_group(logGroupName="/ecs/tiny")
    service = region.service(desired=1)
    options = {"awslogs-group": "/ecs/tiny", "awslogs-region": "eu-west-1"}
    options["awslogs-stream-prefix"] = "web"
    service.update(
        taskDefinition=service.define(logConfiguration={"logDriver": "awslogs", "options": options})
    )
    wait_for(lambda: service.is_steady(1))

    def lines():
        events = logs.filter_log_events(logGroupName="/ecs/tiny")["events"]
        return [event["message"] for event in events]

    assert wait_for(lines)[0].startswith("tiny service listens on")
    streams = logs.describe_log_streams(logGroupName="/ecs/tiny")["logStreams"]
    task_id = service.processes()[0]["task_id"]
    assert [s["logStreamName"] for s in streams] == [f"web/web/{task_id}"]


def test_deleted_service_leaves_no_process_and_no_target(region):
    service = region.service(desired=2)
    pids = [task["pid"] for task in service.processes()]
    answer = service.ecs.delete_service(cluster=service.name, service=service.name, force=True)
    assert answer["service"]["status"] == "DRAINING"
    wait_for(lambda: service.describe()["status"] == "INACTIVE")
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not service.health()


def test_envoy_is_started_again_when_it_dies(region):
    service = region.service(desired=1)
    killed = region.status()["envoy_pid"]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: region.status()["envoy_pid"] not in (killed, None))
    wait_for(service.answers)


def test_nothing_listens_beyond_loopback(region):
    service = region.service(desired=1)
    main = psutil.Process(region.process.pid)
    listening = [
        connection.laddr
        for process in (main, *main.children(recursive=True))
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    # Endpoint, Envoy's admin port, its listener, the task.
    assert int(service.address.partition(":")[2]) in {address.port for address in listening}
    assert len(listening) >= 4


def test_killed_region_takes_everything_with_it(own_region):
    own_region.service(desired=2)
    family = psutil.Process(own_region.process.pid).children(recursive=True)
    assert len(family) >= 4
    own_region.process.kill()
    own_region.process.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive
