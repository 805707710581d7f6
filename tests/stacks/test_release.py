"""Which image is deployed, and that it is in the registry before the service needs it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.environment import Environment
from runbook.errors import ApprovalMissing, AwsCallFailed, InputInvalid, StackFailed
from runbook.stacks import proposed_copy, release
from runbook.stacks.diff import LayerDiff
from runbook.stacks.edit import config_file, read_parameter
from runbook.stacks.launch import LayerOutcome
from runbook.stacks.plan import plan_changes
from runbook.stacks.release import Release
from runbook.stacks.review import LayerReview, Review
from runbook.stacks.service_image import TAG
from runbook.waiting import Waiter

NAMES = ("network", "registry", "data", "service")
REVIEW = Review(
    "local",
    tuple(LayerReview(name, name, "create", (), LayerDiff("", (), ())) for name in NAMES),
    "d" * 64,
)


@pytest.fixture
def configured(environment: Environment) -> Environment:
    path = config_file(environment, "service")
    path.write_text(path.read_text() + '  ImageReference: ""\n')
    (environment.project / "app").mkdir()
    (environment.project / "app" / "__main__.py").write_text("1\n")
    return environment


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    happened: list[str] = []

    def apply(environment: Environment, review: Review, *, layers: Any, **_: Any) -> tuple[()]:
        happened.append(f"apply {','.join(layers)}")
        return ()

    def publish(environment: Environment, image: Any) -> bool:
        happened.append("publish")
        return True

    monkeypatch.setattr(release, "apply", apply)
    monkeypatch.setattr(release, "publish", publish)
    monkeypatch.setattr(release, "published", lambda environment, reference: reference == ":v1")
    return happened


def test_local_runs_the_source_as_it_is(configured: Environment) -> None:
    chosen = release.choose(configured)
    assert chosen.image is not None
    assert chosen.reference == f"@{chosen.image.digest}"
    assert "built here" in chosen.describe()


def test_a_configuration_that_asks_for_the_source_stays_as_it_is(
    configured: Environment,
) -> None:
    path = config_file(configured, "service")
    path.write_text(
        path.read_text().replace('ImageReference: ""', "ImageReference: !service_image")
    )
    before = path.read_text()
    chosen = release.choose(configured)
    assert chosen.write(configured) is False
    assert path.read_text() == before
    assert Release("@sha256:ab").write(configured) is True
    assert '  ImageReference: "@sha256:ab"\n' in path.read_text()
    assert release.choose(configured, "source").write(configured) is True
    assert path.read_text() == before, "the tag is no text"


def test_what_was_pushed_last_is_what_the_next_change_is_about_unless_one_is_pinned(
    configured: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "runs_processes", lambda environment: False)
    monkeypatch.setattr(release, "source_reference", lambda environment: pushed[-1])
    Release("", follows=True).write(configured)
    pushed = ["@sha256:01"]
    first = release.choose(configured)
    first.write(configured)
    pushed.append("@sha256:02")
    second = release.choose(configured)
    assert (first.reference, second.reference) == ("@sha256:01", "@sha256:02")
    assert "that of the source" in second.describe()

    release.choose(configured, "@sha256:01").write(configured)
    pinned = release.choose(configured)
    assert pinned.reference == "@sha256:01"
    assert "pinned in service.yaml; IMAGE=source" in pinned.describe()
    release.choose(configured, "source").write(configured)
    assert release.choose(configured) == second


def test_elsewhere_the_configuration_or_the_caller_names_the_image(
    configured: Environment,
) -> None:
    (configured.sceptre_dir / "config" / "dev").symlink_to(
        configured.sceptre_dir / "config" / "local"
    )
    dev = replace(configured, name="dev")
    with pytest.raises(
        InputInvalid, match=r"dev has no image to run.*make image && make push ENV=dev"
    ):
        release.choose(dev)
    Release("@sha256:ab").write(dev)
    assert release.choose(dev).reference == "@sha256:ab"
    with pytest.raises(InputInvalid, match="neither a digest nor a tag"):
        release.choose(dev, "v1")


def test_a_tag_is_turned_into_the_digest_it_means_now(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Registry:
        def describe_images(self, repositoryName: str, imageIds: list[dict[str, str]]) -> Any:  # noqa: N803
            if imageIds != [{"imageTag": "v1"}]:
                error = {"Error": {"Code": "ImageNotFoundException", "Message": "none"}}
                raise ClientError(error, "DescribeImages")
            return {"imageDetails": [{"imageDigest": "sha256:ef"}]}

    monkeypatch.setattr(release, "client", lambda environment, service: Registry())
    monkeypatch.setattr(release, "outputs", lambda environment, layer: {"RepositoryName": "shop"})
    assert release.choose(environment, ":v1") == Release("@sha256:ef")
    with pytest.raises(InputInvalid, match=r"Image :v2 is not in the registry of local"):
        release.choose(environment, ":v2")


def test_the_image_is_there_before_the_service(configured: Environment, told: list[str]) -> None:
    chosen = release.choose(configured)
    release.roll_out(configured, REVIEW, chosen, allowed=frozenset())
    assert told == ["apply network,registry", "publish", "apply data,service"]
    assert read_parameter(config_file(configured, "service"), "ImageReference") == TAG


def test_an_image_that_nobody_pushed_stops_before_the_service(
    configured: Environment, told: list[str]
) -> None:
    with pytest.raises(InputInvalid, match="Image :v2 is not in the registry"):
        release.roll_out(configured, REVIEW, Release(":v2"), allowed=frozenset())
    assert told == ["apply network,registry"]
    assert ":v2" not in config_file(configured, "service").read_text()
    release.roll_out(configured, REVIEW, Release(":v1"), allowed=frozenset())
    assert told[-1] == "apply data,service"


SERVED = LayerOutcome("service", "shop-local-service", "updated", 1)


AWAY = AwsCallFailed("No network", "away", "run again")
BAD_TOKEN = ClientError({"Error": {"Code": "ExpiredToken", "Message": "over"}}, "call")


@pytest.mark.parametrize(
    ("error", "started", "served", "named"),
    [
        (StackFailed("Layer service failed", "no", "mend it"), True, False, False),
        (ApprovalMissing("data was changed", "by hand", "review again"), False, False, False),
        (AwsCallFailed("CloudFormation refuses data", "no", "mend it"), False, False, False),
        (BAD_TOKEN, False, False, False),
        (StackFailed("Layer scaling failed", "no", "mend it"), True, True, True),
        (AWAY, True, False, True),
        (BAD_TOKEN, True, False, True),
    ],
)
def test_the_configuration_does_not_go_on_naming_what_failed(
    configured: Environment,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    started: bool,
    served: bool,
    named: bool,
) -> None:
    def apply(*_: Any, layers: Any, on_layer: Any, on_start: Any, **__: Any) -> None:
        if "service" in layers:
            if started:
                on_start("service")
            if served:
                on_layer(SERVED)
            raise error

    monkeypatch.setattr(release, "apply", apply)
    pinned = Release(":v1", parameters=(("Password", "other"),))
    with pytest.raises(type(error)):
        release.roll_out(configured, REVIEW, pinned, allowed=frozenset())
    text = config_file(configured, "service").read_text()
    assert (":v1" in text, "other" in text) == (named, named)


def test_a_proposal_has_the_digest_of_the_edit_it_stands_for(
    environment: Environment, cloudformation, waiter: Waiter, tmp_path: Path
) -> None:
    before = plan_changes(environment, waiter=waiter).digest
    draft = proposed_copy(environment, tmp_path / "run")
    path = config_file(draft, "network")
    path.write_text(path.read_text().replace("10.0.0.0/16", "10.9.0.0/16"))
    proposed = plan_changes(draft, waiter=waiter).digest
    assert plan_changes(environment, waiter=waiter).digest == before
    original = config_file(environment, "network")
    original.write_text(path.read_text())
    assert plan_changes(environment, waiter=waiter).digest == proposed != before
