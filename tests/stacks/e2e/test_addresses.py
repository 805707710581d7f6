"""Under attack: addresses blocked and freed by the notebook, with the edge on.

Only the layers that the edge builds on are there: the notebook must not need a service.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from runbook import aws, stacks
from runbook.addresses import AddressLists, read_networks
from runbook.environment import Environment, load_environment
from runbook.stacks import ip_sets

pytestmark = [pytest.mark.e2e, pytest.mark.scenario, pytest.mark.timeout(600)]

NOTEBOOK = "80_addresses"
EDGE = "sceptre/config/local/edge.yaml"


@pytest.fixture(scope="module")
def environment(project: Any) -> Environment:
    """The environment with its edge on."""
    project.set("edge", "EdgeMode", "vpc-origin")
    environment = load_environment("local", project.root)
    review = stacks.plan_changes(environment, ["network", "data", "balancer", "edge"])
    stacks.apply(environment, review)
    return environment


def record(project: Any) -> tuple[dict[str, Any], Path]:
    """The newest run's result.json, and its notebook's folder."""
    folder = max(project.root.glob(f"runs/local/*/{NOTEBOOK}"))
    return json.loads((folder / "result.json").read_text()), folder


def blocked(text: str) -> AddressLists:
    return AddressLists((), read_networks(text, "a test"))


def test_attackers_are_blocked_and_why_is_written_down(
    project: Any, environment: Environment
) -> None:
    before = (project.root / EDGE).read_text()
    asked = ("-p", "block=203.0.113.7, 198.51.100.0/24", "-p", "reason=credential stuffing")
    dry = project.run("run", NOTEBOOK, *asked, "--dry-run")
    assert dry.code == 0, dry.err
    assert "Next: runbook run 80_addresses --env local -p 'block=203.0.113.7, 198." in dry.err
    assert (project.root / EDGE).read_text() == before
    assert ip_sets.in_force(environment) == AddressLists()

    done = project.run("run", NOTEBOOK, *asked)
    assert done.code == 0, done.err
    assert f"Next: git commit {EDGE}" in done.err
    assert ip_sets.in_force(environment) == blocked("203.0.113.7, 198.51.100.0/24")
    result, folder = record(project)
    line = f"  # from: run {result['run_id']}, {result['started_at'][:10]}: credential stuffing\n"
    assert (project.root / EDGE).read_text() == before.replace(
        '  BlockedCidrs: ""', f'{line}  BlockedCidrs: "198.51.100.0/24,203.0.113.7/32"'
    )
    review = json.loads((folder / "review.json").read_text())
    assert [layer["layer"] for layer in review["layers"]] == ["edge"]
    (change,) = review["layers"][0]["diff"]["parameters"]
    assert change["name"] == "BlockedCidrs"
    table = (folder / "tables" / "lists.csv").read_text().splitlines()
    assert table[1:] == [
        "blocked,198.51.100.0/24,256,-,blocked",
        "blocked,203.0.113.7/32,1,-,blocked",
    ]


def test_blocked_again_changes_nothing(project: Any, environment: Environment) -> None:
    before = (project.root / EDGE).read_text()
    again = project.run("run", NOTEBOOK, "-p", "block=198.51.100.9", "-p", "reason=still at it")
    assert again.code == 0, again.err
    assert record(project)[0]["verdict"] == "no_change"
    assert (project.root / EDGE).read_text() == before


def test_what_was_written_into_a_set_by_hand_is_told_and_can_be_kept(
    project: Any, environment: Environment
) -> None:
    by_hand(environment, "198.51.100.0/24", "203.0.113.7/32", "192.0.2.66/32")
    looked = project.run("run", NOTEBOOK)
    assert looked.code == 1, "what is in force is not what edge.yaml says"
    assert "The web ACL has 192.0.2.66/32 as blocked, edge.yaml has not" in looked.err

    kept = project.run("run", NOTEBOOK, "-p", "block=192.0.2.66", "-p", "reason=blocked by hand")
    assert kept.code == 0, kept.err
    everyone = blocked("203.0.113.7, 198.51.100.0/24, 192.0.2.66")
    assert ip_sets.in_force(environment) == ip_sets.configured(environment) == everyone


def test_the_command_that_undoes_it_is_told(project: Any, environment: Environment) -> None:
    before = ip_sets.in_force(environment)
    freed = project.run(
        "run", NOTEBOOK, "-p", "unblock=198.51.100.32/28", "-p", "allow=198.51.100.33",
        "-p", "reason=a partner's office",
    )  # fmt: skip
    assert freed.code == 0, freed.err
    assert ip_sets.in_force(environment).allowed == read_networks("198.51.100.33", "a test")
    told = [item["text"] for item in record(project)[0]["findings"]]
    (command,) = [text.removeprefix("To undo this: ") for text in told if "undo this" in text]
    program, *arguments = shlex.split(command)
    assert program == "runbook"
    undone = project.run(*arguments)
    assert undone.code == 0, undone.err
    assert ip_sets.in_force(environment) == ip_sets.configured(environment) == before


def test_without_an_edge_it_stops_before_anything(project: Any, environment: Environment) -> None:
    project.set("edge", "EdgeMode", "none")
    before = (project.root / EDGE).read_text()
    off = project.run("run", NOTEBOOK, "-p", "block=203.0.113.8", "-p", "reason=too late")
    assert off.code == 2
    assert "EdgeMode is none in edge.yaml, so there is no web ACL" in off.err
    assert (project.root / EDGE).read_text() == before


def by_hand(environment: Environment, *addresses: str) -> None:
    """Someone edits the set in the console."""
    wafv2 = aws.client(environment, "wafv2", "us-east-1")
    name, set_id, scope = aws.outputs(environment, "edge")["BlockedAddressesId"].split("|")
    found = wafv2.get_ip_set(Name=name, Id=set_id, Scope=scope)
    wafv2.update_ip_set(
        Name=name, Id=set_id, Scope=scope, Addresses=addresses, LockToken=found["LockToken"]
    )
