"""Address lists: sets of addresses, written as the fewest networks."""

from __future__ import annotations

import random
import shlex
from datetime import date
from ipaddress import IPv4Address, IPv4Network

import pytest

from runbook.addresses import (
    MAX_VALUE_BYTES,
    AddressLists,
    Edit,
    as_text,
    read_edit,
    read_networks,
    undo,
    without,
)
from runbook.errors import InputInvalid


def networks(text: str) -> tuple[IPv4Network, ...]:
    return read_networks(text, "a test")


def lists(allowed: str = "", blocked: str = "") -> AddressLists:
    return AddressLists(networks(allowed), networks(blocked))


def edit(**given: str) -> Edit:
    asked = {"block": "", "unblock": "", "allow": "", "disallow": "", "reason": "a test", **given}
    return read_edit(**asked)


def held(given: tuple[IPv4Network, ...]) -> set[IPv4Address]:
    return {address for network in given for address in network}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("203.0.113.7", "203.0.113.7/32"),
        ("203.0.113.7, 198.51.100.0/24\n192.0.2.1", "192.0.2.1/32,198.51.100.0/24,203.0.113.7/32"),
        ("203.0.113.7,203.0.113.7/32,", "203.0.113.7/32"),
        ("203.0.113.0/25 203.0.113.128/25", "203.0.113.0/24"),
        ("203.0.113.1 203.0.113.2", "203.0.113.1/32,203.0.113.2/32"),
        ("203.0.113.0/24,203.0.113.7", "203.0.113.0/24"),
    ],
)
def test_networks_are_read_in_any_form_and_written_in_one(text: str, expected: str) -> None:
    assert as_text(networks(text)) == expected
    assert networks(expected) == networks(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("203.0.113.7/24", "write 203.0.113.0/24 for the whole of it, or 203.0.113.7 for that"),
        ("203.0.113", "'203.0.113' in a test is no address"),
        ("203.0.113.0/33", "is no address"),
        ("203.0.113.07", "is no address"),
        ("shop.example", "'shop.example' in a test is no address"),
        ("2001:db8::7", "it is IPv6, and clients reach the edge over IPv4 only"),
    ],
)
def test_what_is_no_network_is_named_with_what_to_write(text: str, says: str) -> None:
    with pytest.raises(InputInvalid) as error:
        networks(f"192.0.2.1,{text}")
    assert says in str(error.value)


def test_the_arithmetic_is_that_of_sets_of_addresses() -> None:
    rng = random.Random(7)
    subnets = [
        net
        for size in range(26, 33)
        for net in IPv4Network("203.0.113.0/26").subnets(new_prefix=size)
    ]
    for _ in range(60):
        blocked, block, unblock = (tuple(rng.sample(subnets, rng.randint(0, 4))) for _ in range(3))
        before = AddressLists(blocked=networks(as_text(blocked)))
        after = Edit(block=block, unblock=unblock).applied(before)
        assert held(after.blocked) == (held(blocked) | held(block)) - held(unblock)
        assert without(after.blocked, ()) == after.blocked, "the fewest networks already"
        assert undo(before, after, "back").applied(after) == before


def test_what_is_so_already_changes_nothing() -> None:
    before = lists(allowed="192.0.2.0/24", blocked="203.0.113.0/24")
    asked = edit(block="203.0.113.7", allow="192.0.2.0/25", unblock="198.51.100.1")
    assert asked.applied(before) == before
    assert undo(before, before, "nothing").empty


def test_a_part_of_a_network_can_be_taken_from_it() -> None:
    after = edit(unblock="203.0.113.4/30").applied(lists(blocked="203.0.113.0/28"))
    assert as_text(after.blocked) == "203.0.113.0/30,203.0.113.8/29"
    at_once = edit(block="203.0.113.0/28", unblock="203.0.113.4/30").applied(lists())
    assert at_once == after


@pytest.mark.parametrize(
    ("before", "asked", "says"),
    [
        (
            lists(allowed="203.0.113.0/24"),
            {"block": "203.0.113.7"},
            "203.0.113.7/32 cannot be blocked: 203.0.113.0/24 is allowed, and that comes first; "
            "take that back in the same run: -p disallow=203.0.113.7/32",
        ),
        (
            lists(blocked="203.0.113.7"),
            {"allow": "203.0.113.0/24"},
            "203.0.113.0/24 cannot be allowed: 203.0.113.7/32 is blocked, and would pass; "
            "take that back in the same run: -p unblock=203.0.113.7/32",
        ),
        (lists(), {"block": "203.0.113.7", "allow": "203.0.113.7"}, "cannot be blocked"),
    ],
)
def test_nobody_is_allowed_and_blocked(
    before: AddressLists, asked: dict[str, str], says: str
) -> None:
    with pytest.raises(InputInvalid) as error:
        edit(**asked).applied(before)
    assert says in str(error.value)


