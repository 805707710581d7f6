"""Planning, the digest, and the gate."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runbook.environment import Environment
from runbook.errors import ApprovalMissing, InputInvalid
from runbook.stacks.changesets import Change
from runbook.stacks.diff import LayerDiff
from runbook.stacks.launch import apply
from runbook.stacks.plan import plan_changes
from runbook.stacks.review import LayerReview, Review, attention, require_approval
from runbook.waiting import Waiter


def edit(environment: Environment, name: str, old: str, new: str) -> None:
    path = environment.sceptre_dir / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_first_plan_shows_templates_and_writes_nothing(
    environment: Environment, cloudformation, waiter: Waiter
) -> None:
    review = plan_changes(environment, waiter=waiter)
    assert [layer.operation for layer in review.layers] == ["create", "create"]
    assert {change.logical_id for change in review.layers[0].changes} == {"Vpc", "Flow"}
    assert review.layers[0].changes[1].causes == ("if WithFlow",)
    assert review.layers[1].waits_for == ("shop-local-network.VpcId",)
    assert cloudformation.calls == []
    assert cloudformation.stacks == {}


def test_the_digest_is_the_same_before_and_after_the_first_create(
    environment: Environment, cloudformation, waiter: Waiter
) -> None:
    before = plan_changes(environment, waiter=waiter)
    apply(environment, before, waiter=waiter)
    after = plan_changes(environment, waiter=waiter)
    assert after.empty
    assert after.digest == before.digest
    assert [layer.diff.empty for layer in after.layers] == [True, True]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("templates/network.yaml", "CidrBlock", "Other"),
        ("config/local/service.yaml", "hunter2", "hunter3"),
        ("config/config.yaml", "  project: shop", "  project: other"),
    ],
)
def test_the_digest_changes_with_template_parameters_and_tags(
    environment: Environment, cloudformation, waiter: Waiter, name: str, old: str, new: str
) -> None:
    before = plan_changes(environment, waiter=waiter).digest
    edit(environment, name, old, new)
    assert plan_changes(environment, waiter=waiter).digest != before


def test_the_digest_changes_with_the_stack_that_would_be_changed(
    environment: Environment, cloudformation, waiter: Waiter
) -> None:
    apply(environment, plan_changes(environment, waiter=waiter), waiter=waiter)
    edit(environment, "config/local/service.yaml", "tail", "end")
    seen = plan_changes(environment, waiter=waiter)
    cloudformation.stacks["shop-local-service"]["Tags"].append({"Key": "by", "Value": "hand"})
    now = plan_changes(environment, waiter=waiter)
    assert now.configuration == seen.configuration
    assert now.digest != seen.digest
    assert seen.digest != seen.configuration
    assert Review.from_dict(now.to_dict()).digest == now.digest


def test_an_update_is_shown_with_diff_and_replacements_shouted(
    environment: Environment, cloudformation, waiter: Waiter
) -> None:
    apply(environment, plan_changes(environment, waiter=waiter), waiter=waiter)
    cloudformation.replacing = {"Store": "True"}
    edit(environment, "config/local/service.yaml", "tail", "end")
    review = plan_changes(environment, waiter=waiter)
    network, service = review.layers
    assert network.operation == "none"
    assert service.operation == "update"
    assert [(c.name, c.before, c.after) for c in service.diff.parameters] == [
        ("Where", "vpc-1:tail", "vpc-1:end")
    ]
    assert review.destructive == {("service", "Store")}
    assert "STATEFUL: REPLACED: service / Store" in review.warnings()[0]
    assert cloudformation.change_sets == {}, "a plan leaves no change set behind"


def test_what_is_revised_by_every_change_is_shouted_only_when_it_goes() -> None:
    def change(action: str, kind: str) -> Change:
        return Change("X", kind, action, "True" if action == "Modify" else "")

    revised = "AWS::ECS::TaskDefinition"
    assert attention(change("Modify", revised)) == ""
    assert attention(change("Remove", revised)) == "DELETED"
    assert attention(change("Modify", "AWS::ECS::Service")) == "REPLACED"


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("", "Its content is lost."),
        ("Delete", "Its content is lost."),
        ("ReplaceAndDelete", "Its content is lost."),
        ("ReplaceAndRetain", "It stays, unused."),
        ("Retain", "It stays, unused."),
        ("ReplaceAndSnapshot", "A snapshot of its content is kept."),
    ],
)
def test_a_loss_is_shouted_only_when_something_is_lost(policy: str, words: str) -> None:
    change = Change("Store", "AWS::S3::Bucket", "Modify", "True", (), policy)
    layer = LayerReview("data", "s", "update", (change,), LayerDiff("", (), ()))
    review = Review.from_dict(Review("dev", (layer,), "d" * 64).to_dict())
    (warning,) = review.warnings()
    assert warning.startswith("STATEFUL: REPLACED: data / Store")
    assert warning.endswith(words)


def test_a_secret_parameter_is_never_written_down(
    environment: Environment, cloudformation, waiter: Waiter, tmp_path: Path
) -> None:
    review = plan_changes(environment, waiter=waiter)
    text = review.save(tmp_path / "review.json").read_text()
    assert json.loads(text)["digest"] == review.digest
    assert "hunter2" not in text
    assert "****" in text


def test_local_approves_itself_and_others_name_what_to_approve(
    environment: Environment, cloudformation, waiter: Waiter
) -> None:
    review = plan_changes(environment, waiter=waiter)
    dev = replace(environment, name="dev")
    assert require_approval(environment, review, "") == "local approves itself"
    with pytest.raises(ApprovalMissing, match=f"--approve {review.short_digest}"):
        require_approval(dev, review, "")
    assert require_approval(dev, review, review.short_digest) == "digest"
    with pytest.raises(ApprovalMissing, match="is not that of this plan"):
        require_approval(environment, review, "0" * 64)
    with pytest.raises(InputInvalid, match="too short"):
        require_approval(dev, review, review.digest[:6])
