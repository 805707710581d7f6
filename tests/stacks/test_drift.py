"""Drift is told of what is there, and never of nothing."""

import pytest

from runbook.environment import Environment
from runbook.errors import StackNotFound
from runbook.stacks import drift


def test_where_nothing_is_deployed_there_is_no_answer(
    environment: Environment, cloudformation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "client", lambda *_: cloudformation)
    with pytest.raises(StackNotFound, match="local has no stack to compare"):
        drift.detect(environment)
