"""The IP sets: written into edge.yaml with their reason, and read back from WAF."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.addresses import AddressLists, read_networks
from runbook.environment import Environment, environment_names
from runbook.errors import AwsCallFailed, InputInvalid
from runbook.stacks import ip_sets
from runbook.stacks.diff import LayerDiff, ValueChange
from runbook.stacks.edit import config_file, write_parameter
from runbook.stacks.review import LayerReview, Review

ROOT = Path(__file__).resolve().parents[2]
ORIGIN = "run r1, 2026-11-27: stuffing"


class FakeWaf:
    """GetIPSet as WAF answers it; the id is the content."""

    def get_ip_set(self, Name: str, Id: str, Scope: str) -> dict[str, Any]:  # noqa: N803
        assert Scope == "CLOUDFRONT"
        if Id == "gone":
            error = {"Code": "WAFNonexistentItemException", "Message": f"no {Name}"}
            raise ClientError({"Error": error}, "GetIPSet")
        return {"IPSet": {"Name": Name, "Addresses": [item for item in Id.split(",") if item]}}


@pytest.fixture(params=environment_names(ROOT / "sceptre"))
def own(request: pytest.FixtureRequest, environment: Environment) -> Environment:
    """An environment with the project's own edge.yaml."""
    name = str(request.param)
    target = environment.sceptre_dir / "config" / name / "edge.yaml"
    target.parent.mkdir(exist_ok=True)
    shutil.copy(ROOT / "sceptre" / "config" / name / "edge.yaml", target)
    return replace(environment, name=name)


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The edge stack's outputs, and a WAF behind them; its calls go to us-east-1."""
    found = {
        "EdgeMode": "vpc-origin",
        "AllowedAddressesId": "allowed||CLOUDFRONT",
        "BlockedAddressesId": "blocked|203.0.113.7/32,203.0.113.6/32|CLOUDFRONT",
    }

    def client(environment: Environment, service: str, region: str) -> FakeWaf:
        assert (service, region) == ("wafv2", "us-east-1")
        return FakeWaf()

    monkeypatch.setattr(ip_sets, "outputs", lambda environment, layer: found)
    monkeypatch.setattr(ip_sets, "client", client)
    return found


def lists(allowed: str = "", blocked: str = "") -> AddressLists:
    return AddressLists(read_networks(allowed, "test"), read_networks(blocked, "test"))


def test_only_the_list_that_changes_is_written_with_its_origin(own: Environment) -> None:
    path = config_file(own, "edge")
    before = path.read_text()
    ip_sets.write(own, lists(blocked="203.0.113.7"), ORIGIN)
    told = f'  # from: {ORIGIN}\n  BlockedCidrs: "203.0.113.7/32"'
    assert path.read_text() == before.replace('  BlockedCidrs: ""', told)
    assert ip_sets.configured(own) == lists(blocked="203.0.113.7")

    ip_sets.write(own, lists(), "run r2, 2026-11-28: over")
    again = '  # from: run r2, 2026-11-28: over\n  BlockedCidrs: ""'
    assert path.read_text() == before.replace('  BlockedCidrs: ""', again)


def test_the_same_addresses_stay_as_somebody_wrote_them(own: Environment) -> None:
    path = config_file(own, "edge")
    write_parameter(path, "BlockedCidrs", "203.0.113.7/32,203.0.113.6/32")
    before = path.read_text()
    ip_sets.write(own, lists(blocked="203.0.113.6/31"), ORIGIN)
    assert path.read_text() == before


def test_what_is_no_list_in_the_file_is_named(own: Environment) -> None:
    write_parameter(config_file(own, "edge"), "AllowedCidrs", "203.0.113.7/24")
    with pytest.raises(InputInvalid, match=r"in AllowedCidrs of .*edge\.yaml is no network"):
        ip_sets.configured(own)


def test_the_sets_are_read_as_waf_has_them(own: Environment, deployed: dict[str, str]) -> None:
    assert ip_sets.in_force(own) == lists(blocked="203.0.113.6/31")
    deployed["BlockedAddressesId"] = "blocked|gone|CLOUDFRONT"
    with pytest.raises(AwsCallFailed, match="IP set blocked cannot be read"):
        ip_sets.in_force(own)


def test_an_edge_that_is_off_is_told_wherever_it_is(
    own: Environment, deployed: dict[str, str]
) -> None:
    path = config_file(own, "edge")
    write_parameter(path, "EdgeMode", "none")
    with pytest.raises(InputInvalid, match=r"none in edge\.yaml, .*protect nothing"):
        ip_sets.require_on(own)
    write_parameter(path, "EdgeMode", "vpc-origin")
    assert ip_sets.require_on(own) == "vpc-origin"
    deployed["EdgeMode"] = "none"
    with pytest.raises(InputInvalid, match=r"none in the deployed stack, .*protect nothing"):
        ip_sets.require_on(own)


def review(difference: LayerDiff) -> Review:
    return Review("dev", (LayerReview("edge", "shop-dev-edge", "update", (), difference),), "d")


def test_a_plan_that_brings_more_along_says_what() -> None:
    blocked = ValueChange("BlockedCidrs", "", "203.0.113.7/32")
    assert ip_sets.beyond(review(LayerDiff("", (blocked,), ()))) == []
    more = LayerDiff(
        "@@", (blocked, ValueChange("RateLimit", "2000", "9")), (ValueChange("owner", "a", "b"),)
    )
    (told,) = ip_sets.beyond(review(more))
    assert told.endswith("never applied: RateLimit, tag owner, the template.")
