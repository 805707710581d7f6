"""The service scheduler over records, with tasks that live and die as the test says."""

from __future__ import annotations

from typing import Any

import pytest

from local_region.balancer.targets import HealthRules, TargetRegistry
from local_region.tasks import records, scheduler
from local_region.tasks.alarm_watch import AlarmView, looks_back_s
from local_region.tasks.records import Placement
from local_region.tasks.rollout import ServiceState
from local_region.tasks.scheduler import ServiceScheduler

GROUP = "arn:aws:elasticloadbalancing:r:0:targetgroup/g/1"
DEFINITION = {"taskDefinitionArn": "td", "containerDefinitions": []}
RULES = HealthRules(unhealthy_threshold=1, healthy_threshold=1, initial_interval_s=0.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    monotonic = time


class Runner:
    """Tasks come up at once and end when they are stopped, unless the test says otherwise."""

    def __init__(self, registry: TargetRegistry, clock: Clock) -> None:
        self.tasks: dict[str, Any] = {}
        self.registry, self.clock = registry, clock
        self.fails: set[str] = set()
        self.sick: set[str] = set()
        self.started = 0

    def launch(self, task, definition):
        self.started += 1
        self.tasks[task.id] = task
        self.clock.now += 0.001
        version = task.record["taskDefinitionArn"]
        if version in self.fails:
            self.end(task, "TaskFailedToStart")
            return
        task.port = 20000 + self.started
        task.running_since = self.clock.now
        records.enter_stage(task.record, "RUNNING", self.clock.now)
        self.registry.register(GROUP, task.address)
        failure = ("Target.FailedHealthChecks", "Health checks failed")
        self.registry.check(GROUP, task.address, RULES, failure if version in self.sick else None)

    def stop(self, task, reason, stop_code):
        if not task.ended and not task.stopping:
            self.end(task, stop_code, reason)

    def end(self, task, stop_code, reason=""):
        records.mark_stopping(task.record, reason, stop_code)
        records.enter_stage(task.record, "STOPPED", self.clock.now)
        self.registry.forget(GROUP, task.address)
        task.ended = True

    def forget_ended(self, task):
        self.tasks.pop(task.id)

    def live(self):
        return [task for task in self.tasks.values() if not task.ended]


class World:
    def __init__(self, monkeypatch, **configuration):
        self.clock = Clock()
        monkeypatch.setattr(scheduler, "time", self.clock)
        self.registry = TargetRegistry(self.clock.time)
        self.runner = Runner(self.registry, self.clock)
        self.alarms: dict[str, str] = {}
        monkeypatch.setattr(
            scheduler, "task_placement",
            lambda cluster, service: Placement("r", "0", cluster, "arn", "service:s", "x"),
        )  # fmt: skip
        self.scheduler = ServiceScheduler(
            self, self.runner, self.registry, 2.0, lambda names: AlarmView(self.alarms, 8.0)
        )
        self.service = {
            "serviceName": "s", "serviceArn": "arn:s", "clusterArn": "arn", "status": "ACTIVE",
            "desiredCount": 2, "runningCount": 0, "pendingCount": 0, "taskDefinition": "v1",
            "loadBalancers": [{"targetGroupArn": GROUP}], "events": [],
            "healthCheckGracePeriodSeconds": 0,
            "deployments": [records.new_deployment("v1", 2, now=1.0)],
            "deploymentConfiguration": {
                "deploymentCircuitBreaker": {"enable": True, "rollback": True}, **configuration,
            },
        }  # fmt: skip
        self.state = ServiceState(self.service)

    def task_definition(self, reference):
        return {**DEFINITION, "taskDefinitionArn": reference}

    def step(self, count=5, seconds=0.1):
        for _ in range(count):
            self.scheduler.reconcile("c", self.state)
            self.clock.now += seconds

    def deploy(self, version):
        for deployment in self.service["deployments"]:
            deployment["status"] = "ACTIVE"
        new = records.new_deployment(version, self.service["desiredCount"], now=self.clock.now)
        self.service["deployments"] = [new, *self.service["deployments"]]
        self.service["taskDefinition"] = version
        return new

    def messages(self):
        return [event["message"] for event in self.service["events"]]

    def rollouts(self):
        return [(d["taskDefinition"], d["rolloutState"]) for d in self.service["deployments"]]


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def test_new_service_completes_when_all_targets_are_healthy(world):
    world.step()
    assert world.rollouts() == [("v1", "COMPLETED")]
    assert world.service["runningCount"] == 2
    assert world.messages()[0] == "(service s) has reached a steady state."
    assert sum("registered 1 targets" in m for m in world.messages()) == 2


def test_steady_state_is_told_once(world):
    world.step(20)
    assert sum("steady state" in m for m in world.messages()) == 1


def test_scaling_does_not_touch_the_rollout(world):
    world.step()
    world.service["desiredCount"] = 4
    world.step()
    world.service["desiredCount"] = 1
    world.step()
    assert world.rollouts() == [("v1", "COMPLETED")]
    assert len(world.runner.live()) == 1
    assert any("has stopped 3 running tasks" in m for m in world.messages())
    assert any("deregistered 3 targets" in m for m in world.messages())
    assert world.messages()[0] == "(service s) has reached a steady state."


def test_new_version_replaces_the_old(world):
    world.step()
    world.deploy("v2")
    world.step(10)
    assert world.rollouts() == [("v2", "COMPLETED")]
    assert {t.record["taskDefinitionArn"] for t in world.runner.live()} == {"v2"}


def test_broken_version_is_rolled_back_to_the_same_deployment(world):
    world.step()
    first = world.service["deployments"][0]["id"]
    world.runner.fails.add("v2")
    second = world.deploy("v2")["id"]
    world.step(10)
    assert world.rollouts() == [("v1", "COMPLETED")]
    assert world.service["deployments"][0]["id"] == first
    assert world.service["taskDefinition"] == "v1"
    assert world.state.outcomes[second].rollout == "FAILED"
    assert world.state.outcomes[second].reason == (
        "ECS deployment circuit breaker: tasks failed to start."
    )
    text = "\n".join(world.messages())
    assert f"(deployment {second}) deployment failed: tasks failed to start." in text
    assert f"rolling back to deployment {first}." in text


def test_failed_deployment_shows_while_it_is_rolled_back(world):
    world.step()
    world.runner.sick.add("v1")  # the rollback cannot complete
    world.runner.tasks.clear()
    world.runner.fails.add("v2")
    world.deploy("v2")
    for _ in range(10):
        world.step(1)
        if ("v2", "FAILED") in world.rollouts():
            break
    assert world.rollouts() == [("v1", "IN_PROGRESS"), ("v2", "FAILED")]


def test_without_a_completed_deployment_there_is_no_way_back(world):
    world.runner.fails.add("v1")
    world.step(10)
    assert world.rollouts() == [("v1", "FAILED")]
    started = world.runner.started
    world.step(50, seconds=10)
    assert world.runner.started == started


def test_rollback_only_when_asked_for(monkeypatch):
    world = World(
        monkeypatch, deploymentCircuitBreaker={"enable": True, "rollback": False}
    )  # fmt: skip
    world.step()
    world.runner.fails.add("v2")
    world.deploy("v2")
    world.step(10)
    assert world.rollouts()[0] == ("v2", "FAILED")
    assert {t.record["taskDefinitionArn"] for t in world.runner.live()} == {"v1"}


def test_without_a_breaker_attempts_become_rare(monkeypatch):
    world = World(monkeypatch, deploymentCircuitBreaker={"enable": False, "rollback": False})
    world.runner.fails.add("v1")
    world.step(600)
    assert world.rollouts() == [("v1", "IN_PROGRESS")]
    assert 6 < world.runner.started < 40


def test_crash_loop_of_a_completed_service_is_slowed_down(world):
    world.step()
    world.runner.fails.add("v1")
    for task in world.runner.live():
        world.runner.end(task, "EssentialContainerExited")
    world.step(600)
    assert world.runner.started < 40
    assert any("unable to consistently start tasks" in m for m in world.messages())
    assert world.rollouts() == [("v1", "COMPLETED")]


def test_died_task_is_replaced_at_once(world):
    world.step()
    victim = world.runner.live()[0]
    world.runner.end(victim, "EssentialContainerExited")
    world.step(2)
    assert len(world.runner.live()) == 2
    assert victim not in world.runner.live()


def test_task_stopped_by_a_user_is_no_failure(world):
    world.step()
    for _ in range(5):
        world.runner.end(world.runner.live()[0], "UserInitiated")
        world.step(1)
    assert not any(world.state.failures.values())


def test_unhealthy_target_is_replaced_after_the_grace_period(world):
    world.service["healthCheckGracePeriodSeconds"] = 5
    world.step()
    victim = world.runner.live()[0]
    failure = ("Target.Timeout", "Request timed out")
    world.registry.check(GROUP, victim.address, RULES, failure)
    world.step(20)
    assert victim in world.runner.live()
    world.step(40)
    assert victim not in world.runner.live()
    assert len(world.runner.live()) == 2
    assert any("due to (reason Request timed out)" in m for m in world.messages())
    assert victim.record["stoppedReason"].startswith("Task failed ELB health checks in")


def test_healthy_task_resets_the_failures(world):
    world.step()
    deployment = world.deploy("v2")
    for _ in range(2):
        world.step(1)
        victim = next(t for t in world.runner.live() if t.record["taskDefinitionArn"] == "v2")
        victim.healthy_seen = True
        world.runner.end(victim, "EssentialContainerExited")
    world.step(10)
    assert world.rollouts() == [("v2", "COMPLETED")]
    assert deployment["failedTasks"] == 0


class TestDeploymentAlarms:
    @pytest.fixture
    def world(self, monkeypatch):
        alarms = {"alarmNames": ["a"], "enable": True, "rollback": True}
        world = World(monkeypatch, alarms=alarms)
        world.alarms = {"a": "OK"}
        world.step()
        return world

    def test_first_deployment_does_not_wait(self, world):
        assert world.rollouts() == [("v1", "COMPLETED")]

    def test_later_one_is_watched_for_the_bake_time(self, world):
        world.deploy("v2")
        world.step(50)
        assert world.rollouts() == [("v2", "IN_PROGRESS")]
        world.step(70)
        assert world.rollouts() == [("v2", "COMPLETED")]

    def test_alarm_rolls_back(self, world):
        second = world.deploy("v2")["id"]
        world.step(50)
        world.alarms = {"a": "ALARM"}
        world.step(10)
        assert world.rollouts() == [("v1", "COMPLETED")]
        assert world.state.outcomes[second].reason == ("ECS deployment failed: alarm detected.")
        assert {t.record["taskDefinitionArn"] for t in world.runner.live()} == {"v1"}

    def test_alarm_that_rang_before_does_not(self, world):
        world.alarms = {"a": "ALARM"}
        world.deploy("v2")
        world.step(120)
        assert world.rollouts() == [("v2", "COMPLETED")]

    def test_alarm_after_completion_does_not(self, world):
        world.deploy("v2")
        world.step(120)
        world.alarms = {"a": "ALARM"}
        world.step(10)
        assert world.rollouts() == [("v2", "COMPLETED")]


def test_deleted_service_ends_its_tasks_and_becomes_inactive(world):
    world.step()
    world.service["status"], world.service["desiredCount"] = "DRAINING", 0
    world.step(2)
    assert world.service["status"] == "INACTIVE"
    assert world.service["deployments"] == []
    assert not world.runner.live()


def test_service_without_a_load_balancer_is_healthy_after_a_second(world):
    world.service["loadBalancers"] = []
    world.step(5)
    assert world.rollouts() == [("v1", "IN_PROGRESS")]
    world.step(10)
    assert world.rollouts() == [("v1", "COMPLETED")]


def test_alarms_look_back_as_far_as_their_periods():
    assert looks_back_s([]) == 0
    plain = {"Period": 10, "EvaluationPeriods": 3}
    stat = {"Id": "m", "MetricStat": {"Period": 20, "Stat": "p95"}}
    math = {"Metrics": [{"Id": "e", "Expression": "m*2"}, stat], "EvaluationPeriods": 2}
    composite = {"AlarmRule": "ALARM(x)"}
    assert looks_back_s([plain, composite]) == 30
    assert looks_back_s([plain, math]) == 40
