"""What a change does to users, and passing faults while waiting."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from runbook.stacks.changesets import Change
from runbook.stacks.diff import LayerDiff, ValueChange
from runbook.stacks.effect import effect
from runbook.stacks.explain import review_diff
from runbook.stacks.review import LayerReview, Review
from runbook.stacks.waiting import Waiter

DATABASE, TASKS = "AWS::RDS::DBInstance", "AWS::ECS::TaskDefinition"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change("A", DATABASE, "Add"), "none"),
        (Change("A", DATABASE, "Modify", "False", ("Tags",)), "none"),
        (Change("A", DATABASE, "Modify", "False", ("BackupRetentionPeriod",)), "none"),
        (Change("A", DATABASE, "Modify", "False", ("DBInstanceClass",)), "may restart"),
        (Change("A", DATABASE, "Modify", "True", ("Engine",)), "an empty database"),
        (Change("A", DATABASE, "Modify", "Conditional", ("Port",)), "if replaced: downtime"),
        (Change("A", DATABASE, "Remove"), "downtime of what uses it"),
        (Change("A", TASKS, "Modify", "True", ("Cpu",)), "a few at a time"),
        (Change("A", "AWS::X::Y", "Modify", "True"), "switches over"),
        (Change("A", "AWS::X::Y", "Modify", "False"), "none"),
        (Change("A", "AWS::X::Y", "Remove"), "gone for what uses it"),
    ],
)
def test_the_effect_follows_from_type_and_cause(change: Change, words: str) -> None:
    assert words in effect(change)


def test_a_review_shows_what_differs_in_layers_that_are_there() -> None:
    changed = LayerDiff(
        "@@\n-a\n+b", (ValueChange("Cpu", "1", "2"),), (ValueChange("owner", None, "me"),)
    )
    review = Review(
        "dev",
        (
            LayerReview("network", "n", "none", (), LayerDiff("", (), ())),
            LayerReview("service", "s", "update", (), changed),
            LayerReview("scaling", "c", "create", (), changed),
        ),
        "d" * 64,
    )
    assert review_diff(review).splitlines() == [
        "--- service",
        "parameter Cpu: 1 -> 2",
        "tag owner: (none) -> me",
        "@@",
        "-a",
        "+b",
    ]


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
