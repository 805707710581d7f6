"""`runbook load`: drive load by hand, export what was measured."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from runbook.capacity.rig import host_cores
from runbook.cli.frame import emit, json_option, say, unwritable, writable
from runbook.cli.load_options import full_url, refuse_ignored, weights_of
from runbook.endpoint import endpoint
from runbook.environment import load_environment
from runbook.errors import InputInvalid
from runbook.load import schedule
from runbook.load.kinds import Accounts
from runbook.load.kinds_file import KindsFile, read_kinds
from runbook.load.plan import LoadPlan
from runbook.load.recording import (
    SUMMARY_FILE,
    DriverRun,
    export_csv,
    put_back,
    read_results,
    set_aside,
)
from runbook.load.run import DRIVERS, run_driver
from runbook.load.schedule import Segment
from runbook.load.validity import driver_void_reason

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def load() -> None:
    """Open-loop load: requests leave on their schedule, whatever the answers do."""


@load.command("run")
@click.option("--env", "env", help="Load this environment's service.")
@click.option(
    "--url", help="Load this address instead, with --path if it has none; of --kinds the origin."
)
@click.option("--path", default="/products", show_default=True, help="What to GET.")
@click.option("--kinds", "kinds_file", type=_FILE, help="Request kinds: Python or OpenAPI file.")
@click.option("--weight", "weights", multiple=True, metavar="NAME=W", help="Weight of a kind.")
@click.option("--users", default=0, show_default=True, help="Users who log in before the load.")
@click.option("--rate", "rates", multiple=True, type=float, help="Requests/s; repeated: steps.")
@click.option("--ramp-to", type=float, help="From --rate linearly to this rate.")
@click.option("--replay", type=_FILE, help="CSV with timestamp,requests to replay instead.")
@click.option("--rate-scale", default=1.0, show_default=True, help="Of the replayed rates.")
@click.option("--time-scale", default=1.0, show_default=True, help="How much faster to replay.")
@click.option("--duration", default=30.0, show_default=True, help="Seconds of each step.")
@click.option(
    "--process",
    type=click.Choice(["poisson", "uniform"]),
    default="poisson",
    show_default=True,
    help="How arrivals fall: at random, or evenly.",
)
@click.option("--seed", default=1, show_default=True, help="Of the random arrivals and kinds.")
@click.option(
    "--driver",
    type=click.Choice(DRIVERS),
    default=DRIVERS[0],
    show_default=True,
    help="One process, or Locust's workers.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Locust's worker processes.",
)
@click.option(
    "--slo-ms",
    default=20.0,
    show_default=True,
    help="p95 the service promises; a driver late by a quarter of it voids a step.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Results folder.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, send nothing.")
@json_option
@click.pass_context
def run_load(
    context: click.Context,
    env: str | None,
    url: str | None,
    path: str,
    kinds_file: Path | None,
    weights: tuple[str, ...],
    users: int,
    rates: tuple[float, ...],
    ramp_to: float | None,
    replay: Path | None,
    rate_scale: float,
    time_scale: float,
    duration: float,
    process: schedule.Process,
    seed: int,
    driver: str,
    workers: int,
    slo_ms: float,
    out: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Drive a schedule against a service. Exit code 1 when a request failed or a step is void.

    Latency counts from the moment a request was meant to leave. A step is void when the driver
    was late, requests did not leave, or the machine that it shares with the service was too
    busy. Results go to the folder --out: driver.json, histograms.json (HDR, microseconds) and
    the raw requests.
    """
    refuse_ignored(context, rates, url)
    url = full_url(context, url, path) if url else None
    segments = _segments(rates, ramp_to, replay, rate_scale, time_scale, duration)
    found = read_kinds(kinds_file, weights_of(weights)) if kinds_file else KindsFile(())
    for line in found.left_out:
        say(f"Left out: {line}.")
    plan = LoadPlan(
        url=_address(env, url, path, bool(found.kinds)),
        segments=segments,
        process=process,
        seed=seed,
        kinds=found.kinds,
        accounts=Accounts(count=users),
    )
    if dry_run:
        emit(_planned(plan), as_json, lambda: "\n".join(_plan_lines(plan)))
        return
    if out is None:
        raise click.UsageError("give --out, a folder for the results, or --dry-run")
    say("\n".join(_plan_lines(plan)))
    run = _drive(plan, out, driver, workers)
    say(f"Results: {out}. All requests as CSV: runbook load export {out} --out requests.csv")
    cores = host_cores() if _is_here(plan.url) else None
    void = [driver_void_reason(step, slo_ms=slo_ms, host_cores=cores) for step in run.steps]
    emit(_results(run, void), as_json, lambda: "\n".join(_result_lines(run, void)))
    if any(void) or any(step.failures for step in run.steps):
        raise click.exceptions.Exit(1)


