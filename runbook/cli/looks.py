"""`runbook outputs|status|test|diff|drift|failures`: the verbs that only look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from runbook import stacks as stacks_package
from runbook.cli.frame import emit, json_option, say
from runbook.ecs import smoke
from runbook.endpoint import endpoint
from runbook.environment import load_environment
from runbook.stacks import drift as drift_module
from runbook.stacks.delivery import SMOKE_PATH
from runbook.stacks.differences import differences
from runbook.stacks.explain import difference_lines
from runbook.stacks.failures import Failure, Operation
from runbook.stacks.outputs import every_output
from runbook.tables import text_table

_environment = click.argument("env")
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be asked; ask nothing.")


@click.command()
@_environment
@_dry_run
def outputs(env: str, dry_run: bool) -> None:
    """Every stack's outputs as JSON: a list of Description, OutputKey and OutputValue."""
    if _dry(dry_run, f"read the outputs of the stacks of {env}"):
        return
    emit(every_output(load_environment(env)), True, str)


@click.command()
@_environment
@_dry_run
@json_option
def status(env: str, dry_run: bool, as_json: bool) -> None:
    """Every layer's stack and its status."""
    if _dry(dry_run, f"read the status of the stacks of {env}"):
        return
    found = stacks_package.status(load_environment(env))
    rows = [
        [layer, stack.status if stack else "not deployed", stack.reason if stack else ""]
        for layer, stack in found.items()
    ]
    emit(
        {layer: asdict(stack) if stack else None for layer, stack in found.items()},
        as_json,
        lambda: text_table(["layer", "status", "reason"], rows),
    )


@click.command()
@_environment
@click.option("--path", default=SMOKE_PATH, show_default=True, help="What to ask for.")
@click.option("--timeout", "timeout_s", default=30.0, show_default=True, help="Seconds to try.")
@_dry_run
@json_option
def test(env: str, path: str, timeout_s: float, dry_run: bool, as_json: bool) -> None:
    """Ask the environment's endpoint. Exit code 2 when it does not answer 200 and JSON."""
    if _dry(dry_run, f"GET {path} from the endpoint of {env}"):
        return
    answer = smoke.smoke_check(endpoint(load_environment(env)), path, timeout_s=timeout_s)
    emit(
        asdict(answer),
        as_json,
        lambda: (
            f"{answer.url} answered {answer.status} in {answer.duration_ms:.0f} ms, "
            f"{answer.size_bytes} bytes"
        ),
    )


@click.command()
@_environment
@click.argument("layers", nargs=-1)
@_dry_run
@json_option
def diff(env: str, layers: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """What differs between the configuration and what is deployed. Exit code 1 when anything does.

    It only reads; `change` also has CloudFormation work out what the differences would do.
    """
    if _dry(dry_run, f"compare the stacks of {env} with their configuration"):
        return
    found = differences(load_environment(env), layers or None)
    emit(
        {layer: asdict(item) for layer, item in found.items()},
        as_json,
        lambda: "\n".join(
            line for layer, item in found.items() for line in difference_lines(layer, item)
        ),
    )
    different = [layer for layer, item in found.items() if not item.empty]
    if different:
        missing = all(found[layer].creates is not None for layer in different)
        step = f"make create ENV={env}" if missing else f"make change ENV={env} NAME=..."
        say(f"Different: {', '.join(different)}. Next: {step}")
        raise click.exceptions.Exit(1)
    say(f"{env} is as configured.")


@click.command()
@_environment
@_dry_run
@json_option
def drift(env: str, dry_run: bool, as_json: bool) -> None:
    """What was changed behind CloudFormation's back. Exit code 1 when anything was."""
    if _dry(dry_run, f"have CloudFormation detect the drift of the stacks of {env}"):
        return
    found = drift_module.detect(load_environment(env))
    rows = [
        [item.layer, len(item.drifted), item.checked, ", ".join(item.unchecked) or "-"]
        for item in found
    ]
    drifted = [(item.layer, resource) for item in found for resource in item.drifted]
    lines = [
        line
        for layer, resource in drifted
        for line in (
            f"{resource.status} {layer} / {resource.logical_id} ({resource.resource_type})",
            *(f"  {difference}" for difference in resource.differences),
        )
    ]
    table = text_table(["layer", "drifted", "compared", "not comparable"], rows)
    emit([item.to_dict() for item in found], as_json, lambda: "\n".join([table, *lines]))
    if drifted:
        say(f"Next: put it back by hand, or deploy what it should be: make change ENV={env} ...")
        raise click.exceptions.Exit(1)


@click.command()
@_environment
@json_option
def failures(env: str, as_json: bool) -> None:
    """The last failed create and update of the environment, root cause first."""
    _show(env, stacks_package.last_failures(load_environment(env)), "create or update", as_json)


@click.command("last-create-failure")
@_environment
@_dry_run
@json_option
def last_create_failure(env: str, dry_run: bool, as_json: bool) -> None:
    """The last failed creation of a stack, root cause first."""
    _last("create", env, dry_run, as_json)


@click.command("last-update-failure")
@_environment
@_dry_run
@json_option
def last_update_failure(env: str, dry_run: bool, as_json: bool) -> None:
    """The last failed update of a stack, root cause first."""
    _last("update", env, dry_run, as_json)


def _last(operation: Operation, env: str, dry_run: bool, as_json: bool) -> None:
    if _dry(dry_run, f"read the events of the stacks of {env}"):
        return
    found = stacks_package.last_failures(load_environment(env))
    _show(env, [item for item in found if item.operation == operation], operation, as_json)


def _show(env: str, found: Sequence[Failure], what: str, as_json: bool) -> None:
    if not found:
        say(f"No failed {what} in {env}.")
    lines = [
        line
        for failure in found
        for line in (
            f"{failure.layer}: the last {failure.operation} that failed",
            f"  root cause  {failure.root}",
            *(f"  then        {event}" for event in failure.cascade),
        )
    ]
    emit([failure.to_dict() for failure in found], as_json, lambda: "\n".join(lines))


def _dry(dry_run: bool, what: str) -> bool:
    if dry_run:
        say(f"Dry run: it would {what}.")
    return dry_run
