"""The IP sets of the edge's web ACL: in its configuration, and as WAF has them.

The configuration decides. What somebody writes into a set directly is overwritten by the next
change of the list.
"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from runbook.addresses import AddressLists, Networks, as_text, read_networks
from runbook.aws import client, outputs
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, InputInvalid
from runbook.stacks.edit import config_file, read_parameter, write_parameter
from runbook.stacks.review import Review

LAYER = "edge"
_MODE, _OFF = "EdgeMode", "none"
_ALLOWED, _BLOCKED = "AllowedCidrs", "BlockedCidrs"
_SETS = {_ALLOWED: "AllowedAddressesId", _BLOCKED: "BlockedAddressesId"}


def require_on(environment: Environment) -> str:
    """How clients come in. Raises InputInvalid when there is no edge to hold a list.

    Raises StackNotFound when it was never deployed.
    """
    wanted = read_parameter(config_file(environment, LAYER), _MODE)
    present = outputs(environment, LAYER)[_MODE]
    if _OFF in (wanted, present):
        where = "edge.yaml" if wanted == _OFF else "the deployed stack"
        raise InputInvalid(
            f"The edge of {environment.name} is off",
            f"{_MODE} is {_OFF} in {where}, so there is no web ACL and the lists protect nothing",
            "turn it on first (docs/edge.md)",
        )
    return present


def configured(environment: Environment) -> AddressLists:
    """The lists as edge.yaml has them. Raises InputInvalid."""
    path = config_file(environment, LAYER)
    return AddressLists(
        *(
            read_networks(read_parameter(path, name), f"{name} of {path}")
            for name in (_ALLOWED, _BLOCKED)
        )
    )


def in_force(environment: Environment) -> AddressLists:
    """The lists as the web ACL's sets have them now. Raises AwsCallFailed."""
    found = outputs(environment, LAYER)
    return AddressLists(*(_addresses(environment, found[_SETS[n]]) for n in (_ALLOWED, _BLOCKED)))


def write(environment: Environment, lists: AddressLists, origin: str) -> None:
    """Bring edge.yaml to these lists; a list that changes gets `origin` as its `# from:` line.

    A list with the same addresses stays as it is written.
    """
    path = config_file(environment, LAYER)
    before = configured(environment)
    for name, old, new in (
        (_ALLOWED, before.allowed, lists.allowed),
        (_BLOCKED, before.blocked, lists.blocked),
    ):
        if old != new:
            write_parameter(path, name, as_text(new), origin)


def beyond(review: Review) -> list[str]:
    """A sentence when a plan of the edge changes more than the lists."""
    layer = review.layer(LAYER)
    if layer is None:
        return []
    more = [item.name for item in layer.diff.parameters if item.name not in _SETS]
    more += [f"tag {item.name}" for item in layer.diff.tags]
    more += ["the template"] if layer.diff.template else []
    if not more:
        return []
    return [f"This plan brings along what was changed before and never applied: {', '.join(more)}."]


def _addresses(environment: Environment, physical_id: str) -> Networks:
    """A set's content; its id is `name|id|scope`, as CloudFormation's Ref gives it."""
    name, set_id, scope = physical_id.split("|")
    try:
        wafv2 = client(environment, "wafv2", environment.region_of(LAYER))
        found = wafv2.get_ip_set(Name=name, Id=set_id, Scope=scope)["IPSet"]
    except (ClientError, BotoCoreError) as error:
        raise AwsCallFailed(
            f"IP set {name} cannot be read", str(error), "check rights (wafv2:GetIPSet), try again"
        ) from error
    return read_networks(",".join(found["Addresses"]), f"IP set {name}")
