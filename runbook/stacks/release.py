"""Which image a deployment brings, and the order in which it gets there.

An empty registry needs no placeholder: registry first, then the image, then the service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from botocore.exceptions import ClientError

from runbook.aws import client, outputs
from runbook.ecs.image import ServiceImage, publish, published
from runbook.environment import Environment
from runbook.errors import InputInvalid, StackNotFound
from runbook.stacks.edit import config_file, read_parameter, write_parameter
from runbook.stacks.following import OnEvent
from runbook.stacks.launch import LayerOutcome, OnLayer, apply
from runbook.stacks.review import Review
from runbook.stacks.service_image import (
    TAG,
    push_it,
    runs_processes,
    source_image,
    source_reference,
)

#: The layer that runs the image.
LAYER = "service"
_REGISTRY, _PARAMETER = "registry", "ImageReference"


@dataclass(frozen=True)
class Release:
    """An image by digest ("@sha256:..."), and the image itself if built here."""

    reference: str
    image: ServiceImage | None

    def write(self, environment: Environment) -> bool:
        """Name the image in the service's configuration; False when it is named there.

        An image built here is named by `!service_image`, too: then the file stays as it is.
        """
        path = config_file(environment, LAYER)
        if self.image is not None and read_parameter(path, _PARAMETER) == TAG:
            return False
        return write_parameter(path, _PARAMETER, self.reference)

    def describe(self) -> str:
        """A sentence for the plan."""
        if self.image is None:
            return f"The service runs image {self.reference}, which is in the registry."
        size_kb = self.image.size_bytes / 1024
        return f"The service runs image {self.reference} (built here, {size_kb:.0f} kB)."


def choose(environment: Environment, given: str = "") -> Release:
    """The image to deploy: the given reference, in the local region the source as it is,
    else the one that the configuration names. A tag is turned into what it means now.

    Raises InputInvalid for a malformed reference, and when there is none.
    """
    if given:
        if not given.startswith(("@sha256:", ":")):
            raise InputInvalid(
                f"{given!r} is no image reference",
                "it names neither a digest nor a tag",
                "give @sha256:DIGEST (or :TAG)",
            )
        return Release(_by_digest(environment, given), None)
    if runs_processes(environment):
        image = source_image(environment)
        return Release(image.reference, image)
    configured = read_parameter(config_file(environment, LAYER), _PARAMETER)
    if configured == TAG:
        return Release(source_reference(environment), None)
    if not configured:
        raise InputInvalid(
            f"{environment.name} has no image to run",
            f"{config_file(environment, LAYER)} names none and none is given",
            f"{push_it(environment)}, and give what that prints: "
            "IMAGE=@sha256:... (a notebook: -p image=@sha256:...)",
        )
    return Release(_by_digest(environment, configured), None)


def _by_digest(environment: Environment, reference: str) -> str:
    """The reference that means the same for ever. Raises InputInvalid for an unknown tag."""
    if reference.startswith("@"):
        return reference
    try:
        repository = outputs(environment, "registry")["RepositoryName"]
        found = client(environment, "ecr").describe_images(
            repositoryName=repository, imageIds=[{"imageTag": reference[1:]}]
        )
    except (StackNotFound, ClientError) as error:
        raise InputInvalid(
            f"Image {reference} is not in the registry of {environment.name}",
            str(error),
            f"push it first: {push_it(environment)}; or name one that is there: @sha256:...",
        ) from error
    return f"@{found['imageDetails'][0]['imageDigest']}"


def roll_out(
    environment: Environment,
    review: Review,
    release: Release | None,
    *,
    allowed: frozenset[tuple[str, str]],
    on_event: OnEvent | None = None,
    on_layer: OnLayer | None = None,
) -> tuple[LayerOutcome, ...]:
    """Apply what was reviewed, with the image in the registry before the service needs it.

    Raises InputInvalid when an image that was not built here is missing from the registry,
    and what `apply` raises.
    """
    if release is not None:
        release.write(environment)
    names = [item.layer for item in review.layers]
    until = names.index(_REGISTRY) + 1 if _REGISTRY in names else 0

    def run(layers: Sequence[str]) -> tuple[LayerOutcome, ...]:
        return apply(
            environment,
            review,
            layers=layers,
            allowed=allowed,
            on_event=on_event,
            on_layer=on_layer,
        )

    first = run(names[:until])
    if release is not None and release.image is not None:
        publish(environment, release.image)
    elif release is not None and not published(environment, release.reference):
        raise InputInvalid(
            f"Image {release.reference} is not in the registry",
            "the service could not start from it",
            f"push it first: {push_it(environment)}; or name one that is there: @sha256:...",
        )
    return first + run(names[until:])
