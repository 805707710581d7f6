"""Going back to an earlier revision of the service, by its configuration and a change set.

Pointing ECS at the old revision would be quicker by seconds, but CloudFormation deregisters
what it replaces, and the next deployment would silently bring the fault back.
"""

from __future__ import annotations

from collections.abc import Iterator

from runbook.aws import client
from runbook.ecs.revisions import Revision
from runbook.environment import Environment
from runbook.errors import InputInvalid
from runbook.stacks import events
from runbook.stacks.edit import config_file, read_parameter
from runbook.stacks.release import Release

_LAYER = "service"

_REVISION = "AWS::ECS::TaskDefinition"
_DONE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
_ROLLED_BACK = frozenset({"ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"})

#: Settings of the container that are parameters of the stack, by their environment variable.
_VARIABLES = {"CATALOGUE_SEED": "CatalogueSeed", "LOG_LEVEL": "LogLevel"}


def to_revision(environment: Environment, revision: Revision) -> Release:
    """The revision's image, pinned, with what else of it the configuration can say.

    A setting that it does not name stays.

    Raises InputInvalid for a revision whose image is not named by digest.
    """
    if not revision.reference.startswith("@sha256:"):
        raise InputInvalid(
            f"Revision {revision.number} cannot be gone back to",
            f"its image {revision.image} is named by a tag, which may mean another one now",
            "deploy a digest: runbook run 10_deploy -p image=@sha256:...",
        )
    return Release(revision.reference, parameters=tuple(_parameters(environment, revision)))


def never_served(environment: Environment) -> frozenset[str]:
    """The ARNs of task definitions with which a change of the service's stack failed.

    As far back as CloudFormation keeps events, 90 days.
    """
    stack_name = environment.stack_name(_LAYER)
    cloudformation = client(environment, "cloudformation", environment.region_of(_LAYER))
    history = list(events.newest_first(cloudformation, stack_name))[::-1]
    made: set[str] = set()
    served: set[str] = set()
    failed: set[str] = set()
    for event in history:
        if event.resource_type == _REVISION and event.status in _DONE:
            made.add(event.physical_id)
        elif event.of_stack and event.status in _DONE:
            served |= made
            made = set()
        elif event.of_stack and event.status in _ROLLED_BACK:
            failed |= made
            made = set()
    return frozenset(failed - served)


def _parameters(environment: Environment, revision: Revision) -> Iterator[tuple[str, str]]:
    settings = dict(revision.settings)
    wanted = {"TaskCpu": str(revision.cpu), "TaskMemory": str(revision.memory_mib)}
    wanted |= {
        name: settings[variable] for variable, name in _VARIABLES.items() if variable in settings
    }
    path = config_file(environment, _LAYER)
    for name, value in wanted.items():
        try:
            present = read_parameter(path, name)
        except InputInvalid:
            # Left to the template's default, or computed: not ours to write.
            continue
        if present != value:
            yield name, value
