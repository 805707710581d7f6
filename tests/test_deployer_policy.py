"""The deployer's rights: a policy that fits, and leaves out no service of templates or runbook."""

from __future__ import annotations

import ast
import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from runbook.environment import load_environment
from runbook.stacks import unproven
from runbook.stacks.lock import parameter
from runbook.stacks.template import parse

ROOT = Path(__file__).resolve().parent.parent
POLICY = json.loads((ROOT / "docs" / "deployer-policy.json").read_text(encoding="utf-8"))
STATEMENTS = {item["Sid"]: item for item in POLICY["Statement"]}
#: A managed policy may have as many characters, white space aside.
LIMIT = 6144

#: IAM's name of a service where it is not that of the resource type or of boto3's client.
IAM_NAMES = {
    "certificatemanager": "acm",
    "cognito": "cognito-idp",
    "elasticloadbalancingv2": "elasticloadbalancing",
    "applicationautoscaling": "application-autoscaling",
    "elbv2": "elasticloadbalancing",
    "service-quotas": "servicequotas",
}


def services(*statements: dict[str, Any]) -> set[str]:
    """The services whose actions are allowed."""
    actions = [
        action
        for item in statements
        for action in (item["Action"] if isinstance(item["Action"], list) else [item["Action"]])
    ]
    return {action.partition(":")[0] for action in actions}


def clients() -> set[str]:
    """The services that the runbook makes clients of, by IAM's names; asking STS needs no right."""
    found = set()
    for path in (ROOT / "runbook").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("client"):
                names = [a.value for a in node.args if isinstance(a, ast.Constant)]
                found |= {name for name in names[:1] if isinstance(name, str)}
    return {IAM_NAMES.get(name, name) for name in found} - {"sts"}


def test_it_is_a_policy_that_fits_and_gives_no_service_away() -> None:
    assert POLICY["Version"] == "2012-10-17"
    assert len(json.dumps(POLICY, separators=(",", ":"))) <= LIMIT
    assert len(STATEMENTS) == len(POLICY["Statement"])
    for sid, item in STATEMENTS.items():
        assert item["Effect"] == "Allow"
        whole = [action for action in item["Action"] if action.endswith(":*")]
        assert not (whole and item["Resource"] == "*" and "Condition" not in item), sid
    assert "iam:*" not in json.dumps(POLICY)


def test_what_the_templates_hold_may_be_made_through_cloudformation() -> None:
    types = {
        kind
        for path in (ROOT / "sceptre" / "templates").glob("*.yaml")
        for kind in re.findall(r"Type: AWS::(\w+)::\w+$", path.read_text(), re.MULTILINE)
    }
    wanted = {IAM_NAMES.get(kind.lower(), kind.lower()) for kind in types}
    through = STATEMENTS["WhatTheStacksHoldThroughCloudFormationOnly"]
    assert wanted - services(through) == {"cloudformation", "iam"}
    assert through["Condition"]["ForAnyValue:StringEquals"] == {
        "aws:CalledVia": "cloudformation.amazonaws.com"
    }
    assert services(through) - wanted == {"kms"}, "no service that nothing uses"


def test_what_the_runbook_asks_itself_is_allowed_without_cloudformation() -> None:
    direct = [item for sid, item in STATEMENTS.items() if not sid.startswith("WhatTheStacks")]
    assert clients() - services(*direct) == set()


@pytest.mark.parametrize("env", ["dev", "staging", "prod"])
def test_lock_note_and_stacks_are_those_of_the_environment(env: str) -> None:
    environment = load_environment(env, ROOT)
    for name in (parameter(environment), unproven.parameter(environment)):
        allowed = STATEMENTS["LockAndNote"]["Resource"].replace("ENV", env)
        assert fnmatchcase(f"arn:aws:ssm:eu-west-1:ACCOUNT:parameter{name}", allowed)
    allowed = STATEMENTS["StacksOfTheEnvironment"]["Resource"].replace("ENV", env)
    stack = environment.stack_name("network")
    assert fnmatchcase(f"arn:aws:cloudformation:eu-west-1:ACCOUNT:stack/{stack}/1", allowed)


def test_every_service_that_takes_a_role_of_ours_may_be_given_it_and_no_other() -> None:
    takers = {
        statement["Principal"]["Service"]
        for path in (ROOT / "sceptre" / "templates").glob("*.yaml")
        for item in parse(path.read_text(encoding="utf-8"))["Resources"].values()
        if item["Type"] == "AWS::IAM::Role"
        for statement in item["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    }
    passed = STATEMENTS["RolesGivenToServices"]["Condition"]["StringEquals"]
    assert set(passed["iam:PassedToService"]) == takers
