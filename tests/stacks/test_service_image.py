"""`!service_image`: by content in the local region, by tag in AWS, never something older."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.environment import Environment
from runbook.errors import InputInvalid, StackNotFound
from runbook.stacks import release, service_image
from runbook.stacks.edit import config_file
from runbook.stacks.service_image import PublishServiceImage, ServiceImageResolver


class Registry:
    """An ECR that holds some tags."""

    def __init__(self, tags: dict[str, str]) -> None:
        self.tags = tags

    def describe_images(self, repositoryName: str, imageIds: list[dict[str, str]]) -> Any:  # noqa: N803
        tag = imageIds[0]["imageTag"]
        if tag not in self.tags:
            error = {"Error": {"Code": "ImageNotFoundException", "Message": f"no {tag}"}}
            raise ClientError(error, "DescribeImages")
        return {"imageDetails": [{"imageDigest": self.tags[tag]}]}


@pytest.fixture
def dev(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    (environment.project / "app").mkdir()
    (environment.project / "app" / "__main__.py").write_text("1\n")
    found = replace(environment, name="dev")
    monkeypatch.setattr(service_image, "load_environment", lambda name: replace(found, name=name))
    use_registry(monkeypatch, {})
    return found


def use_registry(monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]) -> None:
    monkeypatch.setattr(service_image, "client", lambda environment, service: Registry(tags))
    monkeypatch.setattr(
        service_image,
        "outputs",
        lambda environment, layer: {"RepositoryName": "shop", "RepositoryUri": "host/shop"},
    )


def stack(name: str) -> Any:
    return SimpleNamespace(name=name)


def test_in_the_local_region_the_content_is_the_reference(dev: Environment) -> None:
    local = replace(dev, name="local")
    expected = service_image.source_image(local).reference
    assert ServiceImageResolver(stack=stack("local/service")).resolve() == expected
    (dev.project / "app" / "__main__.py").write_text("2\n")
    assert ServiceImageResolver(stack=stack("local/service")).resolve() != expected


def test_in_aws_the_tag_of_the_content_decides(
    dev: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(monkeypatch, {service_image.source_image(dev).tag: "sha256:ab"})
    assert ServiceImageResolver(stack=stack("dev/service")).resolve() == "@sha256:ab"


def test_an_image_that_was_not_pushed_names_the_commands(dev: Environment) -> None:
    tag = service_image.source_image(dev).tag
    with pytest.raises(InputInvalid, match=rf"docker build -t host/shop:{tag}"):
        service_image.source_reference(dev)


def test_without_a_registry_it_says_how_to_make_one(
    dev: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(environment: Environment, layer: str) -> dict[str, str]:
        raise StackNotFound("a", "b", "c")

    monkeypatch.setattr(service_image, "outputs", nothing)
    with pytest.raises(InputInvalid, match=r"sceptre launch dev/registry\.yaml"):
        service_image.source_reference(dev)


@pytest.mark.parametrize(("name", "pushed"), [("local", True), ("dev", False)])
def test_only_the_local_region_is_pushed_to_by_the_hook(
    dev: Environment, monkeypatch: pytest.MonkeyPatch, name: str, pushed: bool
) -> None:
    told: list[str] = []
    monkeypatch.setattr(service_image, "publish", lambda env, image: told.append(env.name))
    PublishServiceImage(stack=stack(f"{name}/service")).run()
    assert told == ([name] if pushed else [])


def test_another_environment_on_the_local_region_counts_as_local(
    dev: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = SimpleNamespace(endpoint_url="http://127.0.0.1:4566")
    monkeypatch.setattr(service_image.region, "running", lambda: state)
    assert not service_image.in_local_region(dev)
    monkeypatch.setenv("AWS_ENDPOINT_URL", state.endpoint_url)
    assert service_image.in_local_region(dev)


def test_a_deployment_asks_the_same_question(
    dev: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dev.sceptre_dir / "config" / "dev").symlink_to(dev.sceptre_dir / "config" / "local")
    path = config_file(dev, "service")
    path.write_text(path.read_text() + f"  ImageReference: {service_image.TAG}\n")
    use_registry(monkeypatch, {service_image.source_image(dev).tag: "sha256:cd"})
    assert release.choose(dev).reference == "@sha256:cd"
