"""`runbook lab`: replay policies on real traffic, compare them, tune one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from runbook.cli.frame import emit, say, unwritable, writable
from runbook.cli.lab_adopt import lab_adopt
from runbook.cli.lab_fleet import lab_fleet
from runbook.cli.lab_options import (
    MAX_TIMES_PEAK,
    Measured,
    drawable,
    history_options,
    measured,
    policies_of,
    policies_option,
)
from runbook.errors import InputInvalid
from runbook.tables import text_table

_BASELINES = ("cpu-50-60s", "cpu-70-60s", "cpu-70-20s", "predictive-20s", "static-peak")
_COLUMNS = (
    "policy",
    "task-hours",
    "x oracle",
    "violating %",
    "95 % interval",
    "over unknowns",
    "longest s",
    "actions/day",
    "USD",
)


@click.group()
def lab() -> None:
    """The policy lab: what a policy would have done with real traffic, before it is rolled out."""


lab.add_command(lab_adopt)
lab.add_command(lab_fleet)


@lab.command("replay")
@history_options
@policies_option
@click.option(
    "--window",
    type=click.Choice(["all", "train", "test"]),
    default="all",
    show_default=True,
    help="The part of the history that is played.",
)
@click.option("--unknowns", is_flag=True, help="Sweep what AWS does not document as well.")
def lab_replay(policies: tuple[str, ...], unknowns: bool, window: str, **given: Any) -> None:
    """Play policies on a history: task-hours, violations, cost, beside the oracle's.

    Without --policy, today's practice: cpu-70-60s.
    """
    as_json = given.pop("as_json")
    scene = _scene(**given)
    data, _ = _play(scene, policies or ("cpu-70-60s",), window, unknowns)
    emit(data, as_json, lambda: _table(data["policies"]))


@lab.command("compare")
@history_options
@policies_option
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the comparison as PNG.",
)
def lab_compare(policies: tuple[str, ...], plot: Path | None, **given: Any) -> None:
    """Compare policies side by side: every built-in one unless some are named."""
    from runbook.lab.builtin import NAMES

    as_json = given.pop("as_json")
    drawable(plot)
    scene = _scene(beside=plot, **given)
    data, outcomes = _play(scene, policies or NAMES, "all", True)
    # Before the picture: that it cannot be drawn must not cost the figures.
    emit(data, as_json, lambda: _table(data["policies"]))
    if plot is not None:
        from runbook import plots, plots_lab

        try:
            plots.save(plots_lab.comparison(outcomes, scene.history.name), plot)
        except OSError as error:
            raise unwritable(plot, error.strerror or str(error)) from error
        say(f"Wrote {plot}")


@lab.command("tune")
@history_options
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
    type=click.IntRange(20, 20_000),
    default=3200,
    show_default=True,
    help="About how many policies to try.",
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
    """Search the cheapest policy within the budget on the earlier part, report on the later.

    Exit code 1: on the later part it is not within the budget.
    """
    from runbook.lab.builtin import NAMES
    from runbook.lab.floors import hourly
    from runbook.lab.proposal import proposal_text, write_proposal
    from runbook.lab.replay import sweep
    from runbook.lab.tune import tune

    as_json = given.pop("as_json")
    writable(out)
    scene = _scene(beside=out, **given)
    configured = _policies(scene, [current])[0] if current else None
    tuning = tune(
        scene.history,
        scene.service,
        scene.measured.model("lower"),
        budget_pct=budget_pct,
        peak_tasks=scene.peak_tasks,
        max_tasks=scene.max_tasks,
        baselines=_policies(scene, _BASELINES),
        practice=_policies(scene, [name for name in NAMES if name.startswith("cpu-")]),
        current=configured,
        candidates=candidates,
        seeds=scene.seeds,
        high_resolution=not only_60s,
    )
    learned = hourly(scene.history.train_part)
    rows = sweep([tuning.first], scene.history.test_part, scene.service, learned=learned)[0]
    outcomes = [tuning.outcomes[0].with_unknowns(rows), *tuning.outcomes[1:]]
    text = proposal_text(tuning, scene.history, scene.service)
    if out is not None:
        say(f"Wrote {write_proposal(out, text)}")
    for finding in tuning.findings:
        say(finding)
    if tuning.winner is None and configured is None:
        say("To compare with what you have: --current scaling.yaml")
    data: dict[str, Any] = {
        "policies": [item.to_dict() for item in outcomes],
        "train": [item.to_dict() for item in tuning.train],
        "history": {**scene.history.describe(), "window": "test"},
        "service": {**scene.measured.describe(), "max_tasks": scene.max_tasks},
        "tuned": None
        if tuning.winner is None
        else {"parameters": tuning.winner.numbers, "policy_lab": tuning.winner.extra},
        "keep": tuning.winner is None,
        "within_budget": tuning.within_budget,
        "budget_pct": budget_pct,
        "allowed_on_train_pct": tuning.allowed_pct,
        "surges_on_train_pct": tuning.surges_pct,
        "practice": tuning.practice,
        "tried": tuning.tried,
        "findings": list(tuning.findings),
        "out": str(out) if out else None,
    }
    emit(data, as_json, lambda: f"{_table(data['policies'])}\n\n{text}")
    if not tuning.within_budget:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True)
class _Scene:
    """What the options came to."""

    history: Any
    service: Any
    measured: Measured
    peak_tasks: int
    max_tasks: int
    max_given: bool
    seeds: int


def _scene(
    *,
    history: str,
    days: int | None,
    history_out: Path | None,
    peak_tasks: int | None,
    train_share: float,
    timezone: str,
    max_tasks: int | None,
    seeds: int,
    beside: Path | None = None,
    **given: Any,
) -> _Scene:
    """The history and the service of the options; a history from CloudWatch is kept as CSV.

    It goes to `history_out`, else beside the file that a command writes (`beside`).
    """
    import numpy as np

    from runbook.lab.source import DAYS, is_recorded, load_history, usual_peak_tasks

    found = measured(**given)
    service = found.model()
    keep = None
    if is_recorded(history):
        keep = history_out or (beside.with_name(f"{beside.stem}.history.csv") if beside else None)
    elif history_out is not None or days is not None:
        what = "--days" if history_out is None else "--history-out"
        raise InputInvalid(
            f"{what} is for cloudwatch:ENV", f"{history} is a file, read whole", "leave it out"
        )
    writable(keep)
    read = load_history(
        history, timezone=timezone, train_share=train_share, days=days or DAYS, keep=keep
    )
    if keep is not None:
        say(f"Wrote {keep}: replay it with --history {keep} --peak-tasks 0")
    wanted = usual_peak_tasks(history) if peak_tasks is None else peak_tasks
    scaled = read.scaled(service, wanted or None)
    train = scaled.rate_rps[: scaled.train]
    needed = int(service.needed(np.array([np.quantile(train, 0.99)]))[0])
    for note in scaled.describe()["notes"]:
        say(f"{scaled.name}: {note}")
    say(found.times.told())
    most = max_tasks or MAX_TIMES_PEAK * needed
    return _Scene(scaled, service, found, needed, most, max_tasks is not None, seeds)


def _policies(scene: _Scene, names: Sequence[str]) -> list[Any]:
    from runbook.lab.builtin import builtin

    def known(name: str) -> Any:
        return builtin(name, scene.service, peak_tasks=scene.peak_tasks, max_tasks=scene.max_tasks)

    most = scene.max_tasks if scene.max_given else None
    return policies_of(names, scene.service, known, most)


def _play(
    scene: _Scene, names: Sequence[str], window: str, unknowns: bool
) -> tuple[dict[str, Any], list[Any]]:
    from runbook.lab.floors import hourly
    from runbook.lab.replay import replay, sweep

    chosen = _policies(scene, names)
    history, learned = scene.history, None
    if window == "train":
        history = history.train_part
    elif window == "test":
        learned, history = hourly(history.train_part), history.test_part
    if history.seconds < 3600:
        raise InputInvalid(
            f"{scene.history.name} cannot be replayed",
            f"{'it' if window == 'all' else f'its {window} window'} is {history.seconds} s long",
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
        outcomes = [o.with_unknowns(rows) for o, rows in zip(outcomes, swept, strict=True)]
    return {
        "policies": [
            {"policy": given, **item.to_dict()} for given, item in zip(names, outcomes, strict=True)
        ],
        "history": {**scene.history.describe(), "window": window},
        "service": {**scene.measured.describe(), "max_tasks": scene.max_tasks},
    }, outcomes


def _table(policies: Sequence[dict[str, Any]]) -> str:
    rows = []
    for item in policies:
        low, high = item["intervals"].get("violating_requests_pct", (float("nan"),) * 2)
        swept = item["unknown_range"].get("violating_requests_pct")
        rows.append(
            [
                item["name"],
                f"{item['task_hours']:.0f}",
                f"{item['over_oracle']:.2f}",
                f"{item['violating_requests_pct']:.2f}",
                f"{low:.2f}-{high:.2f}",
                f"{swept[0]:.2f}-{swept[1]:.2f}" if swept else "-",
                f"{item['longest_violation_s']:.0f}",
                f"{item['actions_per_day']:.1f}",
                f"{item['cost_usd']:.2f}",
            ]
        )
    return text_table(list(_COLUMNS), rows)
