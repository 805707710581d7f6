"""Metrics finer than a minute stay as long as the deployed scaling stack acts on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook.aws import client
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, GuardRefused
from runbook.stacks.deployed import settled, template_body
from runbook.stacks.template import parse
from runbook.stacks.waiting import waiter_for
from runbook.waiting import FAULTS, Patient, Waiter

PARAMETER = "MetricResolutionS"
_STANDARD_S = 60


def require_fast_metrics_kept(
    environment: Environment, parameters: Mapping[str, Any], waiter: Waiter | None = None
) -> None:
    """Refuse to launch the service with `parameters` that take 20 s metrics from its scaling.

    Launching the scaling stack on metrics that are not there is refused by the stack itself.
    Raises GuardRefused, AwsCallFailed.
    """
    if is_fast(parameters.get(PARAMETER)):
        return
    needs = taken_from(environment, waiter)
    if needs:
        name = environment.name
        raise GuardRefused(
            f"The 20 s metrics of {name} are not switched off",
            f"its deployed scaling stack acts on them: {needs}",
            f"keep them ({PARAMETER}: 20 in service.yaml); or bring all of that back to 60 s in"
            f" scaling.yaml and launch it first: runbook change {name} slower scaling; then both:"
            f" runbook change {name} coarser service scaling",
        )


def taken_from(environment: Environment, waiter: Waiter | None = None) -> str:
    """What of the deployed scaling stack would be without metrics if those of 20 s went.

    Names of it; "" where nothing is, or where the deployed service has none. What is wrong already
    is not made worse, and must not keep a release from going out. Raises AwsCallFailed.
    """
    patience = waiter or waiter_for(environment)
    try:
        service, _ = _deployed(environment, "service", patience)
        return _acting(environment, patience) if is_fast(service.get(PARAMETER)) else ""
    except FAULTS as error:
        raise AwsCallFailed(
            f"What acts on the metrics of {environment.name} cannot be found out",
            str(error),
            "run this again",
        ) from error


def is_fast(period_s: Any) -> bool:
    """Whether a period, as a parameter has it, is finer than a minute."""
    return str(period_s).isdigit() and int(period_s) < _STANDARD_S


def _acting(environment: Environment, waiter: Waiter) -> str:
    """What of the deployed scaling stack has metrics finer than a minute; "" for nothing."""
    parameters, body = _deployed(environment, "scaling", waiter)
    alarms = {
        name: resource.get("Properties") or {}
        for name, resource in (parse(body).get("Resources") or {}).items()
        if resource.get("Type") == "AWS::CloudWatch::Alarm"
    }
    found = ["EcsMetricPeriodS"] if is_fast(parameters.get("EcsMetricPeriodS")) else []
    found += [
        name
        for name, alarm in alarms.items()
        if alarm.get("Namespace") == "AWS/ECS" and is_fast(alarm.get("Period"))
    ]
    return ", ".join(found)


def _deployed(
    environment: Environment, layer: str, waiter: Waiter
) -> tuple[Mapping[str, str], str]:
    """The parameters and the template of a deployed layer, empty where it is not there."""
    region = environment.region_of(layer)
    cloudformation = Patient(client(environment, "cloudformation", region), waiter)
    found = settled(cloudformation, environment.stack_name(layer), waiter)
    if found is None or not found.exists:
        return {}, ""
    return found.parameters, template_body(cloudformation, found.stack_name)
