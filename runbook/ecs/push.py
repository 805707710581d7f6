"""Sending a built image to an environment's registry, once; what is deployed is its digest."""

from __future__ import annotations

import base64
import tempfile
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from runbook.aws import client, outputs
from runbook.ecs.archive import read_archive
from runbook.ecs.dockerfile import Target, built
from runbook.ecs.engine import Engine
from runbook.ecs.image import publish
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, InputInvalid, StackNotFound
from runbook.guard import require_writable


@dataclass(frozen=True)
class Push:
    """What is sent where. `digest` ("sha256:...") is empty until the registry has it."""

    local_name: str
    repository: str
    repository_uri: str
    tag: str
    digest: str = ""

    @property
    def reference(self) -> str:
        """What to deploy: this image and no other, ever."""
        return f"{self.repository_uri}@{self.digest}"


def plan(environment: Environment, target: Target, engine: Engine) -> Push:
    """What a push would send; its `digest` is set when the registry has it already.

    Raises GuardRefused in another account, StackNotFound when there is no registry yet,
    InputInvalid when nothing is built.
    """
    require_writable(environment)
    try:
        found = outputs(environment, "registry")
    except StackNotFound as error:
        raise StackNotFound(
            f"{environment.name} has no registry to send an image to",
            "its stack does not exist yet",
            f"create it first: make create ENV={environment.name} LAYERS=registry",
        ) from error
    own = target.capitalize()
    name = built(environment, target, engine)
    tag = name.rpartition(":")[2]
    # A registry stack may keep the runbook's images apart from the service's.
    repository = found.get(f"{own}RepositoryName", found["RepositoryName"])
    uri = found.get(f"{own}RepositoryUri", found["RepositoryUri"])
    return Push(name, repository, uri, tag, _digest(environment, repository, tag))


def push(environment: Environment, planned: Push, engine: Engine, *, through_api: bool) -> Push:
    """Send the image and return it with the digest that the registry gave it.

    `through_api`: layer by layer through ECR's API, as the local region needs it; otherwise the
    engine logs in with a token of the API and pushes.
    Raises GuardRefused in another account, ImageFailed, AwsCallFailed.
    """
    require_writable(environment)
    if planned.digest:
        return planned
    if through_api:
        with tempfile.TemporaryDirectory(prefix="runbook-push-") as folder:
            archive = Path(folder) / "image.tar"
            engine.save(planned.local_name, archive)
            publish(environment, read_archive(archive, planned.tag), planned.repository)
    else:
        user, password, host = _login(environment, planned)
        if planned.repository_uri.partition("/")[0] != host:
            raise InputInvalid(
                "The image is not pushed",
                f"the registry is {planned.repository_uri}, and the token is for {host}",
                "log in to the account that the environment belongs to",
            )
        engine.push(
            planned.local_name,
            f"{planned.repository_uri}:{planned.tag}",
            user=user,
            password=password,
        )
    digest = _digest(environment, planned.repository, planned.tag)
    if not digest:
        raise AwsCallFailed(
            f"{planned.repository} does not show the image",
            f"it was sent as {planned.tag} and cannot be found",
            "push it again",
        )
    return Push(planned.local_name, planned.repository, planned.repository_uri, planned.tag, digest)


def _login(environment: Environment, planned: Push) -> tuple[str, str, str]:
    """User, password and host of the registry; a token is good for twelve hours."""
    try:
        answer = client(environment, "ecr").get_authorization_token()["authorizationData"][0]
    except (ClientError, BotoCoreError) as error:
        raise _refused(planned.repository, error) from error
    user, _, password = base64.b64decode(answer["authorizationToken"]).decode().partition(":")
    return user, password, str(answer["proxyEndpoint"]).partition("://")[2].rstrip("/")


def _digest(environment: Environment, repository: str, tag: str) -> str:
    try:
        found = client(environment, "ecr").describe_images(
            repositoryName=repository, imageIds=[{"imageTag": tag}]
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ImageNotFoundException":
            return ""
        raise _refused(repository, error) from error
    except BotoCoreError as error:
        raise _refused(repository, error) from error
    return str(found["imageDetails"][0]["imageDigest"])


def _refused(repository: str, error: Exception) -> AwsCallFailed:
    return AwsCallFailed(
        f"The registry {repository} refused", str(error), "check its policy and your rights"
    )
