"""The whole flow on a local region of its own, from nothing to a verified threshold."""

from __future__ import annotations

import contextlib
import csv
import difflib
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from runbook import region
from runbook.environment import find_project
from runbook.runs import record
from runbook.runs.console import Console, expected_durations
from runbook.runs.report import took, write_run_page, write_runs_page
from runbook.runs.runner import RunOutcome, RunRequest, run_notebooks
from runbook.tables import text_table

NOTEBOOKS = (
    "00_preflight",
    "10_deploy",
    "20_load_test",
    "30_analyse",
    "40_policy_lab",
    "50_apply",
    "60_verify",
)
#: Seconds they take on two cores; the latest run's own durations are used once there is one.
_EXPECTED_S = {
    "00_preflight": 5.0,
    "10_deploy": 20.0,
    "20_load_test": 260.0,
    "30_analyse": 15.0,
    "40_policy_lab": 20.0,
    "50_apply": 10.0,
    "60_verify": 200.0,
}
_ENVIRONMENT = "local"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class _Phases:
    """Wall time by phase, in seconds, in the order in which they happened."""

    seconds: dict[str, float]

    @contextlib.contextmanager
    def time(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - started, 2)


def run_demo(
    *,
    root: Path | None = None,
    port: int | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> RunOutcome:
    """Run every notebook on a region that exists only meanwhile, on a copy of `sceptre/`.

    Talks to stderr, prints the table and the page's path to stdout. However it ends, the
    region and all it started are gone. Raises LocalRegionFailed when it cannot be started.
    """
    project = find_project()
    base = root or record.runs_root(project)
    run_dir = record.new_run_dir(base, _ENVIRONMENT)
    console = Console(NOTEBOOKS, {**_EXPECTED_S, **expected_durations(base, _ENVIRONMENT)})
    phases = _Phases({})
    sceptre_dir = run_dir / "sceptre"
    shutil.copytree(project / "sceptre", sceptre_dir)
    request = RunRequest(
        notebooks=NOTEBOOKS,
        env=_ENVIRONMENT,
        parameters={**(parameters or {}), "sceptre_dir": str(sceptre_dir)},
        root=base,
        run_dir=run_dir,
        title="The whole flow on the local region",
        started_by="runbook demo",
    )
    with _own_region_dir(run_dir / "region"):
        try:
            with phases.time("start the local region"):
                console.say(f"Run {run_dir.name}: {len(NOTEBOOKS)} notebooks on a local region.")
                state = region.up(_choose_port(port, console), owner_pid=os.getpid())
                console.say(f"The local region answers at {state.endpoint_url}.")
            outcome = run_notebooks(request, console, project=project)
        finally:
            with phases.time("stop the local region"), _no_more_signals():
                region.down()
    outcome = _record_phases(outcome, phases)
    write_runs_page(base)
    _tell(outcome, project, sceptre_dir, console)
    return outcome


def _choose_port(wanted: int | None, console: Console) -> int:
    """The wanted port, else the usual one, else a free one, and says so."""
    if wanted is not None:
        return wanted
    if _free(region.DEFAULT_PORT):
        return region.DEFAULT_PORT
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    console.say(f"Port {region.DEFAULT_PORT} is taken by another program; using {port}.")
    return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _own_region_dir(folder: Path) -> Iterator[None]:
    """A region of the demo's own, whatever else the shell points at or runs."""
    changed = {"RUNBOOK_LOCAL_REGION_DIR": str(folder)}
    removed = [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]
    before = dict(os.environ)
    os.environ.update(changed)
    for name in removed:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _no_more_signals() -> Iterator[None]:
    """Stopping the region takes seconds and is not to be interrupted half-way."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _record_phases(outcome: RunOutcome, phases: _Phases) -> RunOutcome:
    """Wall time by phase into run.json and onto the page."""
    steps = {item["notebook"]: item["duration_s"] for item in outcome.summary["notebooks"]}
    ordered = {
        "start the local region": phases.seconds["start the local region"],
        **steps,
        "stop the local region": phases.seconds["stop the local region"],
    }
    ordered["everything"] = round(
        outcome.summary["duration_s"]
        + phases.seconds["start the local region"]
        + phases.seconds["stop the local region"],
        2,
    )
    # The region is gone by then: a notebook alone would find none.
    advice, alone, _ = str(outcome.summary.get("next") or "").partition(": runbook run ")
    following = f"{advice}: make demo" if alone else advice
    summary = record.summarise(
        outcome.run_dir, verdict=outcome.verdict, phases=ordered, next=following
    )
    write_run_page(outcome.run_dir)
    return RunOutcome(outcome.run_dir, outcome.verdict, summary)


def _tell(outcome: RunOutcome, project: Path, sceptre_dir: Path, console: Console) -> None:
    for notebook, table in (("30_analyse", "thresholds"), ("60_verify", "timeline")):
        path = outcome.run_dir / notebook / "tables" / f"{table}.csv"
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as stream:
                columns, *rows = csv.reader(stream)
            click.echo(f"{text_table(columns, rows)}\n")
    difference = _difference(
        project / "sceptre", sceptre_dir, f"config/{_ENVIRONMENT}/scaling.yaml"
    )
    if difference:
        console.say(f"\nWhat it would write to your checkout:\n{difference}")
    rows = [[name, took(seconds)] for name, seconds in outcome.summary["phases"].items()]
    console.say(f"\n{text_table(['phase', 'took'], rows)}\n")
    console.say(f"Verdict: {outcome.verdict.replace('_', ' ')}.")
    if outcome.summary["next"]:
        console.say(f"Next: {outcome.summary['next']}")
    click.echo(str(outcome.run_dir / "index.html"))


def _difference(mine: Path, copy: Path, name: str) -> str:
    before = (mine / name).read_text(encoding="utf-8").splitlines()
    after = (copy / name).read_text(encoding="utf-8").splitlines()
    label = f"sceptre/{name}"
    return "\n".join(difflib.unified_diff(before, after, label, label, lineterm="", n=1))
