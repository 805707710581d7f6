"""Going back to an earlier revision of the service, by its configuration and a change set.

Pointing ECS at the old revision would be quicker by seconds, but CloudFormation deregisters
what it replaces, and the next deployment would silently bring the fault back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runbook.ecs.revisions import Revision
from runbook.environment import Environment
from runbook.errors import InputInvalid
from runbook.stacks.edit import config_file, read_parameter, write_parameter
from runbook.stacks.release import Release

_LAYER = "service"

#: Settings of the container that are parameters of the stack, by their environment variable.
_VARIABLES = {"CATALOGUE_SEED": "CatalogueSeed", "LOG_LEVEL": "LogLevel"}


@dataclass(frozen=True)
class Return:
    """What brings a revision's content back: the image, and parameters of the service's stack."""

    release: Release
    parameters: tuple[tuple[str, str], ...]

    def write(self, environment: Environment) -> None:
        """Set them in the service's configuration file."""
        self.release.write(environment)
        path = config_file(environment, _LAYER)
        for name, value in self.parameters:
            write_parameter(path, name, value)


def to_revision(environment: Environment, revision: Revision) -> Return:
    """What of the revision the configuration can say; a setting it does not name stays.

    Raises InputInvalid for a revision whose image is not named by digest.
    """
    if not revision.reference.startswith("@sha256:"):
        raise InputInvalid(
            f"Revision {revision.number} cannot be gone back to",
            f"its image {revision.image} is named by a tag, which may mean another one now",
            "deploy a digest: runbook run 10_deploy -p image=@sha256:...",
        )
    return Return(Release(revision.reference, None), tuple(_parameters(environment, revision)))


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
