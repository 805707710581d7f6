"""What stands below `policy_lab` of a `scaling.yaml`, as resources of the scaling stack.

CloudFormation parameters hold numbers, not ladders of steps, so they are put into the template
when Sceptre reads it: `template: {type: scaling, path: scaling.yaml}`. They come from the same
values that the lab plays. Without a `policy_lab` the template is the file, to the letter.
"""

from __future__ import annotations

from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from sceptre.exceptions import SceptreException
from sceptre.template_handlers.file import File

from runbook.errors import InputInvalid
from runbook.lab.additions import Additions, policy_lab, read_additions, require_launchable
from runbook.lab.policy import Predictive, Scheduled, Stepped

Resource = dict[str, Any]
_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


class ScalingTemplate(File):  # type: ignore[misc]  # untyped base
    """A template file, and what its stack's user data have below `policy_lab`."""

    def handle(self) -> str:
        """The template's text. Raises SceptreException, so that Sceptre shows the sentence."""
        body = str(super().handle())
        try:
            where = f"of {self.name}"
            extra = policy_lab(where, self.sceptre_user_data or {})
            additions = read_additions(where, extra)
            require_launchable(where, self.name.rpartition("/")[0], additions)
            return with_additions(body, additions) if extra else body
        except InputInvalid as error:
            raise SceptreException(str(error)) from error
        except YAMLError as error:
            raise SceptreException(f"{self.path} cannot be completed: {error}") from error


def with_additions(body: str, additions: Additions) -> str:
    """The scaling template with the resources of `additions`, else as people wrote it.

    So that a review shows what was added, and not a template that was written anew.
    """
    yaml = _round_trip()
    template = yaml.load(body)
    resources = template["Resources"]
    rules = {}
    for name, steps in (("CpuSteps", additions.cpu_steps), ("CpuStepsIn", additions.cpu_steps_in)):
        if steps is not None:
            resources[f"{name}Policy"] = _step_policy(steps)
            resources[f"{name}Alarm"] = _step_alarm(steps, f"{name}Policy")
    if additions.predictive is not None:
        resources["PredictivePolicy"] = _predictive_policy(additions.predictive)
    if additions.schedule:
        resources["Target"]["Properties"]["ScheduledActions"] = [
            _scheduled_action(at, action) for at, action in enumerate(additions.schedule, start=1)
        ]
    if additions.fast:
        rules["FastStepsNeedFastMetrics"] = _must_be(
            "ServiceMetricResolutionS",
            "20",
            "Steps on CPU finer than 60 s need MetricResolutionS 20 in service.yaml, launched"
            " before or with them",
        )
    if additions.most_tasks > 1:
        rules["ScheduleOfSeveralTasksNeedsSharedStore"] = _must_be(
            "StoreShared",
            "true",
            "The schedule allows several tasks, and each has a SQLite file of its own. For more"
            " tasks set StoreEngine postgresql in the data stack",
        )
    if template.get("Rules"):
        template["Rules"].update(rules)
    elif rules:
        template["Rules"] = rules
    written = StringIO()
    yaml.dump(template, written)
    return written.getvalue()


def _round_trip() -> YAML:
    """Reads and writes YAML in the form of our templates: indents, quotes and line length."""
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 96
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _policy(suffix: str, kind: str, configuration: Resource) -> Resource:
    return {
        "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
        "Properties": {
            "PolicyName": {"Fn::Sub": f"${{AWS::StackName}}-{suffix}"},
            "PolicyType": kind,
            "ScalingTargetId": {"Ref": "Target"},
            f"{kind}PolicyConfiguration": configuration,
        },
    }


def _step_policy(steps: Stepped) -> Resource:
    policy = steps.policy
    configuration: Resource = {
        "AdjustmentType": policy.adjustment_type,
        "Cooldown": int(policy.cooldown_s),
        "MetricAggregationType": policy.aggregation,
        "StepAdjustments": [
            {
                name: value
                for name, value in (
                    ("MetricIntervalLowerBound", _bound(step.lower)),
                    ("MetricIntervalUpperBound", _bound(step.upper)),
                    ("ScalingAdjustment", step.adjustment),
                )
                if value is not None
            }
            for step in policy.steps
        ],
    }
    if policy.min_adjustment_magnitude is not None:
        configuration["MinAdjustmentMagnitude"] = policy.min_adjustment_magnitude
    # Under the name it has in the file: a policy is known by what follows the last hyphen.
    return _policy(policy.name.replace("-", "_"), "StepScaling", configuration)


def _bound(value: float | None) -> float | None:
    # Edges are given to fractions of a percent; their differences carry binary dust.
    return None if value is None else round(value, 6)


def _step_alarm(steps: Stepped, policy: str) -> Resource:
    rule = steps.rule
    adds = rule.comparison.startswith("Greater")
    side, verb = ("above", "adds") if adds else ("below", "removes")
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmDescription": (
                f"CPU {side} {rule.threshold:g} % for {rule.evaluation_periods} datapoint(s) of"
                f" {steps.period_s} s {verb} tasks, the more the further. It scales and tells"
                " nobody; scaling.yaml says below policy_lab how much and why."
            ),
            "Namespace": "AWS/ECS",
            "MetricName": "CPUUtilization",
            "Dimensions": [
                {"Name": "ClusterName", "Value": {"Ref": "ClusterName"}},
                {"Name": "ServiceName", "Value": {"Ref": "ServiceName"}},
            ],
            "Statistic": "Average",
            "Period": steps.period_s,
            "Threshold": rule.threshold,
            "ComparisonOperator": rule.comparison,
            "EvaluationPeriods": rule.evaluation_periods,
            "DatapointsToAlarm": rule.needed,
            "TreatMissingData": rule.treat_missing_data,
            "AlarmActions": [{"Ref": policy}],
        },
    }


def _predictive_policy(predictive: Predictive) -> Resource:
    """On the pair RequestCount (load) and RequestCountPerTarget, a minute (API reference)."""
    return _policy(
        "forecast",
        "PredictiveScaling",
        {
            "Mode": "ForecastAndScale",
            "SchedulingBufferTime": int(predictive.buffer_s),
            "MetricSpecifications": [
                {
                    "TargetValue": predictive.requests_per_target,
                    "PredefinedMetricPairSpecification": {
                        "PredefinedMetricType": "ALBRequestCount",
                        "ResourceLabel": {"Ref": "ResourceLabel"},
                    },
                }
            ],
        },
    )


def _scheduled_action(number: int, action: Scheduled) -> Resource:
    """Times are UTC, which is what AWS takes when no time zone is named."""
    hour, minute = action.at.hour, action.at.minute
    days = [name for day, name in enumerate(_DAYS) if day in action.weekdays]
    when = "* * ?" if len(days) == len(_DAYS) else f"? * {','.join(days)}"
    bounds = {"MinCapacity": action.min_tasks, "MaxCapacity": action.max_tasks}
    return {
        "ScheduledActionName": f"policy-lab-{number}",
        "Schedule": f"cron({minute} {hour} {when} *)",
        "ScalableTargetAction": {k: tasks for k, tasks in bounds.items() if tasks is not None},
    }


def _must_be(parameter: str, value: str, why: str) -> Resource:
    assertion = {"Fn::Equals": [{"Ref": parameter}, value]}
    return {"Assertions": [{"Assert": assertion, "AssertDescription": why}]}
