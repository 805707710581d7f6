"""`runbook local`: the local region as a process."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Any

import click

from runbook import region
from runbook.cli.frame import emit, json_option, say
from runbook.ecs.engine import find
from runbook.errors import InputInvalid


@click.group()
def local() -> None:
    """The local region: an AWS on this machine's loopback."""


@local.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=region.DEFAULT_PORT,
    show_default=True,
    help="Loopback port.",
)
@click.option(
    "--tasks",
    type=click.Choice(["processes", "containers"]),
    help="What tasks are: processes of this Python (unless said), or containers of docker or "
    "podman.",
)
@json_option
def up(port: int, tasks: str | None, as_json: bool) -> None:
    """Start it in the background; one that runs already is fine."""
    before = region.running()
    engine = find(("docker", "podman")).name if tasks == "containers" else ""
    state = region.up(port, container_engine=engine)
    if tasks and state.tasks != tasks:
        raise InputInvalid(
            f"Tasks cannot be {tasks}",
            f"the region that runs already has {state.tasks}",
            "stop it first: runbook local down",
        )
    say("The local region runs already." if before else "The local region is up.")
    say('Next: eval "$(runbook local env)", or: runbook run 00_preflight --env local')
    emit(asdict(state), as_json, lambda: state.endpoint_url)


@local.command()
def down() -> None:
    """Stop it, with all its tasks."""
    say("The local region is down." if region.down() else "No local region was running.")


@local.command()
@json_option
def status(as_json: bool) -> None:
    """What runs in it. Exit code 2 when it is not running."""
    found = region.status()
    emit(found, as_json, lambda: "\n".join(_lines(found)))


@local.command()
def env() -> None:
    """Lines for the shell: eval "$(runbook local env)"."""
    for name, value in region.environment_variables().items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _lines(found: dict[str, Any], depth: int = 0) -> list[str]:
    """Nested data as indented lines."""
    lines: list[str] = []
    for name, value in found.items():
        if isinstance(value, dict):
            lines += [f"{'  ' * depth}{name}", *_lines(value, depth + 1)]
        elif isinstance(value, list):
            lines.append(f"{'  ' * depth}{name}: {len(value) or 'none'}")
            lines += [f"{'  ' * (depth + 1)}{_item(item)}" for item in value]
        else:
            lines.append(f"{'  ' * depth}{name}: {value}")
    return lines


def _item(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    return ", ".join(
        f"{key} {value}" for key, value in item.items() if not isinstance(value, list | dict)
    )
