"""Scheduled actions and changed bounds."""

import pytest

from runbook.scaling.decision import ScalableTarget
from runbook.scaling.errors import PolicyError
from runbook.scaling.scheduled import ScheduledAction, apply_scheduled, capacity_within


@pytest.mark.parametrize(
    ("action", "desired", "bounds", "wanted"),
    [
        # "scales out (increases capacity) to the specified minimum capacity"
        (ScheduledAction("morning", 5, 20), 2, (5, 20), 5),
        # "scales in (decreases capacity) to the specified maximum capacity"
        (ScheduledAction("night", 1, 3), 8, (1, 3), 3),
        (ScheduledAction("morning", 5, 20), 7, (5, 20), None),
        (ScheduledAction("minimum only", min_capacity=4), 2, (4, 10), 4),
        (ScheduledAction("maximum only", max_capacity=4), 9, (1, 4), 4),
    ],
)
def test_the_capacity_moves_inside_the_new_bounds(action, desired, bounds, wanted):
    target, new = apply_scheduled(ScalableTarget(1, 10), action, desired)
    assert (target.min_capacity, target.max_capacity) == bounds
    assert new == wanted


def test_suspended_actions_do_nothing():
    target = ScalableTarget(1, 10, scheduled_suspended=True)
    assert apply_scheduled(target, ScheduledAction("morning", 5, 20), 2) == (target, None)


def test_suspension_of_dynamic_scaling_survives_and_does_not_matter():
    target = ScalableTarget(1, 10, scale_out_suspended=True)
    changed, new = apply_scheduled(target, ScheduledAction("morning", 5), 2)
    assert (changed.scale_out_suspended, new) == (True, 5)


def test_bounds_that_cross_are_refused():
    with pytest.raises(PolicyError, match="11 to 10"):
        apply_scheduled(ScalableTarget(1, 10), ScheduledAction("wrong", min_capacity=11), 2)


def test_an_action_without_bounds_is_refused():
    with pytest.raises(PolicyError, match="changes nothing"):
        ScheduledAction("empty")


def test_capacity_within():
    assert [capacity_within(ScalableTarget(2, 4), n) for n in (1, 2, 4, 5)] == [2, None, None, 4]
