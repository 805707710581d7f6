"""Who reaches the balancer: what a change of `Exposure` replaces, and what goes together."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from local_region.cloudformation.schemas import schema_of

Template = dict[str, Any]
EXPOSURES = ("internet", "cloudfront", "vpc-origin")


def chosen(value: Any, template: Template, exposure: str) -> Any:
    """A value, or the side of an `!If` on nothing but Exposure that is taken."""
    if not (isinstance(value, dict) and "Fn::If" in value):
        return value
    name, yes, no = value["Fn::If"]
    condition = template["Conditions"][name]
    assert condition["Fn::Equals"][0] == {"Ref": "Exposure"}, condition
    return yes if condition["Fn::Equals"][1] == exposure else no


def replaced(name: str, template: Template, before: str, after: str) -> bool:
    """Whether the resource is replaced when Exposure changes, all else being as it was."""
    resource = template["Resources"][name]
    schema = schema_of(resource["Type"])
    assert schema is not None
    given = [resource["Properties"].get(item) for item in schema.create_only]
    old, new = ([chosen(value, template, side) for value in given] for side in (before, after))
    return old != new


@pytest.mark.parametrize(("before", "after"), list(permutations(EXPOSURES, 2)))
def test_a_target_group_is_replaced_with_its_balancer(
    before: str, after: str, templates: dict[str, Template]
) -> None:
    # It belongs to one balancer: a new one could not have it while the old one is still there.
    balancer = templates["balancer"]
    is_replaced = replaced("Balancer", balancer, before, after)
    assert is_replaced == ("vpc-origin" in (before, after))
    assert replaced("Targets", balancer, before, after) == is_replaced


def test_the_service_follows_the_target_group(
    stacks: dict[tuple[str, str], Any], templates: dict[str, Template]
) -> None:
    for (environment, layer), config in stacks.items():
        if layer == "service":
            found = config.references["TargetGroupArn"]
            assert found == (f"{environment}/balancer.yaml", "TargetGroupArn")
    assert templates["balancer"]["Outputs"]["TargetGroupArn"]["Value"] == {"Ref": "Targets"}
    (used,) = templates["service"]["Resources"]["Service"]["Properties"]["LoadBalancers"]
    assert used["TargetGroupArn"] == {"Ref": "TargetGroupArn"}
    # So the port of the group itself is nobody's: a task comes with its own.
    assert used["ContainerPort"] == {"Ref": "ContainerPort"}
