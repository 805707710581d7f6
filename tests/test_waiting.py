"""Asking again after a fault that passes, and not after one that stays."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from runbook.errors import AwsCallFailed
from runbook.waiting import Waiter, passing


def throttled() -> ClientError:
    return ClientError({"Error": {"Code": "Throttling", "Message": "slow down"}}, "call")


def test_a_passing_fault_is_asked_again_with_growing_pauses() -> None:
    slept: list[float] = []
    faults = [throttled(), EndpointConnectionError(endpoint_url="x")]

    def question() -> str:
        if faults:
            raise faults.pop()
        return "fine"

    assert Waiter(1.0, 10.0, sleep=slept.append).ask(question) == "fine"
    assert slept == [1.0, 2.0]


def test_a_fault_that_stays_and_one_of_ours_are_raised() -> None:
    slept: list[float] = []
    asked: list[str] = []

    def refuse(error: Exception) -> None:
        asked.append("x")
        raise error

    patience = Waiter(1.0, 10.0, attempts=3, sleep=slept.append)
    with pytest.raises(ClientError, match="slow down"):
        patience.ask(lambda: refuse(throttled()))
    assert (len(asked), slept) == (3, [1.0, 2.0])
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "call")
    with pytest.raises(ClientError, match="no"):
        patience.ask(lambda: refuse(denied))
    assert len(asked) == 4


def test_a_fault_that_was_put_into_words_is_still_known() -> None:
    failed = AwsCallFailed("The service cannot be described", "slow down", "wait")
    assert not passing(failed)
    failed.__cause__ = throttled()
    assert passing(failed)
    broken = {"Error": {"Code": "Odd"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
    assert passing(ClientError(broken, "call"))
