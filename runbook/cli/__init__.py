"""The `runbook` command: options in, the function of the same name, exit codes out.

Data goes to stdout, talk to stderr. Exit codes: 0 fine, 1 a finding, 2 an error.
"""

from __future__ import annotations

import click

from runbook.cli.deploy import stacks, thresholds
from runbook.cli.doctor import doctor
from runbook.cli.frame import guarded
from runbook.cli.image import image
from runbook.cli.keys import keys
from runbook.cli.lab import lab
from runbook.cli.load import load
from runbook.cli.local import local
from runbook.cli.looks import LOOKS
from runbook.cli.runs import demo, list_notebooks, report, run
from runbook.cli.verbs import VERBS


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ecs-runbook", prog_name="runbook")
def cli() -> None:
    """Measure, apply and verify the scaling thresholds of an ECS service, by notebooks.

    \b
    Without an AWS account:  runbook demo
    What is missing here:    runbook doctor
    """


for command in (
    doctor,
    local,
    demo,
    list_notebooks,
    run,
    report,
    load,
    lab,
    thresholds,
    stacks,
    image,
    keys,
    *LOOKS,
    *VERBS,
):
    cli.add_command(command)


def main() -> None:
    """The console script."""
    guarded(cli)


__all__ = ["cli", "main"]
