"""What stands below `policy_lab` becomes resources of the scaling stack, as the lab played it."""

import difflib
from datetime import time
from pathlib import Path
from typing import Any

import cfn_flip
import pytest
from cfnlint.api import ManualArgs, lint
from sceptre.exceptions import SceptreException

from runbook.lab.additions import Additions, read_additions
from runbook.lab.launched import ScalingTemplate, with_additions
from runbook.lab.policy import Scheduled
from runbook.scaling.alarms import AlarmRule
from runbook.scaling.predictive import PredictivePolicy
from runbook.scaling.step_scaling import StepScalingPolicy

ROOT = Path(__file__).resolve().parents[2]
BODY = (ROOT / "sceptre" / "templates" / "scaling.yaml").read_text(encoding="utf-8")
EXTRA: dict[str, Any] = {
    "cpu_steps": {
        "period_s": 20,
        "periods": 1,
        "cooldown_s": 40,
        "steps": [[46.5, 12], [49.5, 18], [99.1, 160]],
    },
    "cpu_steps_in": {
        "period_s": 20,
        "periods": 9,
        "cooldown_s": 120,
        "steps": [[32.2, 14], [28.2, 25]],
    },
    "predictive": {"requests_per_target": 2400, "buffer_s": 600},
    "schedule": [
        {"at": "07:30", "min_tasks": 6},
        {"at": "22:00", "weekdays": [4, 5], "min_tasks": 1, "max_tasks": 20},
    ],
}


def template(body: str) -> dict[str, Any]:
    return dict(cfn_flip.load(body)[0])


def resources(additions: Additions) -> dict[str, Any]:
    found: dict[str, Any] = template(with_additions(BODY, additions))["Resources"]
    return {name: dict(item["Properties"]) for name, item in found.items()}


@pytest.fixture(scope="module")
def everything() -> dict[str, Any]:
    return resources(read_additions("all", EXTRA))


@pytest.mark.parametrize("name", ["CpuSteps", "CpuStepsIn"])
def test_the_steps_are_those_the_lab_plays(name: str, everything: dict[str, Any]) -> None:
    additions = read_additions("all", EXTRA)
    played = additions.cpu_steps if name == "CpuSteps" else additions.cpu_steps_in
    assert played is not None
    policy, alarm = everything[f"{name}Policy"], everything[f"{name}Alarm"]
    configuration = policy["StepScalingPolicyConfiguration"]
    key = "cpu_steps" if name == "CpuSteps" else "cpu_steps_in"
    assert policy["PolicyName"] == {"Fn::Sub": f"${{AWS::StackName}}-{key}"}
    launched = StepScalingPolicy.from_api(played.policy.name, configuration)
    assert (launched.adjustment_type, launched.cooldown_s, launched.aggregation) == (
        played.policy.adjustment_type,
        played.policy.cooldown_s,
        played.policy.aggregation,
    )
    assert launched.min_adjustment_magnitude == played.policy.min_adjustment_magnitude == 1
    for ours, theirs in zip(launched.steps, played.policy.steps, strict=True):
        assert ours.adjustment == theirs.adjustment
        assert ours.lower == pytest.approx(theirs.lower)
        assert ours.upper == pytest.approx(theirs.upper)
    rule = AlarmRule.from_api(alarm)
    assert (rule.comparison, rule.threshold, rule.evaluation_periods, rule.needed) == (
        played.rule.comparison,
        played.rule.threshold,
        played.rule.evaluation_periods,
        played.rule.needed,
    )
    assert rule.treat_missing_data == played.rule.treat_missing_data
    assert (alarm["MetricName"], alarm["Period"]) == ("CPUUtilization", played.period_s)
    assert alarm["AlarmActions"] == [{"Ref": f"{name}Policy"}]


def test_the_forecast_is_on_requests_per_target(everything: dict[str, Any]) -> None:
    forecast = everything["PredictivePolicy"]["PredictiveScalingPolicyConfiguration"]
    rule = PredictivePolicy.from_api("forecast", forecast)
    assert (rule.mode, rule.buffer_s) == ("ForecastAndScale", 600.0)
    (metric,) = forecast["MetricSpecifications"]
    assert metric["TargetValue"] == 2400
    assert metric["PredefinedMetricPairSpecification"]["PredefinedMetricType"] == "ALBRequestCount"


def test_the_schedule_is_in_the_target(everything: dict[str, Any]) -> None:
    first, second = everything["Target"]["ScheduledActions"]
    assert first["Schedule"] == "cron(30 7 * * ? *)"
    assert first["ScalableTargetAction"] == {"MinCapacity": 6}
    assert second["Schedule"] == "cron(0 22 ? * FRI,SAT *)"
    assert second["ScalableTargetAction"] == {"MinCapacity": 1, "MaxCapacity": 20}
    assert len({first["ScheduledActionName"], second["ScheduledActionName"]}) == 2


