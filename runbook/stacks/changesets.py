"""Change sets through CloudFormation's own API.

Sceptre's change-set commands swallow errors and exit 0, and do not read further pages.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from botocore.exceptions import ClientError

from runbook.errors import AwsCallFailed
from runbook.stacks.template import STATEFUL_TYPES
from runbook.waiting import FAULTS, Waiter, code, passing

Kind = Literal["CREATE", "UPDATE"]

#: What CloudFormation says of a change set that would change nothing.
_NOTHING = ("didn't contain changes", "did not contain changes", "no updates are to be performed")
#: What AWS says to those who may not, or whose credentials are no good (any more).
_NOT_ALLOWED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
    }
)


@dataclass(frozen=True)
class Change:
    """One resource's change. `replacement` is "" (not applicable), True, False or Conditional.

    `policy` is what then becomes of the resource that exists: Delete, Retain, Snapshot, or those
    after ReplaceAnd; "" where CloudFormation does not say.
    """

    logical_id: str
    resource_type: str
    action: str
    replacement: str = ""
    causes: tuple[str, ...] = ()
    policy: str = ""

    @property
    def destructive(self) -> bool:
        """Whether the resource that exists now may go away."""
        return self.action == "Remove" or self.replacement in {"True", "Conditional"}

    @property
    def stateful(self) -> bool:
        """Whether the resource holds what cannot be made again."""
        return self.resource_type in STATEFUL_TYPES

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "destructive": self.destructive, "stateful": self.stateful}


@dataclass(frozen=True)
class ChangeSet:
    """A change set that CloudFormation has worked out; `empty` when it would change nothing."""

    arn: str
    kind: Kind
    changes: tuple[Change, ...]
    empty: bool = False


class Wanted(Protocol):
    """A stack as it should become: a configured layer, or an earlier state of it."""

    @property
    def name(self) -> str:
        """The layer."""

    @property
    def stack_name(self) -> str:
        """The stack."""

    def request(self) -> dict[str, Any]:
        """What CloudFormation is asked for."""


def create(cloudformation: Any, layer: Wanted, kind: Kind, waiter: Waiter) -> ChangeSet:
    """Have CloudFormation work out what the layer would change, and wait for the answer.

    Raises AwsCallFailed when CloudFormation refuses the template or the parameters, does not let
    the caller, or cannot be reached.
    """
    name = f"runbook-{uuid.uuid4().hex[:12]}"
    try:
        answer = cloudformation.create_change_set(
            ChangeSetName=name, ChangeSetType=kind, ClientToken=name, **layer.request()
        )
    except FAULTS as error:
        if _is_nothing(str(error)):
            return ChangeSet("", kind, (), empty=True)
        raise _failed(layer, error) from error
    arn = answer["Id"]
    for _ in waiter.looks(f"Change set of {layer.stack_name}"):
        page = cloudformation.describe_change_set(ChangeSetName=arn, StackName=layer.stack_name)
        if page["Status"] not in {"CREATE_PENDING", "CREATE_IN_PROGRESS"}:
            break
    if page["Status"] == "FAILED":
        reason = page.get("StatusReason", "no reason given")
        delete(cloudformation, layer.stack_name, arn)
        if _is_nothing(reason):
            return ChangeSet("", kind, (), empty=True)
        raise _refused(layer, reason)
    return ChangeSet(arn, kind, _changes(cloudformation, layer.stack_name, arn, page))


def delete(cloudformation: Any, stack_name: str, arn: str) -> None:
    """Take a change set away; one that is gone already is fine."""
    try:
        cloudformation.delete_change_set(ChangeSetName=arn, StackName=stack_name)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {
            "ChangeSetNotFound",
            "ChangeSetNotFoundException",
        }:
            raise


def execute(cloudformation: Any, stack_name: str, arn: str) -> None:
    """Start what the change set describes; asked twice, it starts once."""
    cloudformation.execute_change_set(
        ChangeSetName=arn,
        StackName=stack_name,
        ClientRequestToken=hashlib.sha256(arn.encode()).hexdigest(),
    )


def _changes(
    cloudformation: Any, stack_name: str, arn: str, page: dict[str, Any]
) -> tuple[Change, ...]:
    found = list(page.get("Changes", []))
    while page.get("NextToken"):
        page = cloudformation.describe_change_set(
            ChangeSetName=arn, StackName=stack_name, NextToken=page["NextToken"]
        )
        found += page.get("Changes", [])
    return tuple(_change(item["ResourceChange"]) for item in found if "ResourceChange" in item)


def _change(item: dict[str, Any]) -> Change:
    causes = []
    for detail in item.get("Details", []):
        target = detail.get("Target", {})
        what = target.get("Name") or target.get("Attribute") or ""
        if what and what not in causes:
            causes.append(what)
    return Change(
        logical_id=item["LogicalResourceId"],
        resource_type=item["ResourceType"],
        action=item["Action"],
        replacement=item.get("Replacement", "") or "",
        causes=tuple(causes),
        policy=item.get("PolicyAction", "") or "",
    )


def _is_nothing(reason: str) -> bool:
    return any(words in reason.lower() for words in _NOTHING)


def _failed(layer: Wanted, error: Exception) -> AwsCallFailed:
    """Whether the fault lies with the template, the caller or the way to AWS."""
    if passing(error):
        return AwsCallFailed(
            f"CloudFormation could not be asked what would change in {layer.stack_name}",
            str(error),
            "nothing of this layer was changed; run this again",
        )
    if code(error) in _NOT_ALLOWED or not isinstance(error, ClientError):
        return AwsCallFailed(
            f"CloudFormation does not let this caller change {layer.stack_name}",
            str(error),
            "check credentials and rights (docs/aws.md), then run this again",
        )
    return _refused(layer, str(error))


def _refused(layer: Wanted, reason: str) -> AwsCallFailed:
    return AwsCallFailed(
        f"CloudFormation refuses the change of {layer.stack_name}",
        reason,
        f"mend sceptre/config or templates of layer {layer.name}, then run this again",
    )
