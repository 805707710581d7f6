"""Cooldowns: when they begin, when they end, and what ends them early."""

import pytest

from runbook.scaling.semantics import Semantics
from runbook.scaling.state import Activity, ScalingState, cooldown_ends_at_s, is_cooling, observe

OUT = Activity(requested_at_s=100.0, new_desired=4, base=2, cooldown_s=300.0)
IN = Activity(requested_at_s=100.0, new_desired=1, base=2, cooldown_s=300.0)


def test_a_cooldown_begins_when_the_activity_completes():
    state = ScalingState(4, 2, last_out=OUT)
    state = observe(state, running=3, now_s=110.0)
    assert state.last_out.completed_at_s is None
    state = observe(state, running=4, now_s=120.0)
    assert state.last_out.completed_at_s == 120.0
    assert is_cooling(state.last_out, 419.9)
    assert not is_cooling(state.last_out, 420.0)
    # Later ticks do not move it.
    assert observe(state, running=4, now_s=130.0).last_out == state.last_out


def test_a_cooldown_may_begin_with_the_request():
    at_request = Semantics(cooldown_starts_at="request")
    assert cooldown_ends_at_s(OUT, at_request) == 400.0


def test_a_scale_in_completes_when_the_tasks_are_gone():
    state = ScalingState(1, 2, last_in=IN)
    assert observe(state, running=2, now_s=110.0).last_in.completed_at_s is None
    assert observe(state, running=1, now_s=110.0).last_in.completed_at_s == 110.0


def test_tasks_that_never_come_do_not_block_for_ever():
    semantics = Semantics(activity_timeout_s=600.0)
    assert is_cooling(OUT, 999.0, semantics)
    assert not is_cooling(OUT, 1000.0, semantics)
    state = observe(ScalingState(4, 2, last_out=OUT), running=2, now_s=5000.0)
    assert state.last_out.completed_at_s == 700.0


def test_a_count_changed_by_someone_else_ends_the_activity():
    state = observe(ScalingState(4, 2, last_out=OUT), running=2, desired=7, now_s=110.0)
    assert state.desired == 7
    assert state.last_out.completed_at_s == 110.0


def test_observe_refreshes_the_counts():
    state = observe(ScalingState(4, 2), running=3, now_s=0.0, deployment_in_progress=True)
    assert state == ScalingState(4, 3, True)
    assert observe(state, running=3, now_s=0.0).deployment_in_progress is False


@pytest.mark.parametrize("now_s", [0.0, 1e9])
def test_without_an_activity_nothing_cools(now_s):
    assert not is_cooling(None, now_s)
