"""`runbook demo`, `list`, `run`, `report`."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from runbook.cli.frame import emit, env_option, json_option, runs_option, say
from runbook.environment import find_project, load_environment
from runbook.errors import InputInvalid
from runbook.runs import catalogue, display, record
from runbook.runs.console import Console, expected_durations
from runbook.runs.execute import CELL_TIMEOUT_S
from runbook.runs.report import write_report, write_run_page, write_runs_page
from runbook.runs.runner import (
    RunRequest,
    parse_assignments,
    read_parameter_file,
    run_notebooks,
)

_parameters = click.option(
    "-p", "parameters", multiple=True, metavar="NAME=VALUE", help="A notebook's parameter."
)


@click.command()
@runs_option
@click.option("--port", type=int, help="The region's loopback port; 4566 or a free one.")
@_parameters
def demo(runs_dir: Path | None, port: int | None, parameters: tuple[str, ...]) -> None:
    """The whole flow on a local region of its own: deploy, load, analyse, apply, verify."""
    from runbook.demo import run_demo

    outcome = run_demo(root=runs_dir, port=port, parameters=parse_assignments(parameters))
    raise click.exceptions.Exit(outcome.exit_code)


@click.command("list")
@click.argument("name", required=False)
@json_option
def list_notebooks(name: str | None, as_json: bool) -> None:
    """The notebooks and their purpose; with a NAME its parameters."""
    project = find_project()
    if name:
        found = catalogue.find(project, name)
        rows = [[p.name, p.type_name, repr(p.default), p.help] for p in found.parameters]
        emit(
            found.to_dict(),
            as_json,
            lambda: (
                f"{found.title}\n{found.purpose}\n\n"
                f"{display.text_table(['parameter', 'type', 'default', 'meaning'], rows)}"
            ),
        )
        return
    every = catalogue.all_notebooks(project)
    emit(
        [notebook.to_dict() for notebook in every],
        as_json,
        lambda: display.text_table(["notebook", "purpose"], [[n.name, n.purpose] for n in every]),
    )


@click.command()
@click.argument("notebooks", nargs=-1, required=True, metavar="NOTEBOOK...")
@env_option
@_parameters
@click.option(
    "-f",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Parameters from YAML; what stands under a notebook's name is for it alone.",
)
@click.option("--dry-run", is_flag=True, help="Stop after the plan; change nothing.")
@click.option("--approve", default="", metavar="DIGEST", help="The digest of the approved plan.")
@runs_option
@click.option(
    "--cell-timeout", "cell_timeout_s", default=CELL_TIMEOUT_S, help="Seconds for one cell."
)
@json_option
def run(
    notebooks: tuple[str, ...],
    env: str,
    parameters: tuple[str, ...],
    file: Path | None,
    dry_run: bool,
    approve: str,
    runs_dir: Path | None,
    cell_timeout_s: float,
    as_json: bool,
) -> None:
    """Run notebooks, one after the other, into one run record.

    Exit code 0 fine, 1 a finding or a closed gate, 2 an error.
    """
    project = find_project()
    load_environment(env, project)
    common, own = read_parameter_file(file) if file else ({}, {})
    found = catalogue.find_all(project, notebooks)
    names = [notebook.name for notebook in found]
    root = runs_dir or record.runs_root(project)
    request = RunRequest(
        notebooks=notebooks,
        env=env,
        parameters={**common, **parse_assignments(parameters)},
        own=own,
        dry_run=dry_run,
        approve=approve,
        root=root,
        cell_timeout_s=cell_timeout_s,
    )
    outcome = run_notebooks(request, Console(names, expected_durations(root, env)), project=project)
    write_runs_page(root)
    say(f"Verdict: {outcome.verdict.replace('_', ' ')}.")
    if outcome.summary.get("next"):
        say(f"Next: {outcome.summary['next']}")
    emit(dict(outcome.summary), as_json, lambda: str(outcome.run_dir / "index.html"))
    raise click.exceptions.Exit(outcome.exit_code)


@click.group()
def report() -> None:
    """The pages made of runs."""


@report.command("index")
@runs_option
def report_index(runs_dir: Path | None) -> None:
    """Make the pages of all runs anew, and one over them."""
    root = runs_dir or record.runs_root(find_project())
    for run_dir in record.run_dirs(root):
        if not (run_dir / "run.json").is_file():
            continue
        for result in run_dir.glob("*/result.json"):
            write_report(result.parent)
        write_run_page(run_dir)
    click.echo(str(write_runs_page(root)))


@report.command("open")
@click.argument("run_id", required=False)
@runs_option
def report_open(run_id: str | None, runs_dir: Path | None) -> None:
    """Open a run's page in the browser, the latest unless named; prints its path."""
    root = runs_dir or record.runs_root(find_project())
    pages = [path / "index.html" for path in record.run_dirs(root)]
    chosen = [
        page for page in pages if page.is_file() and (not run_id or page.parent.name == run_id)
    ]
    if not chosen:
        raise InputInvalid(
            f"No page of {'run ' + run_id if run_id else 'any run'} found",
            f"looked below {root}",
            "make a run (runbook demo), or: runbook report index",
        )
    click.echo(str(chosen[0]))
    if not webbrowser.open(chosen[0].as_uri()):
        say("No browser could be started; open the file by hand.")
