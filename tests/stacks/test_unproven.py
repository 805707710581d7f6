"""The note of what served before a deployment that nobody has seen answer yet."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.environment import Environment
from runbook.errors import AwsCallFailed
from runbook.stacks import unproven


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "call")


class Parameters:
    """An SSM that holds parameters."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.error = ""

    def put_parameter(self, Name: str, Value: str, Type: str, Overwrite: bool) -> None:  # noqa: N803
        self._may()
        if Name in self.kept and not Overwrite:
            raise refused("ParameterAlreadyExists")
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

    def _may(self) -> None:
        if self.error:
            raise refused(self.error)


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Parameters:
    fake = Parameters()
    monkeypatch.setattr(unproven, "client", lambda environment, service: fake)
    return fake


def test_the_oldest_note_stays_until_it_is_forgotten(
    environment: Environment, ssm: Parameters
) -> None:
    dev = replace(environment, name="dev")
    assert unproven.noted(dev) == ""
    assert unproven.note(dev, "td:1") is True
    assert unproven.note(dev, "td:1") is True, "a repeated call changes nothing"
    assert unproven.note(dev, "td:2") is False, "td:2 was never seen to answer"
    assert ssm.kept == {"/shop/dev/unproven-deployment": "td:1"}
    assert unproven.noted(dev) == "td:1"
    unproven.forget(dev)
    unproven.forget(dev)
    assert unproven.noted(dev) == ""


def test_rights_that_are_missing_are_named(environment: Environment, ssm: Parameters) -> None:
    ssm.error = "AccessDeniedException"
    for call in (
        lambda: unproven.note(environment, "td:1"),
        lambda: unproven.noted(environment),
        lambda: unproven.forget(environment),
    ):
        with pytest.raises(AwsCallFailed, match=r"PutParameter.* on /shop/local/unproven-dep"):
            call()
