"""A small Sceptre project and a CloudFormation that lives in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from runbook.environment import Environment
from runbook.stacks import deployed, differences, failures, launch, metric_resolution, plan, remove
from runbook.stacks.template import resources
from runbook.waiting import Waiter

TOP = "project_code: shop\nregion: eu-west-1\nstack_tags:\n  project: shop\n"
GROUP = 'sceptre_user_data:\n  account_id: "000000000000"\n  metric_period_s: 10\n'
NETWORK_CONFIG = """
template:
  path: network.yaml
parameters:
  Cidr: 10.0.0.0/16  # ours
"""
SERVICE_CONFIG = """
template:
  path: service.yaml
parameters:
  Vpc: !stack_output local/network.yaml::VpcId
  Where: !join [":", [!stack_output local/network.yaml::VpcId, tail]]
  Password: hunter2
"""
NETWORK_TEMPLATE = """
Parameters:
  Cidr: {Type: String}
Resources:
  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: !Ref Cidr}}
  Flow: {Type: AWS::EC2::FlowLog, Condition: WithFlow}
Outputs:
  VpcId: {Value: !Ref Vpc}
"""
SERVICE_TEMPLATE = """
Parameters:
  Vpc: {Type: String}
  Where: {Type: String}
  Password: {Type: String, NoEcho: true}
  Pin: {Type: String, NoEcho: true, Default: ""}
  Size: {Type: Number, Default: 3}
