"""Deleting layers: backwards, as far as nothing is protected or fails."""

from typing import Any

import pytest

from runbook.environment import Environment
from runbook.errors import InputInvalid, StackFailed
from runbook.stacks.plan import plan_changes
from runbook.stacks.remove import delete, deletion_order
from runbook.waiting import Waiter


def test_deletion_goes_backwards_and_skips_what_is_gone(
    environment: Environment, launched: Any, waiter: Waiter
) -> None:
    outcomes = delete(environment, waiter=waiter)
    assert [(item.layer, item.changes) for item in outcomes] == [("service", 2), ("network", 2)]
    assert launched.stacks == {}
    assert delete(environment, waiter=waiter) == ()


def test_a_failed_deletion_names_the_cause_and_spares_the_layers_below(
    environment: Environment, launched: Any, waiter: Waiter
) -> None:
    launched.broken = {"Store": "The bucket is not empty"}
    with pytest.raises(StackFailed, match=r"Store .*The bucket is not empty"):
        delete(environment, waiter=waiter)
    assert "shop-local-network" in launched.stacks


def test_a_protected_stack_is_not_deleted(
    environment: Environment, launched: Any, waiter: Waiter
) -> None:
    path = environment.sceptre_dir / "config/local/network.yaml"
    path.write_text(path.read_text() + "protect: true\n")
    with pytest.raises(StackFailed, match="is protected"):
        delete(environment, waiter=waiter)
    assert len(launched.stacks) == 2


def test_what_is_wrong_in_a_template_keeps_nobody_from_deleting(
    environment: Environment, launched: Any
) -> None:
    (environment.sceptre_dir / "templates/network.yaml").unlink()
    with pytest.raises(InputInvalid):
        plan_changes(environment)
    assert [layer.name for layer in deletion_order(environment)] == ["service", "network"]
