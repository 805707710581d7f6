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
from runbook.errors import AwsCallFailed, InputInvalid, RunbookError, StackNotFound
from runbook.stacks.edit import config_file, read_parameter, write_parameter
from runbook.stacks.following import OnEvent
from runbook.stacks.launch import LayerOutcome, OnLayer, OnStart, apply
from runbook.stacks.review import Review
from runbook.stacks.service_image import (
    TAG,
    push_it,
    runs_processes,
    source_image,
    source_reference,
)
from runbook.waiting import FAULTS

#: The layer that runs the image.
LAYER = "service"
#: As a reference: the image of the source as it is.
SOURCE = "source"
_REGISTRY, _PARAMETER = "registry", "ImageReference"


@dataclass(frozen=True)
class Release:
    """An image by digest ("@sha256:..."), and the image itself if built here.

    One that `follows` is that of the source as it is: the configuration asks for it by
    `!service_image` and goes on following the source. Any other is pinned there by its digest.
    `parameters` of the service's stack are written with it.
    """

    reference: str
    image: ServiceImage | None = None
    follows: bool = False
    parameters: tuple[tuple[str, str], ...] = ()

    def write(self, environment: Environment) -> bool:
        """Name the image in the service's configuration; False when all stands there already."""
        path = config_file(environment, LAYER)
        named = (_PARAMETER, TAG if self.follows else self.reference)
        written = [write_parameter(path, *item) for item in (named, *self.parameters)]
        return any(written)

    def describe(self) -> str:
        """A sentence for the plan."""
        if self.image is not None:
            size_kb = self.image.size_bytes / 1024
            return f"The service runs image {self.reference} (built here, {size_kb:.0f} kB)."
        if self.follows:
            return f"The service runs image {self.reference}, that of the source as it is."
        return (
            f"The service runs image {self.reference}, pinned in service.yaml; "
            f"IMAGE={SOURCE} (-p image={SOURCE}) follows the source again."
        )


def choose(environment: Environment, given: str = "") -> Release:
    """The image to deploy: the given reference, in the local region the source as it is,
    else the one that the configuration names. A tag is turned into what it means now; "source"
    is the image of the source, whatever the configuration has pinned.

    Raises InputInvalid for a malformed reference, and when there is none.
    """
    if given and given != SOURCE:
        if not given.startswith(("@sha256:", ":")):
            raise InputInvalid(
                f"{given!r} is no image reference",
                "it names neither a digest nor a tag",
                f"give @sha256:DIGEST (or :TAG, or {SOURCE})",
            )
        return Release(_by_digest(environment, given))
    if runs_processes(environment):
        image = source_image(environment)
        return Release(image.reference, image, follows=True)
    configured = read_parameter(config_file(environment, LAYER), _PARAMETER)
    if given == SOURCE or configured == TAG:
        return Release(source_reference(environment), follows=True)
    if not configured:
        raise InputInvalid(
            f"{environment.name} has no image to run",
            f"{config_file(environment, LAYER)} names none and none is given",
            f"{push_it(environment)}, and give what that prints: "
            "IMAGE=@sha256:... (a notebook: -p image=@sha256:...)",
        )
    return Release(_by_digest(environment, configured))


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
    on_start: OnStart | None = None,
) -> tuple[LayerOutcome, ...]:
    """Apply what was reviewed, with the image in the registry before the service needs it.

    When the service's layer is known not to have changed, its configuration file gets back its
    former text: it does not go on naming an image that failed. `on_start` and `on_layer` hear
    what those of `apply` hear.

    Raises InputInvalid when an image that was not built here is missing from the registry,
    and what `apply` raises.
    """
    if release is None:
        return apply(
            environment,
            review,
            allowed=allowed,
            on_event=on_event,
            on_layer=on_layer,
            on_start=on_start,
        )
    path = config_file(environment, LAYER)
    former = path.read_text(encoding="utf-8")
    done: list[LayerOutcome] = []
    started: list[str] = []

    def start(layer: str) -> None:
        started.append(layer)
        if on_start:
            on_start(layer)

    def note(outcome: LayerOutcome) -> None:
        done.append(outcome)
        if on_layer:
            on_layer(outcome)

    release.write(environment)
    try:
        _with_image(environment, review, release, allowed, on_event, note, start)
    except (RunbookError, *FAULTS) as error:
        served = any(item.layer == LAYER for item in done)
        # Who could not follow a change to its end does not know what came of it.
        unknown = LAYER in started and isinstance(error, (AwsCallFailed, *FAULTS))
        if not served and not unknown:
            path.write_text(former, encoding="utf-8")
        raise
    return tuple(done)


def _with_image(
    environment: Environment,
    review: Review,
    release: Release,
    allowed: frozenset[tuple[str, str]],
    on_event: OnEvent | None,
    on_layer: OnLayer,
    on_start: OnStart,
) -> None:
    names = [item.layer for item in review.layers]
    until = names.index(_REGISTRY) + 1 if _REGISTRY in names else 0

    def run(layers: Sequence[str]) -> None:
        apply(
            environment,
            review,
            layers=layers,
            allowed=allowed,
            on_event=on_event,
            on_layer=on_layer,
            on_start=on_start,
        )

    run(names[:until])
    if release.image is not None:
        publish(environment, release.image)
    elif not published(environment, release.reference):
        raise InputInvalid(
            f"Image {release.reference} is not in the registry",
            "the service could not start from it",
            f"push it first: {push_it(environment)}; or name one that is there: @sha256:...",
        )
    run(names[until:])