def test_as_the_error_says_it_goes_in_one_run() -> None:
    after = edit(block="203.0.113.7", disallow="203.0.113.7/32").applied(
        lists(allowed="203.0.113.6/31")
    )
    assert after == lists(allowed="203.0.113.6", blocked="203.0.113.7")


def test_an_overlap_that_others_wrote_stops_nobody() -> None:
    before = lists(allowed="203.0.113.7", blocked="203.0.113.0/24")
    after = edit(block="198.51.100.1").applied(before)
    assert after.allowed == before.allowed
    assert held(after.blocked) > held(before.blocked)


@pytest.mark.parametrize(
    "asked",
    [
        {"block": "203.0.113.7", "unblock": "203.0.113.0/24"},
        {"allow": "203.0.113.7", "disallow": "203.0.113.7"},
    ],
)
def test_an_edit_does_not_contradict_itself(asked: dict[str, str]) -> None:
    with pytest.raises(InputInvalid, match="one contradicts the other"):
        edit(**asked)


@pytest.mark.parametrize("address", ["10.0.3.7", "127.0.0.1", "192.168.0.0/24", "100.64.1.1"])
@pytest.mark.parametrize("how", ["block", "allow"])
def test_an_address_the_edge_never_sees_is_refused(how: str, address: str) -> None:
    with pytest.raises(InputInvalid, match="nobody's address on the internet"):
        edit(**{how: address})
    assert edit(**{f"{'un' if how == 'block' else 'dis'}{how}": address}), "taken back, it may be"


@pytest.mark.parametrize("everybody", ["0.0.0.0/0", "0.0.0.0/1 128.0.0.0/1"])
def test_everybody_is_no_list(everybody: str) -> None:
    with pytest.raises(InputInvalid, match="Everybody cannot be blocked"):
        edit(block=everybody).applied(lists())
    with pytest.raises(InputInvalid, match="Everybody cannot be allowed"):
        edit(allow=everybody).applied(lists())
    assert edit(unblock=everybody).applied(lists(blocked="203.0.113.7")) == lists()


def test_a_list_is_as_long_as_a_parameter_can_be() -> None:
    # 17 bytes each with the comma, and no two of them make a network.
    odd = [f"203.{second}.113.1" for second in range(100, 256)]
    odd += [f"198.{second}.113.1" for second in range(100, 185)]
    full = edit(block=",".join(odd)).applied(lists())
    assert len(odd) * 17 - 1 == len(as_text(full.blocked)) == MAX_VALUE_BYTES
    with pytest.raises(InputInvalid, match=r"242 networks make 4\d\d\d bytes.* holds 4096"):
        edit(block="203.0.112.1").applied(full)


def test_a_change_needs_a_reason_and_a_look_does_not() -> None:
    with pytest.raises(InputInvalid, match="without a reason"):
        edit(block="203.0.113.7", reason=" ")
    assert edit(reason="").empty


def test_a_reason_is_one_line_of_a_comment() -> None:
    asked = edit(block="203.0.113.7", reason="  stuffing\non /login: #1 ")
    assert asked.reason == "stuffing on /login: #1"
    assert asked.origin("r1", date(2026, 11, 27)) == "run r1, 2026-11-27: stuffing on /login: #1"


@pytest.mark.parametrize("reason", ["{{ var.x }}", "50 {% of it", "issue {#7}", "bell \a"])
def test_a_reason_means_nothing_to_sceptre(reason: str) -> None:
    with pytest.raises(InputInvalid, match="cannot be written down"):
        edit(block="203.0.113.7", reason=reason)


def test_an_edit_can_be_given_again_as_options() -> None:
    asked = edit(block="203.0.113.7, 198.51.100.0/24", disallow="192.0.2.1", reason="it's them")
    words = shlex.split(asked.options())
    assert words[::2] == ["-p"] * 3
    assert edit(**dict(word.split("=", 1) for word in words[1::2])) == asked


def test_before_and_after_stand_beside_each_other() -> None:
    before, after = lists(blocked="203.0.113.0/24"), lists("192.0.2.1", "203.0.113.0/25")
    assert [tuple(row.values()) for row in before.rows(after)] == [
        ("allowed", "192.0.2.1/32", 1, "-", "allowed"),
        ("blocked", "203.0.113.0/24", 256, "blocked", "-"),
        ("blocked", "203.0.113.0/25", 128, "-", "blocked"),
    ]


def test_what_the_web_acl_has_beside_the_file_is_told() -> None:
    configured, found = lists(blocked="203.0.113.6/31"), lists(blocked="203.0.113.7,192.0.2.1")
    by_hand, missing = configured.differences(found)
    assert by_hand.startswith("The web ACL has 192.0.2.1/32 as blocked, edge.yaml has not")
    assert missing.startswith("edge.yaml has 203.0.113.6/32 as blocked, the web ACL has not")
    assert configured.differences(lists(blocked="203.0.113.6,203.0.113.7")) == []
