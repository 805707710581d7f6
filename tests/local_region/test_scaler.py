from dataclasses import replace

import pytest

from local_region.alarms import AlarmEvaluator
from local_region.autoscaling.api import AutoScalingApi
from local_region.autoscaling.records import Registry, TargetKey
from local_region.autoscaling.services import Counts, SetFailed
from local_region.cloudwatch.install import put_metric_alarm
from local_region.cloudwatch.store import MetricStore
from local_region.scaler import Scaler
from local_region.seams import cloudwatch, core
from local_region.settings import Settings

SCOPE = ("000000000000", "eu-west-1")
KEY = TargetKey(SCOPE, "service/shop/api")
CPU_DIMENSIONS = {"ClusterName": "shop", "ServiceName": "api"}


class FakeService:
    """A service that does as it is told, at once or when `arrive` is called."""

    def __init__(self):
        self.state = Counts(1, 1, False)
        self.refusal = None
        self.asked = []

    def counts(self, key):
        return self.state

    def set_desired(self, key, count):
        if self.refusal:
            raise SetFailed(self.refusal)
        self.asked.append(count)
        self.state = replace(self.state, desired=count)

    def arrive(self):
        self.state = replace(self.state, running=self.state.desired)


class World:
    """Alarms, policies and a service, ticked by hand every ten seconds."""

    def __init__(self):
        self.now_s = 1000
        self.store = MetricStore(SCOPE)
        self.service = FakeService()
        self.registry = Registry()
        self.evaluator = AlarmEvaluator(self.store, lambda: float(self.now_s))
        self.scaler = Scaler(self.registry, self.evaluator, self.service, lambda: float(self.now_s))
        self.api = AutoScalingApi(
            self.registry, Settings(), lambda key: True, lambda: float(self.now_s)
        )
        self.call("RegisterScalableTarget", MinCapacity=1, MaxCapacity=4)

    def call(self, operation, **request):
        return self.api.call(operation, {**KEY.as_api(), **request}, SCOPE)

    def track(self, name, metric="ECSServiceAverageCPUUtilization", target=50.0, **more):
        configuration = {
            "TargetValue": target,
            "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
            "ScaleOutCooldown": 0,
            "ScaleInCooldown": 0,
            **more,
        }
        return self.call(
            "PutScalingPolicy",
            PolicyName=name,
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=configuration,
        )["Alarms"]

    def step_policy(self, **configuration):
        steps = [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}]
        return self.call(
            "PutScalingPolicy",
            PolicyName="p95",
            PolicyType="StepScaling",
            StepScalingPolicyConfiguration={
                "AdjustmentType": "ChangeInCapacity",
                "StepAdjustments": steps,
                "Cooldown": 0,
                **configuration,
            },
        )["PolicyARN"]

    def tick(self, cpu=None, memory=None, latency=None, times=1):
        """A period passes with these values, then alarms and scaler run."""
        for _ in range(times):
            for name, value in (("CPUUtilization", cpu), ("MemoryUtilization", memory)):
                if value is not None:
                    self.store.put("AWS/ECS", name, CPU_DIMENSIONS, self.now_s, "Percent", [value])
            if latency is not None:
                self.store.put("Shop", "Latency", {}, self.now_s, "Seconds", [latency])
            self.now_s += 10
            self.scaler.settle()
            due = self.evaluator.evaluate_due(SCOPE, self.now_s)
            self.scaler.tick(SCOPE, due)

    def activities(self, every=False):
        return self.call("DescribeScalingActivities", IncludeNotScaledActivities=every)[
            "ScalingActivities"
        ]


@pytest.fixture
def world():
    service = core.module("services.cloudwatch")
    service.reset()
    with core.request_scope(*SCOPE):
        yield World()
    service.reset()


def test_three_hot_periods_scale_out_in_proportion(world):
    [high, _] = world.track("cpu")
    world.tick(cpu=100, times=2)
    assert world.service.asked == []
    world.tick(cpu=100)
    assert world.service.asked == [2]
    [activity] = world.activities()
    assert activity["Cause"] == (
        f"monitor alarm {high['AlarmName']} in state ALARM triggered policy cpu"
    )
    assert activity["StatusCode"] == "InProgress"


def test_an_activity_ends_when_its_tasks_run(world):
    world.track("cpu")
    world.tick(cpu=100, times=3)
    world.service.arrive()
    world.now_s += 2
    world.scaler.settle()
    [activity] = world.activities()
    assert (activity["StatusCode"], activity["EndTime"]) == ("Successful", 1032.0)
    assert activity["StatusMessage"].endswith("Change successfully fulfilled by ecs.")


def test_the_action_repeats_every_period_while_in_alarm(world):
    world.track("cpu")
    world.tick(cpu=90, times=3)
    world.service.arrive()
    world.tick(cpu=90)
    assert world.service.asked == [2, 4]


def test_a_cooldown_holds_the_next_one_back(world):
    world.track("cpu", ScaleOutCooldown=60)
    world.tick(cpu=90, times=3)
    world.service.arrive()
    world.tick(cpu=90, times=6)
    assert world.service.asked == [2]
    world.tick(cpu=90, times=2)
    assert world.service.asked == [2, 4]


def test_nothing_beyond_the_maximum_and_that_is_said_once(world):
    world.track("cpu")
    world.service.state = Counts(4, 4, False)
    world.tick(cpu=100, times=6)
    assert world.service.asked == []
    [left] = world.activities(every=True)
    assert left["NotScaledReasons"][0] == {
        "Code": "AlreadyAtMaxCapacity", "CurrentCapacity": 4, "MaxCapacity": 4,
    }  # fmt: skip
    assert world.activities() == []


