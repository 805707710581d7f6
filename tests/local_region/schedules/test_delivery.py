import pytest

from local_region.schedules.delivery import Exhausted, Retry, after_failure, dead_letter
from local_region.schedules.targets import Invocation, TargetFailed

THROTTLED = TargetFailed("ThrottlingException", "slow down", retryable=True)
GONE = TargetFailed("ClusterNotFoundException", "Cluster not found.", retryable=False)


def invocation(attempt: int = 1, **policy: int) -> Invocation:
    target = {"Arn": "arn:aws:ecs:eu-west-1:000000000000:cluster/c", "RetryPolicy": policy}
    schedule = {"Arn": "arn:schedule", "Name": "nightly", "GroupName": "default", "Target": target}
    return Invocation("000000000000", "eu-west-1", schedule, 1000.0, "id-1", attempt)


def test_a_failure_that_may_pass_is_retried_with_growing_pauses():
    first = after_failure(invocation(1), THROTTLED, 1000.0)
    third = after_failure(invocation(3), THROTTLED, 1010.0)
    assert isinstance(first, Retry)
    assert (first.at_s, first.invocation.attempt) == (1001.0, 2)
    assert isinstance(third, Retry)
    assert (third.at_s, third.invocation.attempt) == (1014.0, 4)


def test_a_failure_that_stays_is_not_retried():
    assert after_failure(invocation(), GONE, 1000.0) == Exhausted("")


@pytest.mark.parametrize(
    ("attempt", "policy", "now_s", "condition"),
    [
        (1, {"MaximumRetryAttempts": 0}, 1000.0, "MaximumRetryAttempts"),
        (3, {"MaximumRetryAttempts": 2}, 1000.0, "MaximumRetryAttempts"),
        (186, {}, 1000.0, "MaximumRetryAttempts"),
        (2, {"MaximumEventAgeInSeconds": 60}, 1059.0, "MaximumEventAgeInSeconds"),
    ],
)
def test_the_policy_ends_the_retries(attempt, policy, now_s, condition):
    assert after_failure(invocation(attempt, **policy), THROTTLED, now_s) == Exhausted(condition)


def test_a_dead_letter_says_what_happened_and_how_often_it_was_tried():
    attributes = dead_letter(invocation(3), THROTTLED, "MaximumRetryAttempts")
    assert attributes == {
        "ERROR_CODE": "ThrottlingException",
        "ERROR_MESSAGE": "slow down",
        "EXECUTION_ID": "id-1",
        "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
        "IS_PAYLOAD_TRUNCATED": "false",
        "RETRY_ATTEMPTS": "2",
        "SCHEDULED_TIME": "1970-01-01T00:16:40Z",
        "SCHEDULE_ARN": "arn:schedule",
        "TARGET_ARN": "arn:aws:ecs:eu-west-1:000000000000:cluster/c",
    }
    assert "EXHAUSTED_RETRY_CONDITION" not in dead_letter(invocation(), GONE, "")
