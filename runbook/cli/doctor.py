"""`runbook doctor`: what is missing, and how to get it."""

from __future__ import annotations

import click

from runbook.cli.frame import emit, json_option
from runbook.environment import find_project, load_environment
from runbook.runs import checks


@click.command()
@click.option("--env", "env", help="Also look at this environment's account and stacks.")
@json_option
def doctor(env: str | None, as_json: bool) -> None:
    """Say what this machine, or an environment, lacks, and how to get it.

    Exit code 1 when something is missing.
    """
    project = find_project()
    found = [checks.machine(project)]
    if env:
        found.append(
            checks.environment(load_environment(env, project), deployed=False, scales=True)
        )
    emit([check.to_dict() for check in found], as_json, lambda: checks.tree(found))
    if not all(check.ok for check in found):
        raise click.exceptions.Exit(1)
