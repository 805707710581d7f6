"""What opens a gate: the digest of what was seen, on stacks that are as they were seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runbook.environment import Environment
from runbook.errors import ApprovalMissing
from runbook.runs.gate import ActionPlan, approval
from runbook.stacks.changesets import Change
from runbook.stacks.diff import LayerDiff
from runbook.stacks.review import LayerReview, Review

DIFF = LayerDiff("", (), ())
STORE = Change("Store", "AWS::S3::Bucket", "Modify", "True")
NETWORK = LayerReview("network", "shop-dev-network", "update", (), DIFF, base="n1")
DATA = LayerReview("data", "shop-dev-data", "update", (STORE,), DIFF, base="d1")
SERVICE = LayerReview("service", "shop-dev-service", "none", (), DIFF, base="s1")
SEEN = Review("dev", (NETWORK, DATA, SERVICE), "a" * 64)
LOST = {("data", "Store")}


@pytest.fixture
def dev(tmp_path: Path) -> Environment:
    return Environment("dev", "shop", "eu-west-1", "", 60, tmp_path, tmp_path)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A run that showed `SEEN` and stopped at its gate."""
    folder = tmp_path / "runs" / "dev" / "20260101T000000Z-aaaa" / "10_deploy"
    folder.mkdir(parents=True)
    SEEN.save(folder / "review.json")
    return tmp_path / "runs"


def opened(dev: Environment, plan: Review, root: Path, given: str = "") -> frozenset[object]:
    """What may go when `plan` is approved by the digest of what was seen."""
    run_dir = root / "dev" / "20260102T000000Z-aaaa"
    found = approval(dev, plan, given or SEEN.short_digest, root, run_dir)
    assert found.how == "digest"
    return found.allowed


def test_what_was_seen_opens_it_and_may_lose_what_was_shown(dev: Environment, runs: Path) -> None:
    assert opened(dev, SEEN, runs) == LOST


def test_what_no_record_shows_may_not_be_lost(dev: Environment, tmp_path: Path) -> None:
    assert opened(dev, SEEN, tmp_path / "none") == frozenset()
    own = tmp_path / "runs" / "dev" / "20260102T000000Z-aaaa" / "10_deploy"
    own.mkdir(parents=True)
    SEEN.save(own / "review.json")
    assert opened(dev, SEEN, tmp_path / "runs") == frozenset(), "the run's own plan was not seen"


@pytest.mark.parametrize(
    "plan",
    [
        Review("dev", (replace(NETWORK, base="n2"), DATA, SERVICE), "a" * 64),
        Review("dev", (NETWORK, DATA, replace(SERVICE, operation="update", base="s2")), "a" * 64),
        Review("dev", (NETWORK, replace(DATA, operation="create", base="")), "a" * 64),
        Review("dev", (NETWORK, DATA, SERVICE), "b" * 64),
    ],
    ids=["changed", "changed where nothing was to do", "deleted", "configuration"],
)
def test_a_stack_that_changed_since_closes_it_however_often_it_is_tried(
    dev: Environment, runs: Path, plan: Review
) -> None:
    for attempt in ("first", "second"):
        with pytest.raises(ApprovalMissing, match=f"--approve {plan.short_digest}"):
            opened(dev, plan, runs)
        refused = runs / "dev" / f"20260101T000001Z-{attempt}" / "10_deploy"
        refused.mkdir(parents=True)
        plan.save(refused / "review.json")
    assert opened(dev, plan, runs, plan.digest) == plan.destructive, "read again, and approved"


def test_a_run_that_was_killed_goes_on_under_the_same_digest(dev: Environment, runs: Path) -> None:
    done = replace(NETWORK, operation="none", base="n2")
    follows = replace(SERVICE, operation="update")  # an output of the network's changed
    rest = Review("dev", (done, DATA, follows), "a" * 64)
    assert rest.digest != SEEN.digest
    assert opened(dev, rest, runs) == LOST


def test_a_run_that_was_killed_when_all_was_done_is_approved_still(
    dev: Environment, runs: Path
) -> None:
    done = [replace(item, operation="none", base="x") for item in SEEN.layers]
    rest = Review("dev", tuple(done), "a" * 64)
    assert opened(dev, rest, runs) == LOST
    assert approval(dev, rest, "", runs, runs / "dev" / "x").how == "nothing to approve"
    other = replace(rest, configuration="b" * 64)
    assert approval(dev, other, SEEN.digest, runs, runs / "dev" / "x").how == "nothing to approve"


def test_an_unreadable_record_is_none(dev: Environment, runs: Path) -> None:
    (path,) = runs.glob("dev/*/*/review.json")
    path.write_text(json.dumps({"digest": SEEN.digest}))
    assert opened(dev, SEEN, runs) == frozenset()


def test_local_and_plans_in_words_need_no_record(dev: Environment, tmp_path: Path) -> None:
    local = replace(dev, name="local")
    assert approval(local, SEEN, "", tmp_path, tmp_path).allowed == LOST
    plan = ActionPlan("dev", ("send 3 requests",))
    assert approval(dev, plan, plan.digest, tmp_path, tmp_path).how == "digest"
    with pytest.raises(ApprovalMissing, match="dev needs an approval"):
        approval(dev, plan, "", tmp_path, tmp_path)
