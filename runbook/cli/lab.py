"""`runbook lab`: replay policies on real traffic, compare them, tune one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from runbook.cli.frame import emit, json_option, say
from runbook.cli.lab_fleet import lab_fleet
from runbook.errors import InputInvalid
from runbook.runs import display

_Command = TypeVar("_Command", bound=Callable[..., Any])
_DEFAULT_PEAK_TASKS = 30
_MAX_TIMES_PEAK = 10
_BASELINES = ("cpu-50-60s", "cpu-70-60s", "cpu-70-20s", "predictive-20s", "static-peak")
_COLUMNS = (
    "policy",
    "task-hours",
    "x oracle",
    "violating %",
    "95 % interval",
    "longest s",
    "actions/day",
    "USD",
)


@click.group()
def lab() -> None:
    """The policy lab: what a policy would have done with real traffic, before it is rolled out."""


lab.add_command(lab_fleet)


def _history_options(command: _Command) -> _Command:
    for option in reversed(
        (
            click.option(
                "--history",
                required=True,
                type=click.Path(dir_okay=False, path_type=Path),
                help="CSV timestamp,requests: requests per interval.",
            ),
            click.option(
                "--curve",
                required=True,
                type=click.Path(dir_okay=False, path_type=Path),
                help="capacity.json as 30_analyse writes it.",
            ),
            click.option(
                "--peak-tasks",
                type=click.IntRange(0),
                default=_DEFAULT_PEAK_TASKS,
                show_default=True,
                help="Scale the rates so that the train p99 needs so many tasks; 0: as they are.",
            ),
            click.option(
                "--train-share",
                type=click.FloatRange(0.1, 1.0),
                default=0.5,
                show_default=True,
                help="The earlier share of the history that may be learned from.",
            ),
            click.option(
                "--timezone",
                default="UTC",
                show_default=True,
                help="Of stamps without an offset.",
            ),
            click.option(
                "--max-tasks",
                type=click.IntRange(1),
                help=f"Upper bound of every policy; {_MAX_TIMES_PEAK} x the peak's tasks.",
            ),
            click.option(
                "--seeds",
                type=click.IntRange(1, 1000),
                default=5,
                show_default=True,
                help="Draws of Poisson arrivals.",
            ),
            json_option,
        )
    ):
        command = option(command)
    return command


_policies = click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="NAME_OR_FILE",
    help="A built-in policy or a scaling.yaml; several are played on the same arrivals.",
)


@lab.command("replay")
@_history_options
@_policies
@click.option(
    "--window",
    type=click.Choice(["all", "train", "test"]),
    default="all",
    show_default=True,
    help="The part of the history that is played.",
)
@click.option("--unknowns", is_flag=True, help="Sweep what AWS does not document as well.")
def lab_replay(policies: tuple[str, ...], unknowns: bool, window: str, **given: Any) -> None:
    """Play policies on a history: task-hours, violations, cost, beside the oracle's."""
    as_json = given.pop("as_json")
    scene = _scene(**given)
    data, _ = _play(scene, policies or ("cpu-70-60s",), window, unknowns)
    emit(data, as_json, lambda: _table(data["policies"]))


@lab.command("compare")
@_history_options
@_policies
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the comparison as PNG.",
)
def lab_compare(policies: tuple[str, ...], plot: Path | None, **given: Any) -> None:
    """Compare policies side by side: every built-in one unless some are named."""
    from runbook.lab.builtin import NAMES

    as_json = given.pop("as_json")
    scene = _scene(**given)
    data, outcomes = _play(scene, policies or NAMES, "all", True)
    if plot is not None:
        from runbook import plots, plots_lab

        plots.save(plots_lab.comparison(outcomes, scene.history.name), plot)
        say(f"Wrote {plot}")
    emit(data, as_json, lambda: _table(data["policies"]))


@lab.command("tune")
@_history_options
@click.option(
    "--budget",
    "budget_pct",
    type=click.FloatRange(0.0, 100.0, min_open=True),
    default=0.5,
    show_default=True,
    help="Percent of requests that may lie in minutes whose p95 is over the SLO.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the proposal, a scaling.yaml, is written; without it nothing is.",
)
@click.option("--current", metavar="NAME_OR_FILE", help="What is configured: kept if it is best.")
@click.option(
    "--candidates",
    type=click.IntRange(20, 5000),
    default=800,
    show_default=True,
    help="Policies to try.",
)
@click.option("--only-60s", is_flag=True, help="No 20 s metrics: they need a deployment and cost.")
def lab_tune(
    budget_pct: float,
    out: Path | None,
    current: str | None,
    candidates: int,
    only_60s: bool,
    **given: Any,
) -> None:
    """Search the cheapest policy within the budget on the earlier part, report on the later."""
    from runbook.lab.builtin import builtin
    from runbook.lab.proposal import proposal_text, write_proposal
    from runbook.lab.service import service_model
    from runbook.lab.tune import tune

    as_json = given.pop("as_json")
    scene = _scene(**given)
    baselines = [
        builtin(name, scene.service, peak_tasks=scene.peak_tasks, max_tasks=scene.max_tasks)
        for name in _BASELINES
    ]
    tuning = tune(
        scene.history,
        scene.service,
        service_model(scene.curve, bound="lower"),
        budget_pct=budget_pct,
        peak_tasks=scene.peak_tasks,
        max_tasks=scene.max_tasks,
        baselines=baselines,
        current=_policy(scene, current) if current else None,
        candidates=candidates,
        seeds=scene.seeds,
        high_resolution=not only_60s,
    )
    text = proposal_text(tuning, scene.history, scene.service)
    if out is not None:
        say(f"Wrote {write_proposal(out, text)}")
    for finding in tuning.findings:
        say(finding)
    data: dict[str, Any] = {
        "policies": [item.to_dict() for item in tuning.outcomes],
        "train": [item.to_dict() for item in tuning.train],
        "history": {**scene.history.describe(), "window": "test"},
        "tuned": None
        if tuning.winner is None
        else {"parameters": tuning.winner.numbers, "policy_lab": tuning.winner.extra},
        "keep": tuning.winner is None,
        "budget_pct": budget_pct,
        "allowed_on_train_pct": tuning.allowed_pct,
        "tried": tuning.tried,
        "findings": list(tuning.findings),
        "out": str(out) if out else None,
    }
    emit(data, as_json, lambda: f"{_table(data['policies'])}\n\n{text}")


