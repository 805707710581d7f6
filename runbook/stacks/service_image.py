"""`!service_image` and `!publish_service_image`: plain Sceptre launches the source as it is.

Where the local region's tasks are processes, the image of `app/` is known by its content and
pushed just before the service stack needs it. Everywhere else, containers in the local region
included, `make image` and `make push` must have put it under its content's tag.
"""

from __future__ import annotations

import os

from botocore.exceptions import BotoCoreError, ClientError
from sceptre.hooks import Hook
from sceptre.resolvers import Resolver

from runbook import region
from runbook.aws import client, outputs
from runbook.ecs.dockerfile import content_tag
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
        """Push it if it is not there; nothing where tasks are containers."""
        environment = _environment_of(self.stack.name)
        if runs_processes(environment):
            publish(environment, source_image(environment))


def in_local_region(environment: Environment) -> bool:
    """Whether AWS calls for this environment go to the running local region."""
    if environment.is_local:
        return True
    endpoint, state = os.environ.get("AWS_ENDPOINT_URL"), region.running()
    return state is not None and state.endpoint_url == endpoint


def runs_processes(environment: Environment) -> bool:
    """Whether tasks are processes of this machine's Python: their image is made on the spot."""
    state = region.running()
    containers = state is not None and state.tasks == "containers"
    return in_local_region(environment) and not containers


def source_image(environment: Environment) -> ServiceImage:
    """The image of the project's `app/` as it is now."""
    return build(environment.project / "app")


def source_reference(environment: Environment) -> str:
    """What to deploy so that the source as it is now runs.

    Raises InputInvalid when the registry does not have that image yet.
    """
    if runs_processes(environment):
        return source_image(environment).reference
    try:
        registry = outputs(environment, "registry")
    except StackNotFound as error:
        raise InputInvalid(
            f"{environment.name} has no image to run",
            "its registry does not exist yet",
            f"make create ENV={environment.name} LAYERS=registry, then {push_it(environment)}",
        ) from error
    wanted = content_tag(environment.project, "service")
    try:
        pages = client(environment, "ecr").get_paginator("describe_images")
        found = [
            (image["imagePushedAt"], image["imageDigest"])
            for page in pages.paginate(
                repositoryName=registry["RepositoryName"], filter={"tagStatus": "TAGGED"}
            )
            for image in page["imageDetails"]
            if any(tag.startswith(f"{wanted}-") for tag in image["imageTags"])
        ]
    except (ClientError, BotoCoreError) as error:
        raise InputInvalid(
            f"{environment.name} has no image of this source to run",
            f"{registry['RepositoryUri']} cannot be read: {error}",
            "check credentials and rights",
        ) from error
    if not found:
        raise InputInvalid(
            f"{environment.name} has no image of this source to run",
            f"{registry['RepositoryUri']} has no tag {wanted}-*",
            push_it(environment),
        )
    # The same source on several bases: the newest.
    return f"@{max(found)[1]}"


def push_it(environment: Environment) -> str:
    """The commands that put the image of the source into the registry."""
    return f"make image && make push ENV={environment.name}"


def _environment_of(stack: str) -> Environment:
    return load_environment(stack.partition("/")[0])
