"""`!service_image` and `!publish_service_image`: plain Sceptre launches the source as it is.

In the local region the image of `app/` is known by its content and pushed just before the
service stack needs it. In AWS it has to have been pushed under its content's tag.
"""

from __future__ import annotations

import os

from botocore.exceptions import BotoCoreError, ClientError
from sceptre.hooks import Hook
from sceptre.resolvers import Resolver

from runbook import region
from runbook.aws import client, outputs
from runbook.ecs.image import ServiceImage, build, publish
from runbook.environment import Environment, load_environment
from runbook.errors import InputInvalid, StackNotFound

#: How a stack's configuration asks for the image of the source.
TAG = "!service_image"


class ServiceImageResolver(Resolver):  # type: ignore[misc]  # untyped base
    """`!service_image`: the reference of the image made of `app/`."""

    def resolve(self) -> str:
        """The reference ("@sha256:..."). Raises InputInvalid when AWS has no such image."""
        return source_reference(_environment_of(self.stack.name))


class PublishServiceImage(Hook):  # type: ignore[misc]  # untyped base
    """`!publish_service_image`: puts that image into the local region's registry."""

    def run(self) -> None:
        """Push it if it is not there; nothing outside the local region."""
        environment = _environment_of(self.stack.name)
        if in_local_region(environment):
            publish(environment, source_image(environment))


def in_local_region(environment: Environment) -> bool:
    """Whether AWS calls for this environment go to the running local region."""
    if environment.is_local:
        return True
    endpoint, state = os.environ.get("AWS_ENDPOINT_URL"), region.running()
    return state is not None and state.endpoint_url == endpoint


def source_image(environment: Environment) -> ServiceImage:
    """The image of the project's `app/` as it is now."""
    return build(environment.project / "app")


def source_reference(environment: Environment) -> str:
    """What to deploy so that the source as it is now runs.

    Raises InputInvalid when an environment in AWS does not have that image yet.
    """
    image = source_image(environment)
    if in_local_region(environment):
        return image.reference
    try:
        registry = outputs(environment, "registry")
    except StackNotFound as error:
        raise InputInvalid(
            f"{environment.name} has no image to run",
            "its registry does not exist yet",
            f"create it: cd sceptre && sceptre launch {environment.name}/registry.yaml",
        ) from error
    try:
        found = client(environment, "ecr").describe_images(
            repositoryName=registry["RepositoryName"], imageIds=[{"imageTag": image.tag}]
        )
    except (ClientError, BotoCoreError) as error:
        name = f"{registry['RepositoryUri']}:{image.tag}"
        raise InputInvalid(
            f"{environment.name} has no image of this source to run",
            f"{name}: {error}",
            f"docker build -t {name} . && docker push {name}",
        ) from error
    return f"@{found['imageDetails'][0]['imageDigest']}"


def _environment_of(stack: str) -> Environment:
    return load_environment(stack.partition("/")[0])
