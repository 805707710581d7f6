import pytest

from local_region.autoscaling.activities import (
    bounds_activity,
    not_scaled_activity,
    requested_activity,
    settled,
)
from local_region.autoscaling.records import Target, TargetKey
from local_region.autoscaling.services import Counts

KEY = TargetKey(("000000000000", "eu-west-1"), "service/shop/api")
TARGET = Target(KEY, 2, 4, "role", 0.0, "arn")
ASKED = requested_activity(KEY, 3, "because", 100.0)


def test_a_request_waits_for_its_tasks():
    assert ASKED.description == "Setting desired count to 3."
    assert ASKED.status == "InProgress"
    assert ASKED.message == (
        "Successfully set desired count to 3. Waiting for change to be fulfilled by ecs."
    )


def test_a_refusal_is_a_failed_activity():
    failed = requested_activity(KEY, 3, "because", 100.0, "no such service")
    assert (failed.status, failed.end_s) == ("Failed", 100.0)
    assert failed.message == "Failed to set desired count to 3. Reason: no such service"


@pytest.mark.parametrize(
    ("counts", "now_s", "status"),
    [
        (Counts(3, 3, False), 101.0, "Successful"),
        (Counts(5, 3, False), 101.0, "Overridden"),
        (None, 101.0, "Failed"),
        (Counts(3, 2, False), 100.0 + 601, "Unfulfilled"),
    ],
)
def test_how_an_activity_ends(counts, now_s, status):
    changes = settled(ASKED, counts, now_s)
    assert (changes["status"], changes["end_s"]) == (status, now_s)
    assert changes["message"].startswith("Successfully set desired count to 3.")


def test_tasks_on_their_way_leave_it_open():
    assert settled(ASKED, Counts(3, 2, False), 110.0) is None


@pytest.mark.parametrize(
    ("desired", "expected"),
    [
        (1, (2, "minimum capacity was set to 2")),
        (5, (4, "maximum capacity was set to 4")),
        (3, None),
    ],
)
def test_new_bounds_move_a_count_outside_them(desired, expected):
    assert bounds_activity(TARGET, desired) == expected


def test_a_refusal_to_scale_names_the_bound():
    shown = not_scaled_activity(TARGET, "because", "AlreadyAtMaxCapacity", 4, 7.0).as_api()
    assert shown["StatusCode"] == "Failed"
    assert shown["NotScaledReasons"] == [
        {"Code": "AlreadyAtMaxCapacity", "CurrentCapacity": 4, "MaxCapacity": 4}
    ]
