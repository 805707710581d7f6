"""What a change does to users, and passing faults while waiting."""

import pytest

from runbook.stacks.changesets import Change
from runbook.stacks.diff import LayerDiff, ValueChange
from runbook.stacks.effect import effect
from runbook.stacks.explain import review_diff
from runbook.stacks.review import LayerReview, Review

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
        (Change("A", DATABASE, "Modify", "False"), "may restart"),
        (Change("A", "AWS::CloudWatch::Alarm", "Modify", "False", ("Period",)), "none"),
        (Change("A", "AWS::X::Y", "Modify", "False"), "unknown"),
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
