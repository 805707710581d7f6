"""One layer as it was before a deployment, kept so that it can be put back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from runbook.aws import client
from runbook.environment import Environment
from runbook.errors import InputInvalid
from runbook.stacks import changesets, events
from runbook.stacks.deployed import describe, settled, template_body
from runbook.stacks.edit import config_file, write_parameter
from runbook.stacks.following import OnEvent, follow, ignore
from runbook.stacks.launch import LayerOutcome
from runbook.stacks.layers import CAPABILITIES
from runbook.stacks.lock import held
from runbook.stacks.metric_resolution import PARAMETER, is_fast, taken_from
from runbook.stacks.template import secret_parameters
from runbook.stacks.waiting import waiter_for
from runbook.waiting import Patient, Waiter

_FAST_S = "20"


@dataclass(frozen=True)
class Snapshot:
    """Template, parameters and tags of a stack, and its configuration file's text.

    `task_definition` is the ARN of what the service's stack runs.
    """

    name: str
    stack_name: str
    template: str
    parameters: tuple[tuple[str, str], ...]
    tags: tuple[tuple[str, str], ...]
    configuration: str
    task_definition: str = ""

    def request(self) -> dict[str, Any]:
        """What brings the stack back; secret parameters, which cannot be read, stay."""
        secret = secret_parameters(self.template)
        return {
            "StackName": self.stack_name,
            "TemplateBody": self.template,
            "Parameters": [
                {"ParameterKey": key, "UsePreviousValue": True}
                if key in secret
                else {"ParameterKey": key, "ParameterValue": value}
                for key, value in self.parameters
            ],
            "Tags": [{"Key": key, "Value": value} for key, value in self.tags],
            "Capabilities": list(CAPABILITIES),
        }


def take(environment: Environment, layer: str) -> Snapshot | None:
    """The layer as it is now; None while there is nothing to go back to."""
    cloudformation = client(environment, "cloudformation", environment.region_of(layer))
    found = describe(cloudformation, environment.stack_name(layer))
    if found is None or not found.exists:
        return None
    return Snapshot(
        name=layer,
        stack_name=found.stack_name,
        template=template_body(cloudformation, found.stack_name),
        parameters=tuple(found.given.items()),
        tags=tuple(found.tags.items()),
        configuration=config_file(environment, layer).read_text(encoding="utf-8"),
        task_definition=found.outputs.get("TaskDefinitionArn", ""),
    )


def restore(
    environment: Environment,
    snapshot: Snapshot,
    *,
    on_event: OnEvent | None = None,
    waiter: Waiter | None = None,
    tell: Callable[[str], None] = print,
) -> LayerOutcome:
    """Put the layer back, in CloudFormation and in its configuration file.

    20 s metrics stay where the scaling stack acts on them. Raises StackFailed when CloudFormation
    cannot; the file is put back first.
    """
    config_file(environment, snapshot.name).write_text(snapshot.configuration, encoding="utf-8")
    patience = waiter or waiter_for(environment)
    snapshot = _with_metrics(environment, snapshot, patience, tell)
    cloudformation = Patient(
        client(environment, "cloudformation", environment.region_of(snapshot.name)), patience
    )
    with held(environment):
        settled(cloudformation, snapshot.stack_name, patience)
        change_set = changesets.create(cloudformation, snapshot, "UPDATE", patience)
        if change_set.empty:
            return LayerOutcome(snapshot.name, snapshot.stack_name, "no_change", 0)
        mark = events.latest_id(cloudformation, snapshot.stack_name)
        changesets.execute(cloudformation, snapshot.stack_name, change_set.arn)
        follow(
            cloudformation,
            snapshot.name,
            snapshot.stack_name,
            mark=mark,
            done={"UPDATE_COMPLETE"},
            on_event=on_event or ignore,
            waiter=patience,
        )
    return LayerOutcome(snapshot.name, snapshot.stack_name, "restored", len(change_set.changes))


def _with_metrics(
    environment: Environment, snapshot: Snapshot, waiter: Waiter, tell: Callable[[str], None]
) -> Snapshot:
    """The snapshot with the 20 s metrics that the scaling stack, which is not put back, acts on."""
    given = dict(snapshot.parameters)
    if PARAMETER not in given or is_fast(given[PARAMETER]):
        return snapshot
    needs = taken_from(environment, waiter)
    if not needs:
        return snapshot
    tell(f"{PARAMETER} stays {_FAST_S}: the scaling stack acts on such metrics ({needs}).")
    # A file that leaves the parameter to its default is nothing to stumble over here.
    with suppress(InputInvalid):
        write_parameter(config_file(environment, snapshot.name), PARAMETER, _FAST_S)
    return replace(snapshot, parameters=tuple({**given, PARAMETER: _FAST_S}.items()))