@dataclass(frozen=True)
class _Scene:
    """What the options came to."""

    history: Any
    service: Any
    curve: Any
    peak_tasks: int
    max_tasks: int
    max_given: bool
    seeds: int


def _scene(
    *,
    history: Path,
    curve: Path,
    peak_tasks: int,
    train_share: float,
    timezone: str,
    max_tasks: int | None,
    seeds: int,
) -> _Scene:
    import numpy as np

    from runbook.capacity.curve import CapacityCurve
    from runbook.lab.history import read_history
    from runbook.lab.service import service_model

    measured = CapacityCurve.load(curve)
    service = service_model(measured)
    read = read_history(history, timezone=timezone, train_share=train_share)
    scaled = read.scaled(service, peak_tasks or None)
    train = scaled.rate_rps[: scaled.train]
    needed = int(service.needed(np.array([np.quantile(train, 0.99)]))[0])
    for note in scaled.describe()["notes"]:
        say(f"{scaled.name}: {note}")
    most = max_tasks or _MAX_TIMES_PEAK * needed
    return _Scene(scaled, service, measured, needed, most, max_tasks is not None, seeds)


def _policy(scene: _Scene, name: str) -> Any:
    from runbook.lab.builtin import builtin
    from runbook.lab.policy_file import read_policy

    path = Path(name)
    if path.is_file():
        most = scene.max_tasks if scene.max_given else None
        return read_policy(path, scene.service, max_tasks=most)
    if path.suffix:
        raise InputInvalid(
            f"The policy {name} cannot be read", "there is no such file", "give a scaling.yaml"
        )
    return builtin(name, scene.service, peak_tasks=scene.peak_tasks, max_tasks=scene.max_tasks)


def _play(
    scene: _Scene, names: Sequence[str], window: str, unknowns: bool
) -> tuple[dict[str, Any], list[Any]]:
    from runbook.lab.floors import hourly
    from runbook.lab.replay import replay, sweep

    chosen = [_policy(scene, name) for name in names]
    history, learned = scene.history, None
    if window == "train":
        history = history.train_part
    elif window == "test":
        learned, history = hourly(history.train_part), history.test_part
    if history.seconds < 3600:
        raise InputInvalid(
            f"{scene.history.name} cannot be replayed",
            f"its {window} window is {history.seconds} s long",
            "give an hour or more",
        )
    for policy in chosen:
        most = policy.fixed_tasks or policy.max_tasks
        if most < scene.peak_tasks:
            say(
                f"Policy {policy.name}: its {most} tasks at most cannot carry the peak, which needs"
                f" {scene.peak_tasks}; --max-tasks lifts the bound."
            )
    outcomes = replay(chosen, history, scene.service, seeds=scene.seeds, learned=learned)
    if unknowns:
        swept = sweep(chosen, history, scene.service, learned=learned)
        outcomes = [replace(o, unknowns=rows) for o, rows in zip(outcomes, swept, strict=True)]
    return {
        "policies": [
            {"policy": given, **item.to_dict()} for given, item in zip(names, outcomes, strict=True)
        ],
        "history": {**scene.history.describe(), "window": window},
        "service": {
            "curve_run": scene.curve.run_id,
            "slo_ms": scene.curve.slo_ms,
            "measured_tasks": list(scene.service.measured_tasks),
            "task_hour_usd": scene.service.task_hour_usd,
            "max_tasks": scene.max_tasks,
        },
    }, outcomes


def _table(policies: Sequence[dict[str, Any]]) -> str:
    rows = []
    for item in policies:
        low, high = item["intervals"].get("violating_requests_pct", (float("nan"),) * 2)
        rows.append(
            [
                item["name"],
                f"{item['task_hours']:.0f}",
                f"{item['over_oracle']:.2f}",
                f"{item['violating_requests_pct']:.2f}",
                f"{low:.2f}-{high:.2f}",
                f"{item['longest_violation_s']:.0f}",
                f"{item['actions_per_day']:.1f}",
                f"{item['cost_usd']:.2f}",
            ]
        )
    return display.text_table(list(_COLUMNS), rows)
