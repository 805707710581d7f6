"""`runbook stacks`, `thresholds`: reading what is deployed and configured."""

from __future__ import annotations

from dataclasses import asdict

import click

from runbook import aws
from runbook import stacks as stacks_package
from runbook.cli.frame import emit, json_option, say
from runbook.environment import LAYERS, load_environment
from runbook.runs import display
from runbook.tables import text_table

_environment = click.argument("env")
_layers = click.argument("layers", nargs=-1)


@click.group()
def stacks() -> None:
    """The environment's stacks: what would change, what is there."""


@stacks.command()
@_environment
@_layers
@json_option
def plan(env: str, layers: tuple[str, ...], as_json: bool) -> None:
    """What the stacks would change. Exit code 1 when something would."""
    review = stacks_package.plan_changes(load_environment(env), layers or None)
    emit(review.to_dict(), as_json, lambda: display.review_text(review))
    if not review.empty:
        say(f"Next: runbook run 10_deploy --env {env} --approve DIGEST")
        raise click.exceptions.Exit(1)


@stacks.command()
@_environment
@json_option
def status(env: str, as_json: bool) -> None:
    """Every layer's stack and its status."""
    found = stacks_package.status(load_environment(env))
    rows = [[layer, stack.status if stack else "not deployed"] for layer, stack in found.items()]
    emit(
        {layer: asdict(stack) if stack else None for layer, stack in found.items()},
        as_json,
        lambda: text_table(["layer", "status"], rows),
    )


@stacks.command()
@_environment
@click.argument("layer", type=click.Choice(LAYERS))
@json_option
def outputs(env: str, layer: str, as_json: bool) -> None:
    """The outputs of one layer's stack."""
    found = aws.outputs(load_environment(env), layer)
    emit(found, as_json, lambda: text_table(["output", "value"], list(found.items())))


@click.command()
@_environment
@json_option
def thresholds(env: str, as_json: bool) -> None:
    """What decides how many tasks run, as configured, and where each number comes from."""
    from runbook.thresholds import current_thresholds
    from runbook.thresholds.beside import current_additions

    environment = load_environment(env)
    found, beside = current_thresholds(environment), current_additions(environment)
    table = text_table(
        ["threshold", "value", "unit", "from"],
        [[item.name, item.value, item.unit, item.provenance] for item in found],
    )
    lines = [f"{item.name}: {item.words} (from: {item.provenance})" for item in beside]
    emit(
        [*(asdict(item) for item in found), *(asdict(item) for item in beside)],
        as_json,
        lambda: "\n".join([table, *lines]),
    )
