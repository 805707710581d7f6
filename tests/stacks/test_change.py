"""A named change: kept, found again, refused when altered or stale."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runbook.environment import Environment
from runbook.errors import ApprovalMissing, InputInvalid
from runbook.stacks import change as changes
from runbook.stacks.change import NamedChange
from runbook.stacks.launch import apply
from runbook.stacks.plan import plan_changes
from runbook.stacks.review import Review
from runbook.waiting import Waiter


def keep(review: Review, root: Path, name: str = "slower") -> NamedChange:
    made = NamedChange(name, "2026-01-01T00:00:00.000Z", "me@here", "abc", "", review)
    made.save(root)
    return made


def edit(environment: Environment, old: str, new: str) -> None:
    path = environment.sceptre_dir / "config/local/service.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def launched(
    environment: Environment, cloudformation, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(changes, "client", lambda environment, service, region="": cloudformation)
    apply(environment, plan_changes(environment, waiter=waiter), waiter=waiter)
    return cloudformation


def test_what_is_kept_is_what_was_reviewed(
    environment: Environment, launched, waiter: Waiter, tmp_path: Path
) -> None:
    edit(environment, "tail", "end")
    made = keep(plan_changes(environment, waiter=waiter), tmp_path)
    found = changes.load(tmp_path, "local", "slower")
    assert found == made
    changes.require_fresh(environment, found)
    outcomes = apply(environment, found.review, waiter=waiter)
    assert [item.result for item in outcomes] == ["no_change", "updated"]
    changes.require_fresh(environment, found)  # done already: started again it is no change


def test_a_stack_changed_by_somebody_else_makes_it_stale(
    environment: Environment, launched, waiter: Waiter, tmp_path: Path
) -> None:
    edit(environment, "tail", "end")
    mine = keep(plan_changes(environment, waiter=waiter), tmp_path)
    edit(environment, "end", "other")
    apply(environment, plan_changes(environment, waiter=waiter), waiter=waiter)
    edit(environment, "other", "end")
    with pytest.raises(ApprovalMissing, match=r"slower of local is stale: .*: service"):
        changes.require_fresh(environment, mine)
    with pytest.raises(ApprovalMissing, match="changed by somebody else after the review"):
        apply(environment, mine.review, waiter=waiter)
    assert launched.change_sets == {}, "its change set is taken away again"


def test_a_stack_deleted_since_makes_it_stale(
    environment: Environment, launched, waiter: Waiter, tmp_path: Path
) -> None:
    edit(environment, "tail", "end")
    mine = keep(plan_changes(environment, waiter=waiter), tmp_path)
    del launched.stacks["shop-local-service"]
    with pytest.raises(ApprovalMissing, match="is stale"):
        changes.require_fresh(environment, mine)


def test_an_altered_file_is_refused(
    environment: Environment, launched, waiter: Waiter, tmp_path: Path
) -> None:
    edit(environment, "tail", "end")
    keep(plan_changes(environment, waiter=waiter), tmp_path)
    path = changes.path_of(tmp_path, "local", "slower")
    content = json.loads(path.read_text())
    content["review"]["layers"][1]["changes"] = []
    path.write_text(json.dumps(content))
    with pytest.raises(ApprovalMissing, match="was altered"):
        changes.load(tmp_path, "local", "slower")
    for text in ("{}", "", "[]"):
        path.write_text(text)
        with pytest.raises(InputInvalid, match="cannot be read: it is no kept change"):
            changes.load(tmp_path, "local", "slower")


def test_names_that_do_not_exist_or_cannot(
    environment: Environment, launched, waiter: Waiter, tmp_path: Path
) -> None:
    keep(plan_changes(environment, waiter=waiter), tmp_path)
    with pytest.raises(InputInvalid, match=r"No change faster of local.*there are: slower"):
        changes.load(tmp_path, "local", "faster")
    with pytest.raises(InputInvalid, match="no change of staging is kept yet"):
        changes.load(tmp_path, "staging", "slower")
    with pytest.raises(InputInvalid, match="cannot name a change"):
        changes.load(tmp_path, "local", "../x")
    (tmp_path / "dev" / "changes").mkdir(parents=True)
    kept = changes.path_of(tmp_path, "local", "slower").read_text()
    changes.path_of(tmp_path, "dev", "slower").write_text(kept)
    with pytest.raises(ApprovalMissing, match="is not one of dev"):
        changes.load(tmp_path, "dev", "slower")
