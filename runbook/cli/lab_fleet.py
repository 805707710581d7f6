"""`runbook lab fleet`: the same policies over the histories of many services, on Dask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from runbook.cli.frame import emit, json_option, say
from runbook.errors import Finding, InputInvalid
from runbook.runs import display

_FILES = click.Path(dir_okay=False, path_type=Path)


@click.command("fleet")
@click.argument("histories", nargs=-1, required=True, type=_FILES)
@click.option("--curve", required=True, type=_FILES, help="capacity.json as 30_analyse writes it.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="NAME_OR_FILE",
    help="A built-in policy or a scaling.yaml; cpu-70-60s unless given.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="A Dask scheduler, tcp://HOST:PORT; processes on this machine unless given.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes on this machine; its cores.")
@click.option(
    "--peak-tasks",
    type=click.IntRange(0),
    default=30,
    show_default=True,
    help="Scale each history so that its train p99 needs so many tasks; 0: as they are.",
)
@click.option(
    "--max-tasks",
    type=click.IntRange(1),
    help="Upper bound of every policy; 10 x the peak's tasks.",
)
@click.option("--timezone", default="UTC", show_default=True, help="Of stamps without an offset.")
@click.option(
    "--seeds",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="Draws of Poisson arrivals.",
)
@json_option
def lab_fleet(
    histories: tuple[Path, ...],
    curve: Path,
    policies: tuple[str, ...],
    scheduler: str | None,
    workers: int | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Play policies on many HISTORIES: each service's figures, and the fleet's sums.

    A history that cannot be played is named, the others are; exit code 1 then.
    """
    from runbook.capacity.curve import CapacityCurve
    from runbook.lab.builtin import builtin
    from runbook.lab.fleet import Job, cluster, play_fleet, totals
    from runbook.lab.policy_file import read_policy
    from runbook.lab.service import service_model

    measured = CapacityCurve.load(curve)
    service = service_model(measured)
    chosen: list[Any] = []
    for name in policies or ("cpu-70-60s",):
        if Path(name).is_file():
            chosen.append(read_policy(Path(name), service, max_tasks=given["max_tasks"]))
        elif Path(name).suffix:
            raise InputInvalid(
                f"The policy {name} cannot be read", "there is no such file", "give a scaling.yaml"
            )
        else:
            # Refused here, before anything starts, if there is no such name.
            builtin(name, service, peak_tasks=1, max_tasks=10)
            chosen.append(name)
    job = Job(measured, tuple(chosen), **given)
    with cluster(scheduler, workers) as client:
        services = play_fleet(
            histories, job, client, lambda done, many: say(f"{done} of {many} histories played")
        )
    failed = [item for item in services if "error" in item]
    data = {
        "fleet": totals(services),
        "services": [item for item in services if "error" not in item],
        "failed": failed,
    }
    if len(failed) < len(services):
        emit(data, as_json, lambda: _table(data["fleet"]))
    if failed:
        told = "; ".join(f"{item['name']}: {item['error']}" for item in failed[:3])
        kind = InputInvalid if len(failed) == len(services) else Finding
        raise kind(
            f"{len(failed)} of {len(services)} histories were not played", told, "mend or drop them"
        )


def _table(rows: list[dict[str, Any]]) -> str:
    columns = ["policy", "services", "task-hours", "x oracle", "worst violating %", "USD"]
    return display.text_table(
        columns,
        [
            [
                row["name"],
                str(row["services"]),
                f"{row['task_hours']:.0f}",
                f"{row['over_oracle']:.2f}",
                f"{row['worst_violating_requests_pct']:.2f}",
                f"{row['cost_usd']:.2f}",
            ]
            for row in rows
        ],
    )