def test_a_day_named_twice_is_one_day() -> None:
    schedule = (Scheduled(time(7), (5, 0, 0, 1, 2, 3, 4), min_tasks=2),)
    (action,) = resources(Additions(schedule=schedule))["Target"]["ScheduledActions"]
    assert action["Schedule"] == "cron(0 7 ? * MON,TUE,WED,THU,FRI,SAT *)"


def test_the_rest_of_the_template_is_as_it_was() -> None:
    before, after = template(BODY), template(with_additions(BODY, read_additions("all", EXTRA)))
    added = {"CpuStepsPolicy", "CpuStepsAlarm", "CpuStepsInPolicy", "CpuStepsInAlarm"}
    assert set(after["Resources"]) - set(before["Resources"]) == added | {"PredictivePolicy"}
    assert set(after["Rules"]) - set(before["Rules"]) == {
        "FastStepsNeedFastMetrics",
        "ScheduleOfSeveralTasksNeedsSharedStore",
    }
    for section in ("Parameters", "Conditions", "Outputs"):
        assert after[section] == before[section]
    for name, resource in before["Resources"].items():
        if name != "Target":
            assert after["Resources"][name] == resource


def test_a_schedule_of_one_task_needs_no_shared_store() -> None:
    one = {"schedule": [{"at": "22:00", "max_tasks": 1}]}
    body = with_additions(BODY, read_additions("one", one))
    assert "ScheduleOfSeveralTasksNeedsSharedStore" not in template(body)["Rules"]


@pytest.mark.parametrize("rules", ["", "Rules:\n"])
def test_a_template_without_rules_gets_them(rules: str) -> None:
    body = f"{rules}Resources:\n  Target: {{Type: AWS::ApplicationAutoScaling::ScalableTarget}}\n"
    found = template(
        with_additions(body, read_additions("fast", {"cpu_steps": EXTRA["cpu_steps"]}))
    )
    assert set(found["Rules"]) == {"FastStepsNeedFastMetrics"}


def test_steps_on_60_s_metrics_need_no_finer_ones() -> None:
    slow = {**EXTRA["cpu_steps"], "period_s": 60}
    body = with_additions(BODY, read_additions("slow", {"cpu_steps": slow}))
    assert "FastStepsNeedFastMetrics" not in template(body)["Rules"]


def test_a_review_shows_only_what_is_added() -> None:
    body = with_additions(BODY, read_additions("all", EXTRA))
    lines = difflib.unified_diff(BODY.splitlines(), body.splitlines(), n=0)
    assert {line for line in lines if line.startswith("-")} <= {"--- \n", "-"}


def test_cfn_lint_finds_nothing() -> None:
    body = with_additions(BODY, read_additions("all", EXTRA))
    matches = lint(body, config=ManualArgs(regions=["eu-west-1"], include_checks=["I"]))
    found = [f"{match.rule.id} {match.message}" for match in matches]
    # PutMetricAlarm takes 20 s (API reference, Period); the linter does not know that yet.
    assert set(found) <= {"E3615 20 is not one of [10, 30, 60] or a multiple of 60"}


def handler(user_data: Any, stack: str = "dev/scaling") -> ScalingTemplate:
    project = {"project_path": str(ROOT / "sceptre")}
    return ScalingTemplate(stack, {"path": "scaling.yaml"}, user_data, stack_group_config=project)


@pytest.mark.parametrize("user_data", [None, {}, {"metric_period_s": 60}, {"policy_lab": None}])
def test_without_additions_the_template_is_the_file(user_data: Any) -> None:
    assert handler(user_data).handle() == BODY


def test_with_them_they_are_in_it() -> None:
    body = handler({"policy_lab": EXTRA}).handle()
    assert body == with_additions(BODY, read_additions("all", EXTRA))


@pytest.mark.parametrize(("part", "word"), [("predictive", "forecast"), ("schedule", "schedule")])
def test_what_the_local_region_lacks_is_refused_for_it_alone(part: str, word: str) -> None:
    extra = {"policy_lab": {part: EXTRA[part]}}
    assert handler(extra).handle() != BODY
    with pytest.raises(SceptreException, match=f"cannot be launched in local.*has no {word}"):
        handler(extra, "local/scaling").handle()


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    with pytest.raises(SceptreException, match="did you mean cpu_steps"):
        handler({"policy_lab": {"cpu_step": {}}}).handle()
    with pytest.raises(SceptreException, match="holds the unknown 'policylab'; did you mean"):
        handler({"metric_period_s": 60, "policylab": EXTRA}).handle()
    with pytest.raises(SceptreException, match="'lab'; did you mean policy_lab"):
        handler({"metric_period_s": 60, "lab": EXTRA}).handle()
    with pytest.raises(SceptreException, match="policy_lab is no mapping"):
        handler({"policy_lab": [1]}).handle()
