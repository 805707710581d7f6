"""Which addresses the edge lets pass or refuses: read, changed, written as text. Pure.

A list is a set of addresses, kept as the fewest networks that hold exactly these: what is taken
back may be a part of a network that stands there.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from ipaddress import IPv4Network, collapse_addresses, ip_network

from runbook.errors import InputInvalid

Networks = tuple[IPv4Network, ...]

#: A parameter's value holds so much (CloudFormation's quotas). WAF's own limit of 10,000
#: networks a set lies far beyond.
MAX_VALUE_BYTES = 4096
#: Addresses that no client comes from: CloudFront sees public ones.
_NEVER_SEEN = tuple(
    IPv4Network(text)
    for text in (
        "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8",
        "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
    )
)  # fmt: skip


@dataclass(frozen=True)
class AddressLists:
    """Who passes before every other rule, and who is refused."""

    allowed: Networks = ()
    blocked: Networks = ()

    def rows(self, after: AddressLists) -> list[dict[str, object]]:
        """One row a network of either: list, network, addresses it holds, before, after."""
        pairs = {
            "allowed": (self.allowed, after.allowed),
            "blocked": (self.blocked, after.blocked),
        }
        return [
            {
                "list": name,
                "network": str(network),
                "addresses": network.num_addresses,
                "before": name if network in old else "-",
                "after": name if network in new else "-",
            }
            for name, (old, new) in pairs.items()
            for network in sorted({*old, *new})
        ]

    def differences(self, found: AddressLists) -> list[str]:
        """Sentences on how these, which edge.yaml holds, differ from what the web ACL has."""
        told = []
        for name, own, other in (
            ("allowed", self.allowed, found.allowed),
            ("blocked", self.blocked, found.blocked),
        ):
            if more := without(other, own):
                told.append(
                    f"The web ACL has {as_text(more)} as {name}, edge.yaml has not: somebody "
                    "changed the set itself, and the next change of the list takes that away."
                )
            if less := without(own, other):
                told.append(
                    f"edge.yaml has {as_text(less)} as {name}, the web ACL has not: it was never "
                    "applied, or somebody changed the set itself."
                )
        return told


@dataclass(frozen=True)
class Edit:
    """What to add to the lists and what to take from them, and why."""

    block: Networks = ()
    unblock: Networks = ()
    allow: Networks = ()
    disallow: Networks = ()
    reason: str = ""

    @property
    def empty(self) -> bool:
        """Whether it asks for nothing."""
        return not (self.block or self.unblock or self.allow or self.disallow)

    def options(self) -> str:
        """The edit as options of `runbook run`, with a space before each."""
        given = {
            "block": as_text(self.block),
            "unblock": as_text(self.unblock),
            "allow": as_text(self.allow),
            "disallow": as_text(self.disallow),
            "reason": self.reason,
        }
        return "".join(
            f" -p {shlex.quote(f'{name}={value}')}" for name, value in given.items() if value
        )

    def origin(self, run_id: str, day: date) -> str:
        """Where the changed lists come from, for edge.yaml."""
        return f"run {run_id}, {day:%Y-%m-%d}: {self.reason}"

    def applied(self, before: AddressLists) -> AddressLists:
        """The lists after it. Asked for what is so already, it changes nothing.

        Raises InputInvalid when an address that is to be blocked would be allowed too, or the
        other way round, and when a list would hold everybody, or more than a parameter can.
        """
        after = AddressLists(
            without(before.allowed + self.allow, self.disallow),
            without(before.blocked + self.block, self.unblock),
        )
        # What others wrote down before may overlap; it does not stop this.
        _apart(self.block, after.allowed, "blocked", "is allowed, and that comes first", "disallow")
        _apart(self.allow, after.blocked, "allowed", "is blocked, and would pass", "unblock")
        for name, networks in (("allowed", after.allowed), ("blocked", after.blocked)):
            _require_place(name, networks)
        return after


def read_edit(*, block: str, unblock: str, allow: str, disallow: str, reason: str) -> Edit:
    """An edit from a notebook's parameters: networks or addresses, by commas or spaces.

    Raises InputInvalid, naming what is wrong, before anything is touched.
    """
    edit = Edit(
        read_networks(block, "block"),
        read_networks(unblock, "unblock"),
        read_networks(allow, "allow"),
        read_networks(disallow, "disallow"),
        " ".join(reason.split()),
    )
    for network in edit.block + edit.allow:
        if any(network.subnet_of(other) for other in _NEVER_SEEN):
            raise InputInvalid(
                f"{network} is nobody's address on the internet",
                "the web ACL sees clients' own addresses, which are public ones",
                "take the address from the web ACL's sampled requests: the balancer's log has "
                "those of CloudFront",
            )
    _require_effect(edit.block, edit.unblock, "blocked and unblocked")
    _require_effect(edit.allow, edit.disallow, "allowed and disallowed")
    if edit.empty:
        return edit
    if not edit.reason:
        raise InputInvalid(
            "The lists are not changed without a reason",
            "whoever reads edge.yaml next must know why an address stands there",
            "give one: -p reason='credential stuffing on /login'",
        )
    # Sceptre reads the file as a template first: these would mean something to it.
    if not edit.reason.isprintable() or any(sign in edit.reason for sign in ("{{", "{%", "{#")):
        raise InputInvalid(
            "The reason cannot be written down",
            "it is to stand in a comment of edge.yaml, where {{, {% and {# have a meaning",
            "say it in plain words",
        )
    return edit


def read_networks(text: str, where: str) -> Networks:
    """Networks from a text, by commas or spaces; "" is none. Collapsed and in order.

    Raises InputInvalid for what is no IPv4 network.
    """
    return collapsed(_network(word, where) for word in text.replace(",", " ").split())


def as_text(networks: Networks) -> str:
    """Networks as a parameter's value."""
    return ",".join(str(network) for network in networks)


