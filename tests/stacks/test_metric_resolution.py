"""20 s metrics stay as long as the deployed scaling stack acts on them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sceptre.exceptions import SceptreException

from runbook.environment import Environment
from runbook.errors import AwsCallFailed, GuardRefused
from runbook.stacks import guards
from runbook.stacks.metric_resolution import require_fast_metrics_kept
from runbook.waiting import Waiter

ALARM = (
    "Resources: {CpuStepsAlarm: {Type: AWS::CloudWatch::Alarm,"
    " Properties: {Namespace: %s, Period: %s}}}"
)
STEPS = ALARM % ("AWS/ECS", 20)


def deploy(cloudformation: Any, service_s: str, target_s: str, template: str = "{}") -> None:
    cloudformation._store(
        "shop-local-service", "UPDATE_COMPLETE", "{}", {"MetricResolutionS": service_s}
    )
    cloudformation._store(
        "shop-local-scaling", "UPDATE_COMPLETE", template, {"EcsMetricPeriodS": target_s}
    )


@pytest.mark.parametrize(
    ("target_s", "template", "what"),
    [
        ("20", "{}", "acts on them: EcsMetricPeriodS"),
        ("60", STEPS, "acts on them: CpuStepsAlarm"),
        ("20", STEPS, "acts on them: EcsMetricPeriodS, CpuStepsAlarm"),
    ],
)
def test_they_are_not_taken_from_what_acts_on_them(
    environment: Environment,
    cloudformation: Any,
    target_s: str,
    template: str,
    what: str,
) -> None:
    deploy(cloudformation, "20", target_s, template)
    for parameters in ({"MetricResolutionS": "60"}, {"MetricResolutionS": 60}, {}):
        with pytest.raises(GuardRefused, match=f"{what}; keep them"):
            require_fast_metrics_kept(environment, parameters)
    require_fast_metrics_kept(environment, {"MetricResolutionS": "20"})


@pytest.mark.parametrize(
    ("service_s", "target_s", "template"),
    [
        ("20", "60", "{}"),
        ("20", "60", ALARM % ("AWS/ECS", 60)),
        ("20", "60", ALARM % ("AWS/ApplicationELB", 10)),
        # What is wrong already is not made worse, and must not keep a release from going out.
        ("60", "20", STEPS),
    ],
)
def test_nothing_else_is_in_the_way(
    environment: Environment,
    cloudformation: Any,
    service_s: str,
    target_s: str,
    template: str,
) -> None:
    deploy(cloudformation, service_s, target_s, template)
    require_fast_metrics_kept(environment, {"MetricResolutionS": "60"})


def test_a_passing_fault_passes_and_a_lasting_one_is_said(
    environment: Environment, cloudformation: Any, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(cloudformation, "20", "20")
    faults = [refused("Throttling", "slow down")]
    describe = cloudformation.describe_stacks

    def throttled(**asked: Any) -> Any:
        if faults:
            raise faults.pop()
        return describe(**asked)

    monkeypatch.setattr(cloudformation, "describe_stacks", throttled)
    with pytest.raises(GuardRefused):
        require_fast_metrics_kept(environment, {}, waiter)
    faults += [refused("AccessDenied", "not you")]
    with pytest.raises(AwsCallFailed, match=r"cannot be found out: .*not you"):
        require_fast_metrics_kept(environment, {}, waiter)


def refused(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "DescribeStacks")


def test_an_environment_without_stacks_may_have_any(
    environment: Environment, cloudformation: Any
) -> None:
    require_fast_metrics_kept(environment, {"MetricResolutionS": "60"})
    deploy(cloudformation, "20", "60")
    del cloudformation.stacks["shop-local-scaling"]
    require_fast_metrics_kept(environment, {"MetricResolutionS": "60"})


def test_plain_sceptre_is_refused_too(
    environment: Environment, cloudformation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(cloudformation, "20", "20")
    monkeypatch.setattr(guards, "load_environment", lambda name: replace(environment, name=name))
    stack: Any = SimpleNamespace(name="local/service", parameters={"MetricResolutionS": "60"})
    with pytest.raises(SceptreException, match="20 s metrics of local are not switched off"):
        guards.MetricsGuard(stack=stack).run()
