"""Metrics finer than a minute stay as long as the deployed scaling stack acts on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook.aws import client
from runbook.environment import Environment
from runbook.errors import GuardRefused
from runbook.stacks.deployed import describe, template_body
from runbook.stacks.template import parse

PARAMETER = "MetricResolutionS"
_STANDARD_S = 60


def require_fast_metrics_kept(environment: Environment, parameters: Mapping[str, Any]) -> None:
    """Refuse to launch the service with `parameters` that take 20 s metrics from its scaling.

    Launching the scaling stack on metrics that are not there is refused by the stack itself.
    Raises GuardRefused.
    """
    wanted_s = str(parameters.get(PARAMETER, _STANDARD_S))
    if _is_fast(wanted_s) or not _is_fast(_deployed(environment, "service").get(PARAMETER)):
        return
    needs = _needs_fast(environment)
    if needs:
        name = environment.name
        raise GuardRefused(
            f"The 20 s metrics of {name} are not switched off",
            f"its deployed scaling stack acts on them: {needs}",
            f"bring scaling.yaml back to 60 s and launch that first: runbook change {name} slower"
            " scaling",
        )


def _needs_fast(environment: Environment) -> str:
    """What of the deployed scaling stack has metrics finer than a minute; "" for nothing."""
    parameters = _deployed(environment, "scaling")
    if not parameters:
        return ""
    cloudformation = client(environment, "cloudformation", environment.region_of("scaling"))
    template = parse(template_body(cloudformation, environment.stack_name("scaling")))
    alarms = {
        name: resource["Properties"]
        for name, resource in (template.get("Resources") or {}).items()
        if resource.get("Type") == "AWS::CloudWatch::Alarm"
    }
    found = ["EcsMetricPeriodS"] if _is_fast(parameters.get("EcsMetricPeriodS")) else []
    found += [
        name
        for name, alarm in alarms.items()
        if alarm.get("Namespace") == "AWS/ECS" and _is_fast(alarm.get("Period"))
    ]
    return ", ".join(found)


def _is_fast(period_s: Any) -> bool:
    return str(period_s).isdigit() and int(period_s) < _STANDARD_S


def _deployed(environment: Environment, layer: str) -> Mapping[str, str]:
    """The parameters of a deployed layer, none where it is not there."""
    cloudformation = client(environment, "cloudformation", environment.region_of(layer))
    found = describe(cloudformation, environment.stack_name(layer))
    return found.parameters if found is not None and found.exists else {}