def collapsed(networks: Iterable[IPv4Network]) -> Networks:
    """The fewest networks that hold exactly the same addresses, in order."""
    return tuple(collapse_addresses(networks))


def without(networks: Networks, taken: Networks) -> Networks:
    """Exactly the addresses of `networks` that are not in `taken`."""
    left = list(networks)
    for gone in taken:
        left = [rest for network in left for rest in _rest(network, gone)]
    return collapsed(left)


def undo(before: AddressLists, after: AddressLists, reason: str) -> Edit:
    """What brings `before` back from `after`."""
    return Edit(
        block=without(before.blocked, after.blocked),
        unblock=without(after.blocked, before.blocked),
        allow=without(before.allowed, after.allowed),
        disallow=without(after.allowed, before.allowed),
        reason=reason,
    )


def _rest(network: IPv4Network, gone: IPv4Network) -> Iterable[IPv4Network]:
    if not network.overlaps(gone):
        return [network]
    return [] if network.subnet_of(gone) else network.address_exclude(gone)


def _network(word: str, where: str) -> IPv4Network:
    try:
        network = ip_network(word, strict=False)
    except ValueError as error:
        raise InputInvalid(
            f"{word!r} in {where} is no address", str(error), "write 203.0.113.7 or 203.0.113.0/24"
        ) from error
    if not isinstance(network, IPv4Network):
        raise InputInvalid(
            f"{word} in {where} cannot stand in a list",
            "it is IPv6, and clients reach the edge over IPv4 only",
            "give the client's IPv4 address",
        )
    address, slash, _ = word.partition("/")
    if slash and str(network.network_address) != address:
        raise InputInvalid(
            f"{word} in {where} is no network",
            f"{address} lies within one",
            f"write {network} for the whole of it, or {address} for that address alone",
        )
    return network


def _apart(added: Networks, others: Networks, verb: str, because: str, remedy: str) -> None:
    for network in added:
        for other in others:
            if network.overlaps(other):
                common = network if network.subnet_of(other) else other
                raise InputInvalid(
                    f"{network} cannot be {verb}",
                    f"{other} {because}",
                    f"take that back in the same run: -p {remedy}={common}",
                )


def _require_effect(added: Networks, taken: Networks, words: str) -> None:
    """A part may be taken from what is added, not the whole of it."""
    for network in added:
        if any(network.subnet_of(other) for other in taken):
            raise InputInvalid(
                f"{network} cannot be {words} at once", "one contradicts the other", "choose one"
            )


def _require_place(name: str, networks: Networks) -> None:
    if any(network.prefixlen == 0 for network in networks):
        raise InputInvalid(
            f"Everybody cannot be {name}",
            "WAF takes no network of all addresses",
            "name networks; the other rules are for what nobody can list",
        )
    size = len(as_text(networks))
    if size > MAX_VALUE_BYTES:
        raise InputInvalid(
            f"The list of {name} addresses is too long",
            f"{len(networks)} networks make {size} bytes, and a stack's parameter holds "
            f"{MAX_VALUE_BYTES}",
            "name wider networks, take old ones back, or lower RateLimit in edge.yaml: many "
            "addresses at once are its work",
        )
