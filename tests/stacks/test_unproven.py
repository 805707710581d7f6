"""The note of what served before a deployment that nobody has seen answer yet."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.environment import Environment
from runbook.errors import AwsCallFailed
from runbook.stacks import unproven


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "call")


class Aws:
    """An SSM that holds parameters, and the history of the service's stack."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.error = ""
        self.history: list[dict[str, Any]] = []

    def put_parameter(self, Name: str, Value: str, Type: str, Overwrite: bool) -> None:  # noqa: N803
        self._may()
        assert Overwrite
        self.kept[Name] = Value

    def get_parameter(self, Name: str) -> Any:  # noqa: N803
        self._may()
        if Name not in self.kept:
            raise refused("ParameterNotFound")
        return {"Parameter": {"Value": self.kept[Name]}}

    def delete_parameter(self, Name: str) -> None:  # noqa: N803
        self._may()
        if self.kept.pop(Name, None) is None:
            raise refused("ParameterNotFound")

    def describe_stack_events(self, StackName: str) -> Any:  # noqa: N803
        return {"StackEvents": [e for e in self.history[::-1] if e["StackName"] == StackName]}

    def changes(self, ends: str) -> None:
        """A change of the service's stack, from its first event to its last."""
        for kind, status in [
            ("AWS::CloudFormation::Stack", "UPDATE_IN_PROGRESS"),
            ("AWS::ECS::TaskDefinition", "UPDATE_COMPLETE"),
            ("AWS::CloudFormation::Stack", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
            ("AWS::CloudFormation::Stack", ends),
        ]:
            self.history.append(
                {
                    "EventId": str(len(self.history)),
                    "Timestamp": datetime(2026, 1, 1, tzinfo=UTC),
                    "StackName": "shop-dev-service",
                    "ResourceType": kind,
                    "ResourceStatus": status,
                }
            )

    def _may(self) -> None:
        if self.error:
            raise refused(self.error)


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Aws:
    fake = Aws()
    monkeypatch.setattr(unproven, "client", lambda environment, service, region="": fake)
    return fake


@pytest.fixture
def dev(environment: Environment) -> Environment:
    (environment.sceptre_dir / "config/dev").symlink_to(environment.sceptre_dir / "config/local")
    return replace(environment, name="dev")


def test_what_served_before_the_last_change_is_noted_until_it_is_forgotten(
    dev: Environment, ssm: Aws
) -> None:
    assert unproven.noted(dev) == ""
    ssm.changes("UPDATE_COMPLETE")
    assert unproven.note(dev, "td:1") is True
    ssm.changes("UPDATE_COMPLETE")
    assert unproven.noted(dev) == "td:1"
    assert list(ssm.kept) == ["/shop/dev/unproven-deployment"]
    unproven.forget(dev)
    unproven.forget(dev)
    assert unproven.noted(dev) == ""


def test_what_was_seen_to_answer_stays_noted_when_another_change_follows(
    dev: Environment, ssm: Aws
) -> None:
    unproven.note(dev, "td:1")
    ssm.changes("UPDATE_COMPLETE")
    assert unproven.note(dev, "td:2") is False, "td:2 was never seen to answer"
    ssm.changes("UPDATE_COMPLETE")
    assert unproven.noted(dev) == "td:1"


@pytest.mark.parametrize(
    "since",
    [
        [],
        ["UPDATE_ROLLBACK_COMPLETE"],
        ["UPDATE_COMPLETE", "UPDATE_COMPLETE"],
        ["UPDATE_ROLLBACK_COMPLETE", "UPDATE_COMPLETE"],
    ],
)
def test_a_note_that_is_not_about_what_serves_now_is_dropped(
    dev: Environment, ssm: Aws, since: list[str]
) -> None:
    unproven.note(dev, "td:1")
    for end in since:
        ssm.changes(end)
    assert unproven.noted(dev) == ""
    assert ssm.kept == {}


def test_a_later_change_that_was_taken_back_leaves_the_note_good(
    dev: Environment, ssm: Aws
) -> None:
    unproven.note(dev, "td:1")
    ssm.changes("UPDATE_COMPLETE")
    ssm.changes("UPDATE_ROLLBACK_COMPLETE")
    assert unproven.noted(dev) == "td:1"


def test_a_note_that_cannot_be_read_is_dropped(dev: Environment, ssm: Aws) -> None:
    ssm.kept["/shop/dev/unproven-deployment"] = "arn:td:1"
    assert unproven.noted(dev) == ""
    assert ssm.kept == {}


def test_rights_that_are_missing_are_named(environment: Environment, ssm: Aws) -> None:
    ssm.error = "AccessDeniedException"
    for call in (
        lambda: unproven.note(environment, "td:1"),
        lambda: unproven.noted(environment),
        lambda: unproven.forget(environment),
    ):
        with pytest.raises(AwsCallFailed, match=r"PutParameter.* on /shop/local/unproven-dep"):
            call()
