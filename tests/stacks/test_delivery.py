"""What a deployment does around applying the change: smoke test, going back, saying how to undo."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from runbook.ecs.smoke import Answer
from runbook.endpoint import Endpoint
from runbook.environment import Environment
from runbook.errors import (
    ApprovalMissing,
    AwsCallFailed,
    InputInvalid,
    RunbookError,
    ServiceFailed,
    StackFailed,
)
from runbook.stacks import delivery
from runbook.stacks.diff import LayerDiff
from runbook.stacks.launch import LayerOutcome
from runbook.stacks.release import Release
from runbook.stacks.review import LayerReview, Review

SERVICE = LayerReview("service", "shop-local-service", "update", (), LayerDiff("", (), ()))
REVIEW = Review("local", (SERVICE,), "d" * 64)
RELEASE = Release("@sha256:ab", None)
ANSWER = Answer("http://x/products", 200, 3.0, 10)
NETWORK = LayerOutcome("network", "shop-local-network", "updated", 1)
UPDATED = LayerOutcome("service", "shop-local-service", "updated", 1)


class Stage:
    """What `deliver` finds before, what rolling out gives, and what the service answers."""

    def __init__(self) -> None:
        self.before: object | None = SimpleNamespace(task_definition="td:1")
        self.noted = ""
        self.running = 2
        self.done: list[LayerOutcome] = [UPDATED]
        self.error: Exception | None = None
        self.answers: list[Answer | Exception] = [ANSWER]
        self.happened: list[str] = []
        self.told: list[str] = []

    def roll_out(
        self, *_: Any, on_layer: Any = None, on_start: Any = None, **__: Any
    ) -> tuple[LayerOutcome, ...]:
        self.happened.append("roll out")
        for item in self.done if on_layer else ():
            if item.changed:
                on_start(item.layer)
            on_layer(item)
        if self.error:
            raise self.error
        return (UPDATED,)

    def note(self, environment: Environment, task_definition: str) -> bool:
        self.noted = self.noted or task_definition
        return self.noted == task_definition

    def forget(self, environment: Environment) -> None:
        self.noted = ""

    def revisions(self, environment: Environment) -> list[Any]:
        return [
            SimpleNamespace(number=n, arn=f"td:{n}", current=n == self.running) for n in (2, 1, 0)
        ]

    def to_revision(self, environment: Environment, revision: Any) -> Any:
        return SimpleNamespace(
            write=lambda environment: self.happened.append(f"back to {revision.number}")
        )

    def check(self, *_: Any) -> Answer:
        self.happened.append("ask")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def deliver(self, environment: Environment, release: Release | None = RELEASE) -> Any:
        return delivery.deliver(
            environment, REVIEW, release, allowed=frozenset(), tell=self.told.append
        )


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setattr(delivery, "roll_out", made.roll_out)
    monkeypatch.setattr(delivery, "check", made.check)
    for name in ("note", "forget"):
        monkeypatch.setattr(delivery.unproven, name, getattr(made, name))
    monkeypatch.setattr(delivery.unproven, "noted", lambda environment: made.noted)
    monkeypatch.setattr(delivery.revisions, "revisions", made.revisions)
    monkeypatch.setattr(delivery.rollback, "to_revision", made.to_revision)
    monkeypatch.setattr(delivery, "plan_changes", lambda *_: REVIEW)
    monkeypatch.setattr(delivery.restore, "take", lambda environment, layer: made.before)
    monkeypatch.setattr(
        delivery.restore, "restore", lambda *_, **__: made.happened.append("restore")
    )
    return made


def test_what_answers_stays_and_one_is_told_how_to_undo_it(
    environment: Environment, stage: Stage
) -> None:
    assert stage.deliver(environment).answer == ANSWER
    assert stage.happened == ["roll out", "ask"]
    assert stage.told[0].startswith("To undo: runbook run 90_rollback --env local")


def test_who_cannot_ask_goes_by_what_ecs_tells(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(delivery.service, "wait_stable", lambda *_, **__: None)
    where = Endpoint("http://x", "people log in")
    monkeypatch.setattr(delivery, "endpoint", lambda environment: where)
    assert delivery.check(environment, tell=told.append) is None
    assert "cannot be asked from here: people log in. Judged by ECS's deployment" in told[0]


def test_nothing_changed_is_nothing_to_undo(environment: Environment, stage: Stage) -> None:
    stage.done = [LayerOutcome("service", "s", "no_change", 0)]
    stage.deliver(environment)
    assert stage.told == []


def test_a_version_that_does_not_answer_goes(environment: Environment, stage: Stage) -> None:
    stage.answers = [ServiceFailed("It is silent", "503", "look"), ANSWER]
    with pytest.raises(StackFailed, match="was undone: It is silent: 503"):
        stage.deliver(environment)
    assert stage.happened == ["roll out", "ask", "restore", "ask"]
    assert stage.noted == ""


def test_when_the_former_version_fails_too_both_are_named(
    environment: Environment, stage: Stage
) -> None:
    stage.answers = [ServiceFailed("It is silent", "503", "look"), ServiceFailed("S", "504", "x")]
    with pytest.raises(StackFailed, match="was undone, and the service fails still: S: 504; first"):
        stage.deliver(environment)


@pytest.mark.parametrize(
    "unknown",
    [
        AwsCallFailed("Service web cannot be described", "ThrottlingException", "wait"),
        StackFailed("Service web is not stable", "a task starts", "look"),
    ],
)
def test_what_could_not_be_found_out_undoes_nothing(
    environment: Environment, stage: Stage, unknown: RunbookError
) -> None:
    stage.answers = [unknown]
    with pytest.raises(type(unknown), match=unknown.what):
        stage.deliver(environment)
    assert stage.happened == ["roll out", "ask"]
    assert stage.noted == "td:1", "the next run finds it out"


class Killed(BaseException):
    """The process is gone: nothing is tidied up."""


@pytest.mark.parametrize("again", ["the same", "another"])
def test_what_a_killed_run_did_not_ask_the_next_one_does_and_goes_back(
    environment: Environment, stage: Stage, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    monkeypatch.setattr(delivery, "check", lambda *_: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        stage.deliver(environment)
    assert stage.noted == "td:1"

    monkeypatch.setattr(delivery, "check", stage.check)
    stage.answers = [ServiceFailed("It is silent", "503", "look"), ANSWER]
    stage.before, stage.happened = SimpleNamespace(task_definition="td:2"), []
    if again == "the same":
        stage.done = [LayerOutcome("service", "s", "no_change", 0)]
    with pytest.raises(StackFailed, match="was undone: It is silent: 503"):
        stage.deliver(environment)
    assert stage.happened == ["roll out", "ask", "back to 1", "roll out", "ask"]
    assert "the run that deployed it had ended before it was asked" in stage.told[-1]
    assert stage.noted == ""


def test_a_run_that_ends_before_the_service_changes_notes_nothing(
    environment: Environment, stage: Stage
) -> None:
    stage.done, stage.error = [NETWORK], StackFailed("Layer data failed", "no", "mend it")
    with pytest.raises(StackFailed):
        stage.deliver(environment)
    assert stage.noted == ""


def test_elsewhere_nothing_goes_back_that_nobody_approved(
    environment: Environment, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "held", lambda *_, **__: nullcontext())
    dev = replace(environment, name="dev")
    stage.noted = "td:1"
    stage.answers = [ServiceFailed("It is silent", "503", "look")]
    with pytest.raises(StackFailed, match="runbook run 90_rollback --env dev -p revision=1"):
        delivery.prove(dev, tell=stage.told.append)
    assert (stage.happened, stage.noted) == (["ask"], "td:1")

    stage.answers = [ServiceFailed("It is silent", "503", "look"), ANSWER]
    with pytest.raises(StackFailed, match="deployment to dev was undone"):
        delivery.prove(dev, approved=True, tell=stage.told.append)
    assert stage.happened == ["ask", "ask", "back to 1", "roll out", "ask"]


def test_a_version_that_was_proven_stays_when_it_fails_later(
    environment: Environment, stage: Stage
) -> None:
    stage.deliver(environment)
    stage.answers = [ServiceFailed("It is silent", "503", "look")]
    with pytest.raises(StackFailed, match="no other version to go back to"):
        delivery.prove(environment, tell=stage.told.append)
    assert stage.happened == ["roll out", "ask", "ask"]


@pytest.mark.parametrize("why", ["first", "other layer"])
def test_without_a_version_to_go_back_to_it_says_so(
    environment: Environment, stage: Stage, why: str
) -> None:
    stage.answers = [ServiceFailed("It is silent", "503", "look")]
    if why == "first":
        stage.before = None
    else:
        stage.done, stage.running = [NETWORK], 1
    with pytest.raises(StackFailed, match="no other version to go back to"):
        stage.deliver(environment)
    assert "restore" not in stage.happened


@pytest.mark.parametrize(
    "error",
    [
        StackFailed("Layer data failed", "no", "mend it"),
        ApprovalMissing("shop-local-data was changed", "by somebody", "review again"),
        AwsCallFailed("No network", "away", "run again"),
        InputInvalid("Image is not in the registry", "gone", "push it"),
    ],
)
def test_what_stopped_is_not_asked_and_one_is_told_what_stays_and_how_to_undo_it(
    environment: Environment, stage: Stage, error: RunbookError
) -> None:
    stage.before, stage.error = None, error
    stage.done = [NETWORK, LayerOutcome("registry", "r", "no_change", 0)]
    with pytest.raises(type(error), match=error.what):
        stage.deliver(environment)
    assert stage.happened == ["roll out"]
    assert stage.told[0].endswith("were changed, and they stay: network (updated).")
    assert stage.told[1].startswith("To undo: make delete ENV=local")


def test_after_an_update_that_cloudformation_took_back_there_is_no_revision_to_undo(
    environment: Environment, stage: Stage
) -> None:
    stage.done, stage.error = [], StackFailed("Layer service failed", "no", "mend it")
    with pytest.raises(StackFailed):
        stage.deliver(environment)
    assert stage.told == ["It stopped before any layer was changed."]
    stage.done = [NETWORK]
    with pytest.raises(StackFailed):
        stage.deliver(environment)
    assert "90_rollback" not in stage.told[-1]
    assert stage.told[-1].startswith("To undo: check out the former files of sceptre/")


def test_layers_below_a_service_that_is_not_there_yet_have_nobody_to_ask(
    environment: Environment, stage: Stage
) -> None:
    stage.before, stage.done = None, [LayerOutcome("registry", "r", "created", 2)]
    assert stage.deliver(environment, release=None).answer is None
    assert stage.happened == ["roll out"]
    assert stage.told
