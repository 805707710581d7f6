"""What a rollback passes over, and what of a revision the configuration can say."""

from datetime import UTC, datetime
from typing import Any

import pytest

from runbook.ecs.revisions import Revision
from runbook.environment import Environment
from runbook.errors import InputInvalid
from runbook.stacks import rollback
from runbook.stacks.edit import config_file, read_parameter

STACK, REVISION = "AWS::CloudFormation::Stack", "AWS::ECS::TaskDefinition"


class History:
    """A stack's events, given as (type, status, physical id) from the oldest."""

    def __init__(self, *events: tuple[str, str, str]) -> None:
        self.events = events

    def describe_stack_events(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        at = datetime(2026, 1, 1, tzinfo=UTC)
        return {
            "StackEvents": [
                {"EventId": str(n), "Timestamp": at, "StackName": StackName, "ResourceType": kind,
                 "ResourceStatus": status, "PhysicalResourceId": physical_id}
                for n, (kind, status, physical_id) in enumerate(self.events)
            ][::-1]
        }  # fmt: skip


def test_a_revision_whose_change_was_rolled_back_never_served(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(
        (REVISION, "CREATE_COMPLETE", "td:1"), (STACK, "CREATE_COMPLETE", "s"),
        (REVISION, "UPDATE_COMPLETE", "td:2"), (STACK, "UPDATE_ROLLBACK_IN_PROGRESS", "s"),
        (REVISION, "UPDATE_COMPLETE", "td:1"), (STACK, "UPDATE_ROLLBACK_COMPLETE", "s"),
        (REVISION, "UPDATE_COMPLETE", "td:3"), (STACK, "UPDATE_COMPLETE", "s"),
    )  # fmt: skip
    monkeypatch.setattr(rollback, "client", lambda environment, service, region="": history)
    assert rollback.never_served(environment) == {"td:2"}


def revision(image: str, **settings: str) -> Revision:
    return Revision(
        1, "td:1", False, image, 256, 512, tuple(settings.items()), (), None, current=False
    )


def test_only_what_differs_and_is_configured_is_written(environment: Environment) -> None:
    path = config_file(environment, "service")
    path.write_text(
        path.read_text() + "  ImageReference: ':v2'\n  TaskCpu: 256\n  LogLevel: info\n"
    )
    back = rollback.to_revision(
        environment, revision("repo@sha256:ab", LOG_LEVEL="debug", CATALOGUE_SEED="7")
    )
    assert back.parameters == (("LogLevel", "debug"),)
    back.write(environment)
    assert read_parameter(path, "ImageReference") == "@sha256:ab"
    assert read_parameter(path, "LogLevel") == "debug"


def test_a_tag_is_no_version_to_go_back_to(environment: Environment) -> None:
    with pytest.raises(InputInvalid, match="named by a tag"):
        rollback.to_revision(environment, revision("repo:v1"))
