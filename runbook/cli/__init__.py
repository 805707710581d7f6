"""The `runbook` command: options in, the function of the same name, exit codes out.

Data goes to stdout, talk to stderr. Exit codes: 0 fine, 1 a finding, 2 an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import click

from runbook.cli.frame import guarded

#: Command -> where it is, as `module:attribute` of this package.
_PLACES = {
    "approve": "verbs:approve",
    "change": "verbs:change",
    "create": "verbs:create",
    "delete": "verbs:delete",
    "demo": "runs:demo",
    "diff": "looks:diff",
    "doctor": "doctor:doctor",
    "drift": "looks:drift",
    "failures": "looks:failures",
    "image": "image:image",
    "keys": "keys:keys",
    "lab": "lab:lab",
    "last-create-failure": "looks:last_create_failure",
    "last-update-failure": "looks:last_update_failure",
    "list": "runs:list_notebooks",
    "load": "load:load",
    "local": "local:local",
    "outputs": "looks:outputs",
    "report": "runs:report",
    "run": "runs:run",
    "stacks": "deploy:stacks",
    "status": "looks:status",
    "test": "looks:test",
    "thresholds": "deploy:thresholds",
    "unlock": "verbs:unlock",
}


class _Commands(Mapping[str, click.Command]):
    """Imports a command when it is asked for: Sceptre and papermill alone take a second, and
    most commands need neither."""

    def __getitem__(self, name: str) -> click.Command:
        module, _, attribute = _PLACES[name].partition(":")
        command: click.Command = getattr(import_module(f"runbook.cli.{module}"), attribute)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


_commands: Any = _Commands()  # click types it as mutable, and changes nothing in it


@click.group(commands=_commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ecs-runbook", prog_name="runbook")
def cli() -> None:
    """Measure, apply and verify the scaling thresholds of an ECS service, by notebooks.

    \b
    Without an AWS account:  runbook demo
    What is missing here:    runbook doctor
    """


def main() -> None:
    """The console script."""
    guarded(cli)


__all__ = ["cli", "main"]
