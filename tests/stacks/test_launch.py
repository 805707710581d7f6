"""Applying a review: order, failure, what was not shown, starting again."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.environment import Environment
from runbook.errors import ApprovalMissing, AwsCallFailed, EnvironmentLocked, StackFailed
from runbook.stacks import launch, plan, remove
from runbook.stacks.events import StackEvent
from runbook.stacks.failures import last_failures
from runbook.stacks.launch import apply, apply_edit
from runbook.stacks.plan import plan_changes
from runbook.stacks.proposal import proposed_copy
from runbook.stacks.remove import delete
from runbook.waiting import Waiter


def refused(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "call")


def service_config(environment: Environment, old: str, new: str) -> None:
    path = environment.sceptre_dir / "config/local/service.yaml"
    path.write_text(path.read_text().replace(old, new))


def test_layers_are_created_in_order_and_events_told(
    environment: Environment, cloudformation, waiter: Waiter
) -> None:
    told: list[StackEvent] = []
    review = plan_changes(environment, waiter=waiter)
    outcomes = apply(environment, review, on_event=told.append, waiter=waiter)
    assert [item.result for item in outcomes] == ["created", "created"]
    executed = [call for call in cloudformation.calls if call.startswith("execute")]
    assert executed == ["execute CREATE shop-local-network", "execute CREATE shop-local-service"]
    assert [event.logical_id for event in told if not event.of_stack] == [
        "Vpc",
        "Flow",
        "Store",
        "Thing",
    ]
    assert len({event.event_id for event in told}) == len(told), "each event is told once"
    given = cloudformation.stacks["shop-local-service"]["given"]
    assert given["Where"] == "vpc-1:tail"


def test_a_layer_is_told_of_once_it_is_certain_to_change_and_before_it_does(
    environment: Environment, launched, waiter: Waiter
) -> None:
    told: list[str] = []

    def start(layer: str) -> None:
        told.append(layer)
        assert not [call for call in launched.calls if call.startswith("execute")]

    service_config(environment, "tail", "end")
    review = plan_changes(environment, waiter=waiter)
    apply(environment, review, on_start=start, waiter=waiter)
    assert told == ["service"], "the network does not change"


def test_nothing_to_change_is_no_change(environment: Environment, launched, waiter: Waiter) -> None:
    review = plan_changes(environment, waiter=waiter)
    outcomes = apply(environment, review, waiter=waiter)
    assert [item.result for item in outcomes] == ["no_change", "no_change"]
    assert not [call for call in launched.calls if call.startswith("execute")]


def test_a_failed_layer_stops_the_next_and_names_the_root_cause(
    environment: Environment, cloudformation, waiter: Waiter
) -> None:
    cloudformation.broken = {"Vpc": "no more VPCs"}
    review = plan_changes(environment, waiter=waiter)
    with pytest.raises(StackFailed) as caught:
        apply(environment, review, waiter=waiter)
    assert "Layer network failed, shop-local-network is ROLLBACK_COMPLETE" in str(caught.value)
    assert "Vpc (AWS::SNS::Topic): no more VPCs (1 more failed because of it)" in str(caught.value)
    assert "shop-local-service" not in cloudformation.stacks
    (failure,) = last_failures(environment)
    assert (failure.operation, failure.root.logical_id) == ("create", "Vpc")
    assert [event.reason for event in failure.cascade] == ["Resource creation cancelled"]


def test_a_stack_whose_creation_failed_is_made_anew(
    environment: Environment, cloudformation, waiter: Waiter
) -> None:
    cloudformation.broken = {"Vpc": "no more VPCs"}
    review = plan_changes(environment, waiter=waiter)
    with pytest.raises(StackFailed):
        apply(environment, review, waiter=waiter)
    cloudformation.broken = {}
    again = plan_changes(environment, waiter=waiter)
    assert again.layers[0].operation == "recreate"
    assert again.digest == review.digest, "the approval still holds"
    assert [item.result for item in apply(environment, again, waiter=waiter)] == [
        "created",
        "created",
    ]
    assert "delete shop-local-network" in cloudformation.calls


def test_a_failed_update_is_found_as_the_last_update_failure(
    environment: Environment, launched, waiter: Waiter
) -> None:
    launched.broken = {"Thing": "limit reached"}
    service_config(environment, "tail", "end")
    with pytest.raises(StackFailed, match="UPDATE_ROLLBACK_COMPLETE: Thing"):
        apply(environment, plan_changes(environment, waiter=waiter), waiter=waiter)
    (failure,) = last_failures(environment)
    assert (failure.operation, failure.layer) == ("update", "service")


def test_a_configuration_changed_after_the_review_stops(
    environment: Environment, cloudformation, waiter: Waiter
) -> None:
    review = plan_changes(environment, waiter=waiter)
    service_config(environment, "tail", "end")
    with pytest.raises(ApprovalMissing, match="are not what was reviewed"):
        apply(environment, review, waiter=waiter)
    assert cloudformation.stacks == {}


def test_a_configuration_changed_while_layers_are_applied_stops_the_late_ones(
    environment: Environment, cloudformation, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    review = plan_changes(environment, waiter=waiter)
    monkeypatch.setattr(
        cloudformation, "on_execute", lambda name: service_config(environment, "tail", "end")
    )
    with pytest.raises(ApprovalMissing, match="are not what was reviewed"):
        apply(environment, review, waiter=waiter)
    assert list(cloudformation.stacks) == ["shop-local-network"]


@pytest.fixture
def edited(
    environment: Environment,
    launched,
    tmp_path: Path,
    waiter: Waiter,
    monkeypatch: pytest.MonkeyPatch,
):
    """What is to be written, and the review of it."""
    monkeypatch.setattr(launch, "waiter_for", lambda environment: waiter)
    draft = proposed_copy(environment, tmp_path / "run")
    service_config(draft, "tail", "end")
    return lambda: service_config(environment, "tail", "end"), plan_changes(draft, waiter=waiter)


def configured(environment: Environment) -> str:
    return (environment.sceptre_dir / "config/local/service.yaml").read_text()


def test_an_edit_is_written_and_applied(environment: Environment, launched, edited) -> None:
    write, review = edited
    outcomes = apply_edit(environment, review, "service", write, allowed=frozenset())
    assert outcomes[-1].result == "updated"
    assert launched.stacks["shop-local-service"]["given"]["Where"] == "vpc-1:end"
    assert "end" in configured(environment)


@pytest.mark.parametrize("why", ["locked", "changed by somebody", "taken back"])
def test_an_edit_that_changed_nothing_is_not_left_in_the_file(
    environment: Environment, launched, edited, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    write, review = edited
    before = configured(environment)
    expected: type[Exception] = ApprovalMissing
    if why == "locked":

        @contextmanager
        def taken(environment: Environment) -> Iterator[None]:
            raise EnvironmentLocked("local is locked", "by another", "wait")
            yield

        monkeypatch.setattr(launch, "held", taken)
        expected = EnvironmentLocked
    elif why == "taken back":
        launched.broken = {"Thing": "limit reached"}
        expected = StackFailed
    else:
        launched.stacks["shop-local-service"]["Tags"] = [{"Key": "by", "Value": "hand"}]
    with pytest.raises(expected):
        apply_edit(environment, review, "service", write, allowed=frozenset())
    assert configured(environment) == before


def test_an_edit_whose_end_nobody_saw_stays_in_the_file(
    environment: Environment, launched, edited, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, review = edited

    def lost(*_: Any, **__: Any) -> None:
        raise AwsCallFailed("No network", "away", "run again")

    monkeypatch.setattr(launch, "follow", lost)
    with pytest.raises(AwsCallFailed):
        apply_edit(environment, review, "service", write, allowed=frozenset())
    assert "end" in configured(environment)


def test_a_replacement_that_was_not_shown_stops_before_it_happens(
    environment: Environment, launched, waiter: Waiter
) -> None:
    service_config(environment, "tail", "end")
    review = plan_changes(environment, waiter=waiter)
    launched.replacing = {"Store": "True"}
    with pytest.raises(ApprovalMissing, match=r"did not show: Store \(Modify\)"):
        apply(environment, review, waiter=waiter)
    assert not [call for call in launched.calls if call.startswith("execute")]
    assert launched.change_sets == {}


def test_a_revision_that_follows_from_another_layer_need_not_have_been_shown(
    environment: Environment, launched, waiter: Waiter
) -> None:
    template = environment.sceptre_dir / "templates" / "service.yaml"
    template.write_text(template.read_text().replace("AWS::SNS::Topic", "AWS::ECS::TaskDefinition"))
    review = plan_changes(environment, waiter=waiter)
    launched.replacing = {"Thing": "True"}
    outcomes = apply(environment, review, waiter=waiter)
    assert outcomes[-1].result == "updated"


def test_only_named_layers_are_applied(
    environment: Environment, cloudformation, waiter: Waiter
) -> None:
    review = plan_changes(environment, waiter=waiter)
    outcomes = apply(environment, review, layers=["network"], waiter=waiter)
    assert [item.layer for item in outcomes] == ["network"]


def test_a_layer_without_its_upstream_is_refused(
    environment: Environment, cloudformation, waiter: Waiter
) -> None:
    review = plan_changes(environment, waiter=waiter)
    with pytest.raises(StackFailed, match=r"do not exist: shop-local-network\.VpcId"):
        apply(environment, review, layers=["service"], waiter=waiter)


def test_an_operation_under_way_is_waited_for(
    environment: Environment, launched, waiter: Waiter
) -> None:
    launched.stacks["shop-local-service"]["queue"] = [
        "UPDATE_IN_PROGRESS",
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE",
    ]
    assert plan_changes(environment, waiter=waiter).empty


def test_an_operation_that_never_ends_is_an_error(
    environment: Environment, launched, waiter: Waiter
) -> None:
    launched.stacks["shop-local-service"]["queue"] = ["UPDATE_IN_PROGRESS"] * 100
    with pytest.raises(AwsCallFailed, match="did not end"):
        plan_changes(environment, waiter=waiter)


def test_a_refused_change_set_is_an_error_with_the_reason(
    environment: Environment, cloudformation, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = cloudformation.create_change_set

    def failing(**request):
        answer = original(**request)
        found = cloudformation.change_sets[answer["Id"]]
        found.update(Status="FAILED", StatusReason="Parameter Cidr is malformed")
        return answer

    monkeypatch.setattr(cloudformation, "create_change_set", failing)
    review = plan_changes(environment, waiter=waiter)
    with pytest.raises(AwsCallFailed, match="Parameter Cidr is malformed"):
        apply(environment, review, waiter=waiter)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("Throttling", "could not be asked what would change .* run this again"),
        ("AccessDenied", "does not let this caller change .* check credentials and rights"),
        ("ExpiredToken", "does not let this caller change"),
        ("ValidationError", "refuses the change of shop-local-service.*mend sceptre/config"),
    ],
)
def test_who_is_to_mend_what_depends_on_the_fault(
    environment: Environment,
    launched,
    waiter: Waiter,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    words: str,
) -> None:
    def create_change_set(**_: Any) -> None:
        raise refused(code, "no")

    monkeypatch.setattr(launched, "create_change_set", create_change_set)
    service_config(environment, "tail", "end")
    with pytest.raises(AwsCallFailed, match=words):
        plan_changes(environment, ["service"], waiter=waiter)


class Flaky:
    """A CloudFormation that is throttled at the first call of each kind and again at each third."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        def call(**wanted: Any) -> Any:
            self.asked[name] += 1
            if self.asked[name] % 3 == 1:
                raise refused("Throttling", "slow down")
            return getattr(self.real, name)(**wanted)

        return call


