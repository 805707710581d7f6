"""`runbook lab fleet`: the same policies over the histories of many services, on Dask."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import click

from runbook.cli.frame import emit, say
from runbook.cli.lab_options import fleet_options, measured, policies_of, policies_option
from runbook.errors import Finding, InputInvalid
from runbook.tables import text_table


@click.command("fleet")
@click.argument(
    "histories",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@policies_option
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
@fleet_options
def lab_fleet(
    histories: tuple[Path, ...],
    policies: tuple[str, ...],
    scheduler: str | None,
    workers: int | None,
    peak_tasks: int,
    max_tasks: int | None,
    timezone: str,
    seeds: int,
    as_json: bool,
    **given: Any,
) -> None:
    """Play policies on many HISTORIES: each service's figures, and the fleet's sums.

    A history that cannot be played is named, the others are; exit code 1 then.
    """
    from runbook.lab.builtin import builtin
    from runbook.lab.fleet import Job, cluster, play_fleet, totals

    # A link is another name on purpose; the same name spelt differently is not.
    names = Counter(map(os.path.abspath, histories))
    twice = [Path(name).name for name, many in names.items() if many > 1]
    if twice:
        raise InputInvalid(
            f"{', '.join(twice)} cannot be played twice",
            "each history is a service of the fleet",
            "name each file once",
        )
    found = measured(**given)
    service = found.model()

    def known(name: str) -> str:
        # Refused here, before anything starts, if there is no such name.
        builtin(name, service, peak_tasks=1, max_tasks=10)
        return name

    job = Job(
        found.curve,
        tuple(policies_of(policies or ("cpu-70-60s",), service, known, max_tasks)),
        peak_tasks=peak_tasks,
        timezone=timezone,
        max_tasks=max_tasks,
        seeds=seeds,
        timing=found.times.timing,
        memory_gb=found.memory_gb,
    )
    say(found.times.told())
    with cluster(scheduler, workers) as client:
        services = play_fleet(
            histories, job, client, lambda done, many: say(f"{done} of {many} histories played")
        )
    failed = [item for item in services if "error" in item]
    data: dict[str, Any] = {
        "fleet": totals(services),
        "services": [item for item in services if "error" not in item],
        "failed": failed,
        "service": found.describe(),
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
    return text_table(
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
