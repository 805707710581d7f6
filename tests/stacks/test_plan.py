"""Planning: what would change, with what the plan itself changes below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runbook.environment import Environment
from runbook.errors import GuardRefused, InputInvalid
from runbook.stacks import proposed_copy
from runbook.stacks.differences import differences
from runbook.stacks.launch import apply
from runbook.stacks.plan import plan_changes
from runbook.stacks.template import handed_on
from runbook.waiting import Waiter

NETWORK_CONFIG = "template: {path: network.yaml}\nparameters: {Cidr: 10.0.0.0/16, Fine: 60}\n"
NETWORK_TEMPLATE = """
Parameters:
  Cidr: {Type: String}
  Fine: {Type: Number}
Resources:
  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: !Ref Cidr}}
Outputs:
  VpcId: {Value: !Ref Vpc}
  Fine: {Value: !Ref Fine}
"""
SERVICE_CONFIG = """
template: {path: service.yaml}
parameters:
  Vpc: !stack_output local/network.yaml::VpcId
  Fine: !stack_output local/network.yaml::Fine
"""
SERVICE_TEMPLATE = """
Parameters:
  Vpc: {Type: String}
  Fine: {Type: Number}
Resources:
  Thing: {Type: AWS::SNS::Topic}
"""


@pytest.fixture
def handing_on(environment: Environment, cloudformation: Any, waiter: Waiter) -> Environment:
    """A deployed environment whose service takes a parameter of the network from its output."""
    for name, text in {
        "config/local/network.yaml": NETWORK_CONFIG,
        "config/local/service.yaml": SERVICE_CONFIG,
        "templates/network.yaml": NETWORK_TEMPLATE,
        "templates/service.yaml": SERVICE_TEMPLATE,
    }.items():
        (environment.sceptre_dir / name).write_text(text)
    cloudformation.outputs["shop-local-network"] = {"VpcId": "vpc-1", "Fine": "60"}
    apply(environment, plan_changes(environment, waiter=waiter), waiter=waiter)
    return environment


def refine(environment: Environment) -> None:
    path = environment.sceptre_dir / "config/local/network.yaml"
    path.write_text(path.read_text().replace("Fine: 60", "Fine: 20"))


def test_a_parameter_that_is_handed_on_is_planned_with(
    handing_on: Environment, waiter: Waiter
) -> None:
    assert plan_changes(handing_on, waiter=waiter).empty
    refine(handing_on)
    network, service = plan_changes(handing_on, waiter=waiter).layers
    for layer in (network, service):
        assert layer.operation == "update"
        ((change,),) = (layer.diff.parameters,)
        assert (change.name, change.before, change.after) == ("Fine", "60", "20")


def test_a_parameter_that_is_left_to_its_default_is_planned_with_too(
    handing_on: Environment, waiter: Waiter
) -> None:
    template = handing_on.sceptre_dir / "templates/network.yaml"
    template.write_text(
        template.read_text().replace("{Type: Number}", "{Type: Number, Default: 30}")
    )
    path = handing_on.sceptre_dir / "config/local/network.yaml"
    path.write_text(path.read_text().replace(", Fine: 60", ""))
    found = differences(handing_on)
    for diff in (plan_changes(handing_on, waiter=waiter).layers[1].diff, found["service"]):
        ((change,),) = (diff.parameters,)
        assert (change.before, change.after) == ("60", "30")


def test_a_value_with_braces_is_a_value(handing_on: Environment, waiter: Waiter) -> None:
    path = handing_on.sceptre_dir / "config/local/network.yaml"
    path.write_text(path.read_text().replace("Fine: 60", "Fine: '{}'"))
    ((change,),) = (plan_changes(handing_on, waiter=waiter).layers[1].diff.parameters,)
    assert change.after == "{}"


def test_what_the_plan_does_not_change_stays_as_it_is_deployed(
    handing_on: Environment, waiter: Waiter
) -> None:
    refine(handing_on)
    assert plan_changes(handing_on, ["service"], waiter=waiter).empty


def test_only_plain_parameters_are_handed_on() -> None:
    template = """
Parameters:
  One: {Type: String}
  Many: {Type: List<String>}
  Latest: {Type: AWS::SSM::Parameter::Value<String>}
Resources:
  Thing: {Type: AWS::SNS::Topic}
Outputs:
  One: {Value: !Ref One}
  Long: {Value: {Ref: One}}
  Many: {Value: !Ref Many}
  Latest: {Value: !Ref Latest}
  Thing: {Value: !Ref Thing}
  Part: {Value: !Sub "${One}"}
  Text: {Value: One}
  Perhaps: {Value: !Ref One, Condition: Sometimes}
"""
    assert handed_on(template) == {"One": "One", "Long": "One"}


def test_metrics_that_scaling_acts_on_are_not_planned_away(
    handing_on: Environment, cloudformation: Any, waiter: Waiter
) -> None:
    given = {"Vpc": "vpc-1", "Fine": "60", "MetricResolutionS": "20"}
    cloudformation._store("shop-local-service", "CREATE_COMPLETE", SERVICE_TEMPLATE, given)
    fast = {"EcsMetricPeriodS": "20"}
    cloudformation._store("shop-local-scaling", "CREATE_COMPLETE", "{}", fast)
    with pytest.raises(GuardRefused, match="runbook change local slower scaling"):
        plan_changes(handing_on, waiter=waiter)
    assert "plan UPDATE shop-local-service" not in cloudformation.calls


def test_an_error_in_a_copy_names_the_file_that_people_edit(
    handing_on: Environment, tmp_path: Path
) -> None:
    edited = handing_on.sceptre_dir / "config" / "local"
    (edited / "network.yaml").write_text("template: {path: missing.yaml}\n")
    copy = proposed_copy(proposed_copy(handing_on, tmp_path / "a"), tmp_path / "b")
    with pytest.raises(InputInvalid, match=f"mend {edited}") as caught:
        plan_changes(copy)
    assert str(copy.sceptre_dir) not in str(caught.value)


def test_a_template_that_is_no_yaml_is_said(handing_on: Environment) -> None:
    (handing_on.sceptre_dir / "templates/network.yaml").write_text("Parameters: {\n")
    with pytest.raises(InputInvalid, match=r"A template cannot be read: .*line 3"):
        plan_changes(handing_on)


def test_what_a_missing_stack_would_create_is_counted(
    environment: Environment, cloudformation: Any, waiter: Waiter
) -> None:
    missing = differences(environment)
    # The network's flow log stands behind a condition.
    assert {name: item.creates for name, item in missing.items()} == {
        "network": (1, 2),
        "service": (2, 2),
    }
    apply(environment, plan_changes(environment, waiter=waiter), waiter=waiter)
    assert [item.creates for item in differences(environment).values()] == [None, None]
