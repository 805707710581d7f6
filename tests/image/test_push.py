"""Pushing: once, with a token of the API, and what comes back is a digest."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.ecs import dockerfile, push
from runbook.ecs.engine import Engine
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, InputInvalid

HOST = "123.dkr.ecr.eu-west-1.amazonaws.com"
DIGEST = "sha256:" + "cd" * 32


class Registry:
    """An ECR that knows tags."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.endpoint = f"https://{HOST}"
        self.refuses = ""

    def describe_images(self, repositoryName: str, imageIds: list[dict[str, str]]) -> Any:  # noqa: N803
        if self.refuses:
            raise ClientError({"Error": {"Code": self.refuses, "Message": "no"}}, "DescribeImages")
        tag = imageIds[0]["imageTag"]
        if tag not in self.tags:
            error = {"Error": {"Code": "ImageNotFoundException", "Message": "no"}}
            raise ClientError(error, "DescribeImages")
        return {"imageDetails": [{"imageDigest": self.tags[tag]}]}

    def get_authorization_token(self) -> Any:
        token = base64.b64encode(b"AWS:secret:word").decode()
        return {
            "authorizationData": [{"authorizationToken": token, "proxyEndpoint": self.endpoint}]
        }


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    fake = Registry()
    monkeypatch.setattr(push, "client", lambda environment, service: fake)
    use_outputs(monkeypatch, {"RepositoryName": "shop", "RepositoryUri": f"{HOST}/shop"})
    return fake


def use_outputs(monkeypatch: pytest.MonkeyPatch, found: dict[str, str]) -> None:
    monkeypatch.setattr(push, "outputs", lambda environment, layer: found)


@pytest.fixture
def tag(environment: Environment, spoken: Any) -> str:
    """An image that has been built."""
    found = f"{dockerfile.content_tag(environment.project, 'service')}-12345678"
    spoken.answers["podman images"] = f"localhost/shop-service {found}\n"
    return found


def test_the_engine_logs_in_with_the_apis_token_and_pushes(
    environment: Environment, registry: Registry, spoken: Any, podman: Engine, tag: str
) -> None:
    planned = push.plan(environment, "service", podman)
    assert (planned.digest, planned.tag) == ("", tag)
    spoken.on_call = lambda command: (
        registry.tags.update({tag: DIGEST}) if command[1] == "push" else None
    )
    done = push.push(environment, planned, podman, through_api=False)
    assert done.reference == f"{HOST}/shop@{DIGEST}"
    assert spoken.said("podman login")[-1] == HOST
    assert "secret:word" in spoken.stdin
    assert spoken.said("podman push")[-1] == f"{HOST}/shop:{tag}"


def test_what_the_registry_has_is_not_sent_again(
    environment: Environment, registry: Registry, spoken: Any, podman: Engine, tag: str
) -> None:
    registry.tags[tag] = DIGEST
    planned = push.plan(environment, "service", podman)
    assert push.push(environment, planned, podman, through_api=False) == planned
    assert planned.reference.endswith(DIGEST)
    assert {call[1] for call in spoken.calls} == {"images"}


def test_the_local_region_gets_the_archive_through_the_api(
    environment: Environment,
    registry: Registry,
    spoken: Any,
    podman: Engine,
    tag: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[Any] = []

    def publish(environment: Environment, image: Any, repository: str) -> None:
        sent.append((image, repository))
        registry.tags[image.tag] = image.digest

    monkeypatch.setattr(push, "publish", publish)
    monkeypatch.setattr(push, "read_archive", _image)
    planned = push.plan(environment, "service", podman)
    done = push.push(environment, planned, podman, through_api=True)
    assert [(image.tag, repository) for image, repository in sent] == [(tag, "shop")]
    assert done.digest == sent[0][0].digest
    assert {call[1] for call in spoken.calls} == {"images", "save"}


def _image(path: Path, tag: str) -> Any:
    from runbook.ecs.image import assemble

    return assemble(tag, json.dumps({"config": {}}).encode(), [b"\x1f\x8blayer"])


def test_another_accounts_registry_is_refused(
    environment: Environment, registry: Registry, spoken: Any, podman: Engine, tag: str
) -> None:
    registry.endpoint = "https://999.dkr.ecr.eu-west-1.amazonaws.com"
    planned = push.plan(environment, "service", podman)
    with pytest.raises(InputInvalid, match="the token is for 999"):
        push.push(environment, planned, podman, through_api=False)
    assert {call[1] for call in spoken.calls} == {"images"}


def test_an_image_that_did_not_arrive_is_an_error(
    environment: Environment, registry: Registry, podman: Engine, tag: str
) -> None:
    planned = push.plan(environment, "service", podman)
    with pytest.raises(AwsCallFailed, match=f"sent as {tag} and cannot be found"):
        push.push(environment, planned, podman, through_api=False)


def test_a_registry_that_refuses_is_an_error(
    environment: Environment, registry: Registry, podman: Engine, tag: str
) -> None:
    registry.refuses = "AccessDeniedException"
    with pytest.raises(AwsCallFailed, match="The registry shop refused"):
        push.plan(environment, "service", podman)


def test_the_runbooks_image_goes_to_its_own_repository_where_there_is_one(
    environment: Environment,
    registry: Registry,
    spoken: Any,
    podman: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = f"{dockerfile.content_tag(environment.project, 'runbook')}-12345678"
    spoken.answers["podman images"] = f"localhost/shop-runbook {found}\n"
    assert push.plan(environment, "runbook", podman).repository == "shop"
    use_outputs(
        monkeypatch,
        {
            "RepositoryName": "shop",
            "RepositoryUri": f"{HOST}/shop",
            "RunbookRepositoryName": "tools",
            "RunbookRepositoryUri": f"{HOST}/tools",
        },
    )
    assert push.plan(environment, "runbook", podman).repository_uri == f"{HOST}/tools"