def test_throttling_stops_no_step_of_a_deployment_or_a_deletion(
    environment: Environment, cloudformation, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky = Flaky(cloudformation)
    for module in (launch, plan, remove):
        monkeypatch.setattr(module, "client", lambda *_: flaky)
    apply(environment, plan_changes(environment, waiter=waiter), waiter=waiter)
    service_config(environment, "tail", "end")
    outcomes = apply(environment, plan_changes(environment, waiter=waiter), waiter=waiter)
    assert [item.result for item in outcomes] == ["no_change", "updated"]
    executed = [call for call in cloudformation.calls if call.startswith("execute")]
    assert len(executed) == 3, "each once"
    for layer in ("service", "network"):
        delete(environment, [layer], waiter=waiter)
    assert cloudformation.stacks == {}
    assert set(flaky.asked) == {
        "create_change_set", "delete_change_set", "delete_stack", "describe_change_set",
        "describe_stack_events", "describe_stacks", "execute_change_set", "get_template",
        "list_stack_resources",
    }  # fmt: skip


def test_an_old_status_just_after_the_start_is_not_taken_for_the_end(
    environment: Environment, launched, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    service_config(environment, "tail", "end")
    review = plan_changes(environment, ["service"], waiter=waiter)
    lag: list[dict[str, Any]] = []
    monkeypatch.setattr(
        launched, "on_execute", lambda name: lag.extend([dict(launched.stacks[name])] * 4)
    )
    describe, events = launched.describe_stacks, launched.describe_stack_events
    monkeypatch.setattr(
        launched,
        "describe_stacks",
        lambda **wanted: {"Stacks": [lag.pop() | {"Outputs": []}]} if lag else describe(**wanted),
    )
    monkeypatch.setattr(
        launched,
        "describe_stack_events",
        lambda **wanted: {"StackEvents": []} if lag else events(**wanted),
    )
    told: list[StackEvent] = []
    apply(environment, review, on_event=told.append, waiter=waiter)
    assert lag == []
    assert [event.status for event in told if event.of_stack][-1] == "UPDATE_COMPLETE"


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


def test_a_hook_that_refuses_stops_before_any_change(
    environment: Environment, cloudformation, waiter: Waiter, credentials: None
) -> None:
    path = environment.sceptre_dir / "config/local/network.yaml"
    path.write_text(path.read_text() + "hooks:\n  before_launch:\n    - !cmd 'exit 3'\n")
    review = plan_changes(environment, waiter=waiter)
    with pytest.raises(StackFailed, match="before_launch hook of layer network refused"):
        apply(environment, review, waiter=waiter)
    assert cloudformation.calls == []


def test_hooks_run_around_a_change(
    environment: Environment, cloudformation, waiter: Waiter, tmp_path, credentials: None
) -> None:
    path = environment.sceptre_dir / "config/local/network.yaml"
    marks = tmp_path / "marks"
    hooks = "".join(
        f"  {point}:\n    - !cmd 'echo {point} >> {marks}'\n"
        for point in ("before_launch", "before_create", "after_create", "before_update")
    )
    path.write_text(path.read_text() + f"hooks:\n{hooks}")
    review = plan_changes(environment, waiter=waiter)
    apply(environment, review, layers=["network"], waiter=waiter)
    assert marks.read_text().split() == ["before_launch", "before_create", "after_create"]