def test_all_tracking_policies_must_agree_to_scale_in(world):
    world.track("cpu")
    world.track("memory", "ECSServiceAverageMemoryUtilization")
    world.service.state = Counts(3, 3, False)
    world.tick(cpu=10, memory=48, times=8)
    assert world.service.asked == []
    world.tick(cpu=10, memory=10, times=6)
    assert world.service.asked[0] == 1


def test_a_policy_without_data_blocks_scale_in(world):
    world.track("cpu")
    world.track("memory", "ECSServiceAverageMemoryUtilization")
    world.service.state = Counts(3, 3, False)
    world.tick(cpu=10, times=10)
    assert world.service.asked == []


def test_no_scale_in_during_a_deployment(world):
    world.track("cpu")
    world.service.state = Counts(3, 3, True)
    world.tick(cpu=10, times=8)
    assert world.service.asked == []
    world.service.state = Counts(3, 3, False)
    world.tick(cpu=10)
    assert world.service.asked == [1]


@pytest.mark.parametrize(
    ("flag", "cpu", "start"),
    [("DynamicScalingOutSuspended", 100, 1), ("DynamicScalingInSuspended", 5, 3)],
)
def test_suspended_scaling_does_nothing(world, flag, cpu, start):
    world.track("cpu")
    world.service.state = Counts(start, start, False)
    world.call("RegisterScalableTarget", SuspendedState={flag: True})
    world.tick(cpu=cpu, times=8)
    assert world.service.asked == []


def step_alarm(world, arn, **changes):
    request = {
        "AlarmName": "slow", "Namespace": "Shop", "MetricName": "Latency", "Statistic": "Maximum",
        "Period": 10, "EvaluationPeriods": 2, "Threshold": 0.02,
        "ComparisonOperator": "GreaterThanThreshold", "AlarmActions": [arn], **changes,
    }  # fmt: skip
    put_metric_alarm(request)


def test_a_step_policy_acts_on_the_alarm_that_names_it(world):
    step_alarm(world, world.step_policy())
    world.tick(latency=0.05, times=2)
    assert world.service.asked == [2]
    assert world.activities()[0]["Cause"] == (
        "monitor alarm slow in state ALARM triggered policy p95"
    )


def test_the_size_of_the_breach_chooses_the_step(world):
    steps = [
        {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 0.1, "ScalingAdjustment": 1},
        {"MetricIntervalLowerBound": 0.1, "ScalingAdjustment": 3},
    ]
    step_alarm(world, world.step_policy(StepAdjustments=steps))
    world.tick(latency=0.5, times=2)
    assert world.service.asked == [4]


def test_a_step_policy_may_hang_on_the_ok_state(world):
    steps = [{"MetricIntervalUpperBound": 0, "ScalingAdjustment": -1}]
    arn = world.step_policy(StepAdjustments=steps)
    step_alarm(world, arn, AlarmActions=[], OKActions=[arn])
    world.service.state = Counts(3, 3, False)
    world.tick(latency=0.01, times=2)
    assert world.service.asked[0] == 2


def test_an_alarm_with_a_longer_period_acts_once_a_period(world):
    step_alarm(world, world.step_policy(), Period=30, EvaluationPeriods=1)
    for _ in range(6):
        world.tick(latency=0.05)
        world.service.arrive()
    assert world.service.asked == [2, 3]


def test_disabled_actions_call_nobody(world):
    step_alarm(world, world.step_policy(), ActionsEnabled=False)
    for alarm in world.track("cpu"):
        cloudwatch.alarms()[alarm["AlarmName"]]["ActionsEnabled"] = False
    world.tick(latency=0.05, cpu=100, times=4)
    assert world.service.asked == []


def test_the_action_is_in_the_alarms_history(world):
    step_alarm(world, world.step_policy())
    world.tick(latency=0.05, times=2)
    entries = core.module("services.cloudwatch")._history_entries()
    [action] = [e for e in entries if e["HistoryItemType"] == "Action"]
    assert action["AlarmName"] == "slow"
    assert action["HistorySummary"].startswith("Successfully executed action arn:aws:autoscaling:")


def test_a_service_that_refuses_leaves_a_failed_activity(world):
    world.track("cpu")
    world.service.refusal = "the cluster is gone"
    world.tick(cpu=100, times=3)
    [activity] = world.activities()
    assert activity["StatusCode"] == "Failed"
    assert activity["StatusMessage"] == (
        "Failed to set desired count to 2. Reason: the cluster is gone"
    )


def test_new_bounds_are_enforced_without_an_alarm(world):
    world.call("RegisterScalableTarget", MinCapacity=2)
    world.scaler.settle()
    assert world.service.asked == [2]
    assert world.activities()[0]["Cause"] == "minimum capacity was set to 2"
    world.service.arrive()
    world.call("RegisterScalableTarget", MinCapacity=1, MaxCapacity=1)
    world.scaler.settle()
    assert world.service.asked == [2, 1]
    assert world.activities()[0]["Cause"] == "maximum capacity was set to 1"


def test_a_later_change_overrides_an_open_activity(world):
    world.track("cpu")
    world.tick(cpu=100, times=3)
    world.call("RegisterScalableTarget", MinCapacity=3)
    world.scaler.settle()
    assert [a["StatusCode"] for a in world.activities()] == ["InProgress", "Overridden"]


def test_a_service_that_is_gone_is_left_alone(world):
    world.track("cpu")
    world.service.state = None
    world.tick(cpu=100, times=5)
    assert world.activities() == []