Resources:
  Store: {Type: AWS::S3::Bucket}
  Thing: {Type: AWS::SNS::Topic}
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setenv("RUNBOOK_LOCAL_REGION_DIR", str(tmp_path / "region"))
    folder = tmp_path / "sceptre"
    files = {
        "config/config.yaml": TOP,
        "config/local/config.yaml": GROUP,
        "config/local/network.yaml": NETWORK_CONFIG,
        "config/local/service.yaml": SERVICE_CONFIG,
        "templates/network.yaml": NETWORK_TEMPLATE,
        "templates/service.yaml": SERVICE_TEMPLATE,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Environment("local", "shop", "eu-west-1", "000000000000", 10, tmp_path, folder)


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> FakeCloudFormation:
    fake = FakeCloudFormation()
    for module in (deployed, differences, failures, launch, metric_resolution, plan, remove):
        monkeypatch.setattr(module, "client", lambda environment, service, region="": fake)
    return fake


@pytest.fixture
def waiter() -> Waiter:
    ticks = itertools.count()
    return Waiter(0.0, 50.0, now=lambda: float(next(ticks)), sleep=lambda seconds: None)


@pytest.fixture
def launched(
    environment: Environment, cloudformation: FakeCloudFormation, waiter: Waiter
) -> FakeCloudFormation:
    """Both layers, deployed as configured."""
    launch.apply(environment, plan.plan_changes(environment, waiter=waiter), waiter=waiter)
    cloudformation.calls.clear()
    return cloudformation


def refused(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "call")


class FakeCloudFormation:
    """Create, update and delete stacks at once; resources named in `broken` fail.

    An operation looks busy for one describe. `replacing` maps logical ids to the replacement
    that an update of them reports.
    """

    def __init__(self) -> None:
        self.stacks: dict[str, dict[str, Any]] = {}
        self.change_sets: dict[str, dict[str, Any]] = {}
        self.history: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.broken: dict[str, str] = {}
        self.replacing: dict[str, str] = {}
        self.outputs: dict[str, dict[str, str]] = {"shop-local-network": {"VpcId": "vpc-1"}}
        self.page_size = 3
        self.on_execute: Callable[[str], None] = lambda name: None
        self._clock = datetime(2026, 1, 1, tzinfo=UTC)

    # --- stacks

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        stack = self.stacks.get(StackName)
        if stack is None:
            raise refused("ValidationError", f"Stack with id {StackName} does not exist")
        shown = dict(stack)
        if stack["queue"]:
            shown["StackStatus"] = stack["queue"].pop(0)
            if shown["StackStatus"] == "GONE":
                del self.stacks[StackName]
                raise refused("ValidationError", f"Stack with id {StackName} does not exist")
            stack["StackStatus"] = shown["StackStatus"]
        done = shown["StackStatus"] not in {"REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE"}
        outputs = self.outputs.get(StackName, {}) if done else {}
        shown["Outputs"] = [{"OutputKey": k, "OutputValue": v} for k, v in outputs.items()]
        return {"Stacks": [shown]}

    def get_template(self, StackName: str, TemplateStage: str) -> dict[str, Any]:  # noqa: N803
        return {"TemplateBody": self.stacks[StackName]["template"]}

    def list_stack_resources(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        gone = {"LogicalResourceId": "Gone", "ResourceStatus": "DELETE_COMPLETE"}
        there = [
            {"LogicalResourceId": item.logical_id, "ResourceStatus": "CREATE_COMPLETE"}
            for item in self._resources(StackName)
        ]
        return {"StackResourceSummaries": [gone, *there]}

    def delete_stack(self, StackName: str) -> None:  # noqa: N803
        self.calls.append(f"delete {StackName}")
        self._event(StackName, None, "DELETE_IN_PROGRESS")
        failed = [item.logical_id for item in self._resources(StackName)]
        failed = [name for name in failed if name in self.broken]
        for name in failed:
            self._event(StackName, name, "DELETE_FAILED", self.broken[name])
        ending = "DELETE_FAILED" if failed else "GONE"
        if failed:
            self._event(StackName, None, ending)
        self.stacks[StackName]["queue"] = ["DELETE_IN_PROGRESS", ending]

    # --- change sets

    def create_change_set(self, ClientToken: str, **request: Any) -> dict[str, Any]:  # noqa: N803
        assert ClientToken == request["ChangeSetName"]
        name, kind = request["StackName"], request["ChangeSetType"]
        self.calls.append(f"plan {kind} {name}")
        arn = f"arn:{len(self.change_sets)}"
        old = self.stacks.get(name)
        wanted = {p["ParameterKey"]: p["ParameterValue"] for p in request["Parameters"]}
        if kind == "CREATE" and old is None:
            self._store(name, "REVIEW_IN_PROGRESS", "", {})
            old = None
        same = old is not None and (old["template"], old["given"]) == (
            request["TemplateBody"],
            wanted,
        )
        changes = [] if same else self._changes(request["TemplateBody"], old)
        self.change_sets[arn] = {
            "Status": "FAILED" if same else "CREATE_COMPLETE",
            "StatusReason": "The submitted information didn't contain changes." if same else "",
            "changes": changes,
            "request": request,
            "given": wanted,
        }
        return {"Id": arn}

    def describe_change_set(
        self,
        ChangeSetName: str,  # noqa: N803
        StackName: str,  # noqa: N803
        NextToken: str = "0",  # noqa: N803
    ) -> dict[str, Any]:
        found = self.change_sets[ChangeSetName]
        start = int(NextToken)
        page = {
            "Status": found["Status"],
            "StatusReason": found["StatusReason"],
            "Changes": found["changes"][start : start + 1],
        }
        if start + 1 < len(found["changes"]):
            page["NextToken"] = str(start + 1)
        return page

    def delete_change_set(self, ChangeSetName: str, StackName: str) -> None:  # noqa: N803
        if self.change_sets.pop(ChangeSetName, None) is None:
            raise refused("ChangeSetNotFound", "gone")

    def execute_change_set(
        self,
        ChangeSetName: str,  # noqa: N803
        StackName: str,  # noqa: N803
        ClientRequestToken: str,  # noqa: N803
    ) -> None:
        found = self.change_sets.pop(ChangeSetName)
        kind = found["request"]["ChangeSetType"]
        self.calls.append(f"execute {kind} {StackName}")
        self.on_execute(StackName)
        self._event(StackName, None, f"{kind}_IN_PROGRESS")
        failed = False
        for change in found["changes"]:
            name = change["ResourceChange"]["LogicalResourceId"]
            if name in self.broken:
                failed = True
                self._event(StackName, name, f"{kind}_FAILED", self.broken[name])
            elif failed:
                self._event(StackName, name, f"{kind}_FAILED", "Resource creation cancelled")
            else:
                self._event(StackName, name, f"{kind}_COMPLETE")
        back = "ROLLBACK" if kind == "CREATE" else "UPDATE_ROLLBACK"
        ending = f"{back}_COMPLETE" if failed else f"{kind}_COMPLETE"
        if failed:
            self._event(StackName, None, f"{back}_IN_PROGRESS")
        self._event(StackName, None, ending)
        if not failed:
            self._store(StackName, ending, found["request"]["TemplateBody"], found["given"])
        self.stacks[StackName]["queue"] = [f"{kind}_IN_PROGRESS", ending]

    def describe_stack_events(
        self,
        StackName: str,  # noqa: N803
        NextToken: str = "0",  # noqa: N803
    ) -> dict[str, Any]:
        own = [item for item in self.history if item["StackName"] == StackName][::-1]
        if not own:
            raise refused("ValidationError", f"Stack [{StackName}] does not exist")
        start = int(NextToken)
        page: dict[str, Any] = {"StackEvents": own[start : start + self.page_size]}
        if start + self.page_size < len(own):
            page["NextToken"] = str(start + self.page_size)
        return page

    # --- inside

    def _resources(self, stack_name: str) -> tuple[Any, ...]:
        return resources(self.stacks[stack_name]["template"] or "{}")

    def _changes(self, template: str, old: dict[str, Any] | None) -> list[dict[str, Any]]:
        before = {r.logical_id: r for r in resources((old or {}).get("template") or "{}")}
        after = {r.logical_id: r for r in resources(template)}
        found = []
        for name in {**before, **after}:
            item = after.get(name) or before[name]
            action = "Modify" if name in before and name in after else "Add"
            action = "Remove" if name not in after else action
            change = {
                "LogicalResourceId": name,
                "ResourceType": item.resource_type,
                "Action": action,
            }
            if action == "Modify":
                change["Replacement"] = self.replacing.get(name, "False")
            found.append({"Type": "Resource", "ResourceChange": change})
        return found

    def _store(self, name: str, status: str, template: str, given: dict[str, str]) -> None:
        declared = (yaml.safe_load(template.replace("!", "")) or {}).get("Parameters", {})
        defaults = {k: str(v["Default"]) for k, v in declared.items() if "Default" in v}
        hidden = {k: "****" for k, v in declared.items() if v.get("NoEcho")}
        self.stacks[name] = {
            "StackName": name,
            "StackStatus": status,
            "Parameters": [
                {"ParameterKey": k, "ParameterValue": v}
                for k, v in {**defaults, **given, **hidden}.items()
            ],
            "Tags": [{"Key": "project", "Value": "shop"}],
            "template": template,
            "given": given,
            "queue": [],
        }

    def _event(self, stack: str, logical_id: str | None, status: str, reason: str = "") -> None:
        self._clock += timedelta(seconds=1)
        self.history.append(
            {
                "EventId": f"e{len(self.history)}",
                "Timestamp": self._clock,
                "StackName": stack,
                "LogicalResourceId": logical_id or stack,
                "ResourceType": "AWS::SNS::Topic" if logical_id else "AWS::CloudFormation::Stack",
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
            }
        )
