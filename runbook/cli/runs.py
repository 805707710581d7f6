"""`runbook demo`, `list`, `run`, `report`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Any

import click

from runbook.cli.frame import emit, env_option, json_option, runs_option, say
from runbook.environment import Environment, find_project, load_environment
from runbook.errors import InputInvalid, RunbookError
from runbook.runs import catalogue, publish, record
from runbook.runs.console import Console, expected_durations
from runbook.runs.execute import CELL_TIMEOUT_S
from runbook.runs.report import write_report, write_run_page, write_runs_page
from runbook.runs.runner import (
    RunRequest,
    parse_assignments,
    read_parameter_file,
    run_notebooks,
)
from runbook.tables import text_table

_parameters = click.option(
    "-p", "parameters", multiple=True, metavar="NAME=VALUE", help="A notebook's parameter."
)
_bucket = click.option(
    "--bucket",
    default="",
    envvar=publish.BUCKET_VARIABLE,
    help="The report bucket; that of the runbooks stack unless given.",
)
_hours = click.option(
    "--expires",
    "hours",
    type=click.FloatRange(0, publish.LONGEST_LINK_H, min_open=True),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="How long the link works; never longer than the session that signs it.",
)


@click.command()
@runs_option
@click.option(
    "--port", type=click.IntRange(0, 65535), help="The region's loopback port; 4566 or a free one."
)
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
                f"{text_table(['parameter', 'type', 'default', 'meaning'], rows)}"
            ),
        )
        return
    every = catalogue.all_notebooks(project)
    emit(
        [notebook.to_dict() for notebook in every],
        as_json,
        lambda: text_table(["notebook", "purpose"], [[n.name, n.purpose] for n in every]),
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
@click.option("--publish", "publishing", is_flag=True, help="Put the run into the report bucket.")
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
    publishing: bool,
    as_json: bool,
) -> None:
    """Run notebooks, one after the other, into one run record.

    Exit code 0 fine, 1 a finding or a closed gate, 2 an error.
    """
    project = find_project()
    environment = load_environment(env, project)
    common, own = read_parameter_file(file) if file else ({}, {})
    found = catalogue.find_all(project, notebooks)
    names = [notebook.name for notebook in found]
    root = runs_dir or record.runs_root(project)
    run_dir = record.new_run_dir(root, env) if publishing else None
    request = RunRequest(
        notebooks=notebooks,
        env=env,
        parameters={**common, **parse_assignments(parameters)},
        own=own,
        dry_run=dry_run,
        approve=approve,
        root=root,
        run_dir=run_dir,
        cell_timeout_s=cell_timeout_s,
    )
    outcome, published = None, True
    try:
        outcome = run_notebooks(
            request, Console(names, expected_durations(root, env)), project=project
        )
        write_runs_page(root)
    finally:
        # A run that broke or was stopped is the one that somebody will want to read.
        if run_dir is not None and (run_dir / "run.json").is_file():
            published = _try_to_publish(environment, run_dir)
        elif run_dir is not None:
            run_dir.rmdir()
    say(f"Verdict: {outcome.verdict.replace('_', ' ')}.")
    if outcome.summary.get("next"):
        say(f"Next: {outcome.summary['next']}")
    emit(dict(outcome.summary), as_json, lambda: str(outcome.run_dir / "index.html"))
    raise click.exceptions.Exit(outcome.exit_code if published else 2)


def _try_to_publish(environment: Environment, run_dir: Path) -> bool:
    """Publish a run that has ended; a refusal is told and does not hide how the run went."""
    try:
        planned = publish.plan(environment, run_dir, publish.bucket_of(environment))
        publish.send(environment, planned)
    except RunbookError as error:
        say(f"Error: the run is not published: {error}")
        return False
    say(f"Published: {planned.uri}{publish.PAGE}")
    say(f"To read it: runbook report link {planned.run_id} --env {environment.name}")
    return True


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


@report.command("publish")
@click.argument("run_id", required=False, default="")
@env_option
@runs_option
@_bucket
@_hours
@click.option("--dry-run", is_flag=True, help="Say what would be sent; send nothing.")
@json_option
def report_publish(
    run_id: str,
    env: str,
    runs_dir: Path | None,
    bucket: str,
    hours: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put a run's folder, the latest unless named, into the report bucket; prints a link.

    What the bucket has already is not sent again, so a publication that was cut off is finished
    by the same command.
    """
    environment = load_environment(env)
    run_dir = publish.find_run(
        runs_dir or record.runs_root(environment.project), environment, run_id
    )
    planned = publish.plan(environment, run_dir, publish.bucket_of(environment, bucket))
    size_mb = sum(file.size_bytes for file in planned.to_send) / 1e6
    count = (
        f"{len(planned.to_send)} of {len(planned.files)} files, {size_mb:.1f} MB, to {planned.uri}"
    )
    if dry_run:
        say(f"DRY RUN: would send {count}")
        rows = [
            [file.state, file.size_bytes, file.content_type, file.key] for file in planned.files
        ]
        emit(
            planned.to_dict(),
            as_json,
            lambda: text_table(["state", "bytes", "type", "key"], rows),
        )
        return
    publish.send(environment, planned, lambda file: say(f"  {file.key}"))
    say(f"Sent {count}")
    made = publish.link(environment, planned.bucket, planned.run_id, hours=hours)
    _tell_link(made, as_json, planned.to_dict())


@report.command("link")
@click.argument("run_id", required=False, default="")
@env_option
@_bucket
@_hours
@json_option
def report_link(run_id: str, env: str, bucket: str, hours: float, as_json: bool) -> None:
    """A link to a published run, the latest unless named, signed with your own session."""
    environment = load_environment(env)
    found = publish.bucket_of(environment, bucket)
    _tell_link(publish.link(environment, found, run_id, hours=hours), as_json, {})


def _tell_link(made: publish.Link, as_json: bool, data: dict[str, Any]) -> None:
    say(f"The link opens one page, whole in itself, until {made.expires_at}. {made.caution}")
    emit(
        {
            **data,
            "link": made.url,
            "link_expires_at": made.expires_at,
            "link_ends_with_session": made.ends_with_session,
        },
        as_json,
        lambda: made.url,
    )
