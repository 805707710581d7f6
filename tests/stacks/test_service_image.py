"""`!service_image`: by content in the local region, by tag in AWS, never something older."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.ecs.dockerfile import content_tag
from runbook.environment import Environment
from runbook.errors import InputInvalid, StackNotFound
from runbook.stacks import release, service_image
from runbook.stacks.edit import config_file
from runbook.stacks.service_image import PublishServiceImage, ServiceImageResolver


class Registry:
    """An ECR that holds some tags."""

    def __init__(self, tags: dict[str, str]) -> None:
        self.tags = tags

    def get_paginator(self, name: str) -> Any:
        assert name == "describe_images"
        return self

    def paginate(self, repositoryName: str, filter: dict[str, str]) -> Any:  # noqa: N803
        if "refused" in self.tags:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Describe")
        for number, (tag, digest) in enumerate(self.tags.items()):
            image = {"imagePushedAt": number, "imageTags": [tag], "imageDigest": digest}
            yield {"imageDetails": [image]}


@pytest.fixture
def dev(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    (environment.project / "app").mkdir()
    (environment.project / "app" / "__main__.py").write_text("1\n")
    (environment.project / "Dockerfile").write_text("FROM x\n")
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
    tag = content_tag(dev.project, "service")
    use_registry(
        monkeypatch,
        {f"{tag}-1": "sha256:zz", f"{tag}-2": "sha256:ab", f"src-other-{tag}": "sha256:cd"},
    )
    assert ServiceImageResolver(stack=stack("dev/service")).resolve() == "@sha256:ab"


def test_where_tasks_are_containers_the_local_region_is_like_aws(
    dev: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = SimpleNamespace(endpoint_url="http://127.0.0.1:4566", tasks="containers")
    monkeypatch.setattr(service_image.region, "running", lambda: state)
    monkeypatch.setattr(service_image, "publish", pytest.fail)
    tag = content_tag(dev.project, "service")
    use_registry(monkeypatch, {f"{tag}-1": "sha256:ab"})
    assert ServiceImageResolver(stack=stack("local/service")).resolve() == "@sha256:ab"
    PublishServiceImage(stack=stack("local/service")).run()


def test_a_registry_that_refuses_is_an_error(
    dev: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(monkeypatch, {"refused": ""})
    with pytest.raises(InputInvalid, match="cannot be read"):
        service_image.source_reference(dev)


def test_an_image_that_was_not_pushed_names_the_commands(dev: Environment) -> None:
    with pytest.raises(InputInvalid, match="make image && make push ENV=dev"):
        service_image.source_reference(dev)


def test_without_a_registry_it_says_how_to_make_one(
    dev: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(environment: Environment, layer: str) -> dict[str, str]:
        raise StackNotFound("a", "b", "c")

    monkeypatch.setattr(service_image, "outputs", nothing)
    with pytest.raises(InputInvalid, match="make create ENV=dev LAYERS=registry"):
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
    state = SimpleNamespace(endpoint_url="http://127.0.0.1:4566", tasks="processes")
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
    use_registry(monkeypatch, {f"{content_tag(dev.project, 'service')}-1": "sha256:cd"})
    assert release.choose(dev).reference == "@sha256:cd"
