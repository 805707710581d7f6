"""`runbook image`: building the images of the Dockerfile and sending them to a registry."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import click

from runbook import aws
from runbook.cli.frame import emit, env_option, json_option, say
from runbook.ecs import archive, dockerfile, engine, push
from runbook.ecs import image as packing
from runbook.environment import load_environment
from runbook.guard import require_writable
from runbook.stacks.service_image import in_local_region
from runbook.tables import text_table

_target = click.option(
    "--target",
    type=click.Choice(get_args(dockerfile.Target)),
    default="service",
    show_default=True,
    help="Which image: the service's, or the runbook's own for scheduled runs.",
)
#: What a packed image does unless its task definition says otherwise.
_COMMANDS = {"service": ("python", "-m", "app"), "runbook": ("python", "-m", "runbook", "list")}
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done; do nothing.")


@click.group()
def image() -> None:
    """The images of the Dockerfile: build them, send them to a registry."""


@image.command("build")
@_target
@click.option(
    "--base", default="", help="NAME@sha256:... or NAME:TAG; pyproject.toml's unless given."
)
@click.option("--platform", default="", help="Such as linux/amd64; this machine's unless given.")
@_dry_run
@json_option
def build_image(
    target: dockerfile.Target, base: str, platform: str, dry_run: bool, as_json: bool
) -> None:
    """Build an image with docker, podman or buildah, the first that answers."""
    environment = load_environment("local")
    found = engine.find()
    stands_on = base or dockerfile.configured_base(environment.project)
    tag = dockerfile.content_tag(environment.project, target)
    if dry_run:
        say(f"DRY RUN: {found.name} would build {target} from {stands_on}; its tag begins with:")
        emit({"tag": tag, "base": stands_on}, as_json, lambda: tag)
        return
    say(f"{found.name} builds {target} from {stands_on} ...")
    made = dockerfile.build(environment, target, found, base=stands_on, platform=platform)
    with tempfile.TemporaryDirectory(prefix="runbook-image-") as folder:
        saved = Path(folder) / "image.tar"
        found.save(made.name, saved)
        layers = archive.layers(archive.read_archive(saved, tag))
    rows = [[f"{x.size_bytes / 1e6:.1f}", f"{x.sent_bytes / 1e6:.1f}", x.step] for x in layers]
    say(text_table(["MB", "MB as sent", "layer"], rows))
    say(f"Base {made.base}. Next: make push ENV=...")
    emit({**asdict(made), "layers": [asdict(x) for x in layers]}, as_json, lambda: made.name)


@image.command("push")
@env_option
@_target
@_dry_run
@json_option
def push_image(env: str, target: dockerfile.Target, dry_run: bool, as_json: bool) -> None:
    """Send the built image to the environment's registry and print what to deploy.

    An image that is there already is not sent again. What is printed names a digest.
    """
    environment = load_environment(env)
    found = engine.find()
    planned = push.plan(environment, target, found)
    if planned.digest:
        say(f"{planned.repository} has {planned.tag} already.")
    elif dry_run:
        say(f"DRY RUN: {found.name} would send {planned.local_name} to:")
        address = f"{planned.repository_uri}:{planned.tag}"
        emit(asdict(planned), as_json, lambda: address)
        return
    else:
        say(f"{found.name} sends {planned.local_name} to {planned.repository_uri} ...")
        through_api = in_local_region(environment)
        planned = push.push(environment, planned, found, through_api=through_api)
    emit({**asdict(planned), "reference": planned.reference}, as_json, lambda: planned.reference)


@image.command("pack")
@_target
@_dry_run
@json_option
def pack_image(target: dockerfile.Target, dry_run: bool, as_json: bool) -> None:
    """Pack the files as an image of the local region, which needs no engine; prints what to deploy.

    A local task runs these files on this machine's Python. For AWS: image build, image push.
    """
    environment = load_environment("local")
    parts, command = dockerfile.CONTENT[target], _COMMANDS[target]
    packed = packing.pack(environment.project, parts, command, prefix=f"packed-{target}")
    found = aws.outputs(environment, "registry")
    repository = found["RunbookRepositoryName" if target == "runbook" else "RepositoryName"]
    if dry_run:
        say(f"DRY RUN: would put {packed.size_bytes / 1e6:.1f} MB into {repository}; its tag:")
        emit({"tag": packed.tag, "repository": repository}, as_json, lambda: packed.tag)
        return
    require_writable(environment)
    sent = packing.publish(environment, packed, repository)
    say(f"{repository} {'has now' if sent else 'had already'} {packed.tag}.")
    emit(
        {"repository": repository, "tag": packed.tag, "reference": packed.reference},
        as_json,
        lambda: packed.reference,
    )