@load.command("export")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=_FILE, required=True, help="CSV to write; .csv.gz is compressed.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, write nothing.")
def export(folder: Path, out: Path, dry_run: bool) -> None:
    """Write every request of a driver run as CSV, one row each."""
    if not out.name.lower().endswith((".csv", ".csv.gz")):
        raise InputInvalid(
            f"{out} cannot be written", "it is CSV that is written", "name a .csv or a .csv.gz"
        )
    run = read_results(folder)
    if dry_run:
        say(f"Would write {len(run.raw())} rows to {out}.")
    else:
        writable(out)
        try:
            say(f"{export_csv(run, out)} rows in {out}.")
        except OSError as error:
            raise unwritable(out, error.strerror or str(error)) from error


def _segments(
    rates: Sequence[float],
    ramp_to: float | None,
    replay: Path | None,
    rate_scale: float,
    time_scale: float,
    duration: float,
) -> tuple[Segment, ...]:
    if replay is not None:
        return schedule.replay(replay, rate_scale=rate_scale, time_scale=time_scale)
    if not rates:
        raise click.UsageError("give --rate or --replay")
    if ramp_to is not None:
        return schedule.ramp(rates[0], ramp_to, duration, "ramp")
    return schedule.steps(rates, duration)


def _drive(plan: LoadPlan, out: Path, driver: str, workers: int) -> DriverRun:
    """Run the driver; what an earlier run left in `out` moves aside for its results only."""
    writable(out / SUMMARY_FILE)
    earlier = set_aside(out)
    if earlier:
        say(f"The earlier results there are kept in {earlier}.")
    try:
        return run_driver(plan, out, driver=driver, workers=workers)
    finally:
        if earlier and not (out / SUMMARY_FILE).is_file():
            put_back(earlier)
            say(f"No new results: the earlier ones are back in {out}.")


def _address(env: str | None, url: str | None, path: str, origin_only: bool) -> str:
    if (env is None) == (url is None):
        raise click.UsageError("give one of --env and --url")
    if url is not None:
        return url
    origin = endpoint(load_environment(str(env))).url
    return origin if origin_only else origin + path


def _is_here(url: str) -> bool:
    """Whether the service is on this very machine, as the local region is."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _planned(plan: LoadPlan) -> dict[str, Any]:
    return {
        "url": plan.url,
        "duration_s": plan.duration_s,
        "expected_requests": sum(segment.expected_requests for segment in plan.segments),
        "kinds": [
            {
                "name": kind.name,
                "method": kind.method,
                "path": kind.path,
                "weight": kind.weight,
                "class": kind.grouped_as,
            }
            for kind in plan.request_kinds()
        ],
        "users": plan.accounts.count,
    }


def _plan_lines(plan: LoadPlan) -> list[str]:
    planned = _planned(plan)
    whole = sum(kind["weight"] for kind in planned["kinds"])
    return [
        f"{planned['expected_requests']:.0f} requests in {plan.duration_s:.0f} s to {plan.url}",
        *(
            f"  {100 * kind['weight'] / whole:.0f} % {kind['method']} {kind['path']} "
            f"({kind['class']})"
            for kind in planned["kinds"]
        ),
    ]


def _results(run: DriverRun, void: Sequence[str | None]) -> dict[str, Any]:
    return {
        "folder": str(run.folder),
        "cpu_ms_per_1000_requests": run.cpu_ms_per_1000_requests,
        "interrupted": run.interrupted,
        "steps": [
            {**step.to_dict(), "weak": step.weak, "void_reason": reason}
            for step, reason in zip(run.steps, void, strict=True)
        ],
    }


def _result_lines(run: DriverRun, void: Sequence[str | None]) -> list[str]:
    def number(value: float | None) -> str:
        return f"{'-' if value is None else format(value, '.2f'):>9}"

    lines = [
        f"{'step':<22}{'class':<12}{'requests':>9}{'failed':>8}{'p50 ms':>9}{'p95 ms':>9}"
        f"{'p99 ms':>9}{'lag p99':>9}{'driver':>9}{'host':>9}",
        f"{'':<78}{'ms':>9}{'cores':>9}{'cores':>9}",
    ]
    for step, reason in zip(run.steps, void, strict=True):
        rows: dict[str, dict[str, Any]] = {"all": {**step.to_dict(), "weak": step.weak}}
        if len(step.by_class) > 1:
            rows |= step.by_class
        notes = [f"  void: {reason}"] if reason else []
        if step.failure_kinds:
            told = ", ".join(f"{many} x {what}" for what, many in step.failure_kinds.items())
            notes.append(f"  failed: {told}")
        for name, row in rows.items():
            line = (
                f"{step.label:<22}{name:<12}{row['requests']:>9}{row['failures']:>8}"
                f"{number(row['p50_ms'])}{number(row['p95_ms'])}{number(row['p99_ms'])}"
            )
            if name == "all":
                line += number(step.lag_p99_ms)
                line += number(step.driver_cpu_cores) + number(step.host_busy_cores)
            lines.append(line)
            if row.get("weak"):
                notes.append(f"  weak{'' if name == 'all' else f' ({name})'}: {row['weak']}")
        lines += notes
    return lines
