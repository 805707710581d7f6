"""The scheduler's decisions, as ECS documents them for rolling updates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_region.tasks.deployments import (
    Breaker,
    DeploymentView,
    Policy,
    TaskView,
    alarms_that_fail,
    breaker_tripped,
    decide,
    is_complete,
    read_policy,
    scale_in_order,
    start_delay_s,
)

NEW = DeploymentView("new", primary=True, rollout="IN_PROGRESS")
OLD = DeploymentView("old", primary=False, rollout="COMPLETED")
DONE = DeploymentView("new", primary=True, rollout="COMPLETED")


def task(number, deployment="new", *, running=True, healthy=True):
    return TaskView(f"t{number}", deployment, running, healthy and running, float(number))


def tasks(count, deployment="new", first=0, **state):
    return [task(first + n, deployment, **state) for n in range(count)]


@pytest.mark.parametrize(
    ("desired", "minimum", "maximum", "lowest", "highest"),
    [
        (1, 100, 200, 1, 2),
        (3, 50, 150, 2, 4),  # 1.5 up, 4.5 down
        (5, 75, 125, 4, 6),  # 3.75 up, 6.25 down
        (0, 100, 200, 0, 0),
    ],
)
def test_minimum_rounds_up_and_maximum_down(desired, minimum, maximum, lowest, highest):
    policy = Policy(desired, minimum, maximum)
    assert (policy.minimum_healthy, policy.maximum) == (lowest, highest)


def test_missing_tasks_are_started():
    assert decide(Policy(3), [DONE], tasks(1)).start == 2


def test_starting_tasks_count_as_there():
    assert decide(Policy(3), [DONE], tasks(3, running=False)).start == 0


def test_scale_in_takes_the_unhealthy_then_the_youngest():
    found = [task(1), task(2), task(3, healthy=False), task(4, running=False)]
    assert [t.id for t in scale_in_order(found)] == ["t4", "t3", "t2", "t1"]
    actions = decide(Policy(2), [DONE], found)
    assert [task_id for task_id, _ in actions.stop] == ["t4", "t3"]
    assert actions.stop[0][1] == "Scaling activity initiated by (deployment new)"


def test_nothing_desired_stops_all_of_every_deployment():
    found = [*tasks(2), *tasks(1, "old", 5)]
    actions = decide(Policy(0), [NEW, OLD], found)
    assert (actions.start, len(actions.stop)) == (0, 3)


def test_rollout_begins_with_new_tasks_up_to_the_maximum():
    assert decide(Policy(4, 100, 150), [NEW, OLD], tasks(4, "old")).start == 2


def test_old_tasks_stay_until_new_ones_are_healthy():
    found = [*tasks(2, "old"), *tasks(2, first=5, healthy=False)]
    assert decide(Policy(2), [NEW, OLD], found).stop == ()


def test_old_task_goes_when_a_new_one_has_taken_its_place():
    found = [*tasks(2, "old"), task(5), task(6, healthy=False)]
    actions = decide(Policy(2), [NEW, OLD], found)
    assert [task_id for task_id, _ in actions.stop] == ["t0"]


def test_unhealthy_old_tasks_go_first():
    found = [task(1, "old"), task(2, "old", healthy=False), task(5), task(6, healthy=False)]
    assert [i for i, _ in decide(Policy(2), [NEW, OLD], found).stop] == ["t2"]


def test_old_tasks_make_room_when_the_minimum_allows():
    actions = decide(Policy(4, 50, 100), [NEW, OLD], tasks(4, "old"))
    assert (actions.start, len(actions.stop)) == (0, 2)
    actions = decide(Policy(4, 50, 100), [NEW, OLD], tasks(2, "old"))
    assert (actions.start, len(actions.stop)) == (2, 0)


def test_maximum_and_minimum_of_one_hundred_stand_still():
    actions = decide(Policy(2, 100, 100), [NEW, OLD], tasks(2, "old"))
    assert (actions.start, actions.stop) == (0, ())


def test_failed_deployment_starts_nothing():
    failed = DeploymentView("new", primary=True, rollout="FAILED")
    assert decide(Policy(2), [failed, OLD], tasks(1, "old")).start == 0


@given(
    desired=st.integers(1, 8),
    minimum=st.integers(0, 100),
    maximum=st.integers(100, 300),
    old=st.lists(st.booleans(), max_size=8),
    new=st.lists(st.booleans(), max_size=8),
)
def test_a_rollout_step_never_breaks_the_bounds(desired, minimum, maximum, old, new):
    policy = Policy(desired, minimum, maximum)
    found = [task(n, "old", healthy=h) for n, h in enumerate(old)]
    found += [task(100 + n, healthy=h) for n, h in enumerate(new)]
    actions = decide(policy, [NEW, OLD], found)
    stopped = {task_id for task_id, _ in actions.stop}
    healthy_before = sum(t.healthy for t in found)
    healthy_after = sum(t.healthy for t in found if t.id not in stopped)
    assert healthy_after >= min(healthy_before, policy.minimum_healthy)
    if actions.start and old:
        assert len(found) + actions.start <= policy.maximum


@given(
    desired=st.integers(0, 6),
    minimum=st.sampled_from([0, 50, 100]),
    old=st.integers(0, 6),
    fate=st.integers(0, 2**16),
)
def test_a_rollout_ends(desired, minimum, old, fate):
    """Started tasks become healthy a step later: then the new version replaces the old one."""
    policy = Policy(desired, minimum, 200)
    found, number = tasks(old, "old"), 100
    for _ in range(50):
        actions = decide(policy, [NEW, OLD], found)
        stopped = {task_id for task_id, _ in actions.stop}
        found = [task(t.created_at, t.deployment_id) for t in found if t.id not in stopped]
        found = [TaskView(f"t{t.created_at}", *_rest(t)) for t in found]
        found += [task(number + n, healthy=False) for n in range(actions.start)]
        number += actions.start
        if is_complete(policy, NEW, found, stopping_old=0):
            return
    pytest.fail(f"not complete after 50 steps: {found}")


def _rest(view):
    return view.deployment_id, view.running, view.healthy, view.created_at


@pytest.mark.parametrize(
    ("desired", "threshold"),
    [(1, 3), (5, 3), (6, 3), (7, 4), (10, 5), (25, 13), (400, 200), (800, 200)],
)
def test_breaker_threshold_is_half_of_desired_in_3_to_200(desired, threshold):
    assert Breaker(enabled=True).threshold(desired) == threshold


def test_breaker_threshold_can_be_configured():
    assert Breaker(kind="COUNT", value=7).threshold(1) == 7
    assert Breaker(kind="UNBOUNDED_PERCENT", value=100).threshold(2) == 2


@pytest.mark.parametrize(
    ("enabled", "rollout", "failed", "tripped"),
    [
        (True, "IN_PROGRESS", 3, True),
        (True, "IN_PROGRESS", 2, False),
        (False, "IN_PROGRESS", 9, False),
        (True, "COMPLETED", 9, False),
    ],
)
def test_breaker_trips_only_a_deployment_in_progress(enabled, rollout, failed, tripped):
    policy = Policy(1, breaker=Breaker(enabled=enabled))
    deployment = DeploymentView("d", primary=True, rollout=rollout, failed_tasks=failed)
    assert breaker_tripped(policy, deployment) is tripped


@pytest.mark.parametrize(
    ("found", "stopping_old", "complete"),
    [
        (tasks(2), 0, True),
        (tasks(1), 0, False),
        (tasks(2, healthy=False), 0, False),
        ([*tasks(2), *tasks(1, "old", 7)], 0, False),
        (tasks(2), 1, False),
    ],
    ids=["all healthy", "one missing", "not healthy", "an old one left", "an old one leaving"],
)
def test_complete_when_all_are_new_and_healthy(found, stopping_old, complete):
    assert is_complete(Policy(2), NEW, found, stopping_old) is complete


def test_completed_deployment_does_not_complete_again():
    assert not is_complete(Policy(2), DONE, tasks(2), 0)


def test_attempts_after_failures_become_rare():
    delays = [start_delay_s(n) for n in range(12)]
    assert delays[:3] == [0, 0, 0]
    assert delays[3] > 0
    assert delays == sorted(delays)
    assert delays[-1] == 30


def test_alarm_that_was_ringing_before_is_ignored_until_it_stops_once():
    ignored = frozenset({"a"})
    fails, ignored = alarms_that_fail({"a": "ALARM", "b": "OK"}, ignored)
    assert fails == ()
    fails, ignored = alarms_that_fail({"a": "OK", "b": "INSUFFICIENT_DATA"}, ignored)
    assert (fails, ignored) == ((), frozenset())
    fails, _ = alarms_that_fail({"a": "ALARM", "b": "OK"}, ignored)
    assert fails == ("a",)


def test_policy_of_a_record_has_ecs_defaults():
    policy = read_policy({"desiredCount": 2})
    assert (policy.minimum_healthy_percent, policy.maximum_percent) == (100, 200)
    assert not policy.breaker.enabled
    assert policy.alarm_names == ()


def test_policy_of_a_record_from_a_template():
    policy = read_policy(
        {
            "desiredCount": 4,
            "deploymentConfiguration": {
                "minimumHealthyPercent": "50",
                "maximumPercent": "150",
                "deploymentCircuitBreaker": {"enable": "true", "rollback": True},
                "alarms": {"alarmNames": ["x"], "enable": True, "rollback": True},
            },
        }
    )
    assert (policy.minimum_healthy, policy.maximum) == (2, 6)
    assert policy.breaker.enabled
    assert policy.breaker.rollback
    assert (policy.alarm_names, policy.alarm_rollback) == (("x",), True)


def test_minimum_of_zero_percent_is_not_the_default():
    policy = read_policy(
        {"desiredCount": 4, "deploymentConfiguration": {"minimumHealthyPercent": 0}}
    )
    assert policy.minimum_healthy == 0


def test_alarms_that_are_not_enabled_are_not_watched():
    alarms = {"alarmNames": ["x"], "enable": False, "rollback": True}
    policy = read_policy({"desiredCount": 1, "deploymentConfiguration": {"alarms": alarms}})
    assert (policy.alarm_names, policy.alarm_rollback) == ((), False)
