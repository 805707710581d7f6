"""The winner as a `scaling.yaml` proposal: each number with what it rests on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from runbook.errors import InputInvalid
from runbook.lab.history import History
from runbook.lab.service import ServiceModel
from runbook.lab.tune import Tuning

_WHY = {
    "MinTasks": "tasks that always run",
    "MaxTasks": "not searched: --max-tasks; also bounded by what the store can take",
    "RequestsPerTarget": "twice what a task can serve at all, so that CPU alone decides",
    "CpuTarget": "percent of what the tasks reserve",
    "EcsMetricPeriodS": "seconds; 20 needs MetricResolutionS: 20 in service.yaml, launched before:"
    " a deployment, and the finer metrics are charged",
    "ScaleOutCooldownS": "seconds after a scale-out in which only a larger one acts",
    "ScaleInCooldownS": "seconds between two scale-ins",
}


def proposal_text(tuning: Tuning, history: History, service: ServiceModel) -> str:
    """The proposal as YAML: `parameters` of the scaling stack, and what numbers cannot say.

    Without a winner only comments: keep what you have.
    """
    head = [
        "A proposal of the policy lab, not yet applied. Take it over into an environment's",
        "scaling.yaml with `runbook lab adopt FILE --env ENV`, then review and launch as always.",
        "",
        f"history: {history.name}, {history.days:.1f} days from {history.start:%Y-%m-%d},"
        f" learned from the first {history.train_part.days:.1f} days",
        f"capacity: run {service.run_id}, measured with"
        f" {', '.join(map(str, service.measured_tasks))} task(s)",
        f"tried {tuning.tried} policies, {tuning.within} within {tuning.allowed_pct:.2f} % on train"
        f" with the lower capacity bound (budget {tuning.budget_pct:g} %)",
        *tuning.findings,
    ]
    if tuning.winner is None:
        head[:2] = ["Of the policy lab: no change is proposed."]
    lines = [f"# {line}".rstrip() for line in head]
    if tuning.winner is None:
        return "\n".join([*lines, "parameters: {}"]) + "\n"
    proof = (
        f"policy lab, {history.name} until"
        f" {history.start.tz_localize(None) + (history.train_part.days * _day()):%Y-%m-%d}"
    )
    if history.scale != 1.0:
        proof += f", its rates times {history.scale:.4g}"
    lines.append("parameters:")
    for name, value in tuning.winner.numbers.items():
        lines += [f"  # {_WHY[name]}", f"  # from: {proof}", f"  {name}: {value}"]
    if tuning.winner.extra:
        extra = {"sceptre_user_data": {"policy_lab": _plain(tuning.winner.extra)}}
        lines.append(yaml.safe_dump(extra, sort_keys=False, default_flow_style=None).rstrip())
    return "\n".join(lines) + "\n"


def write_proposal(path: Path, text: str) -> Path:
    """Write the proposal at once, in whole. Raises InputInvalid where nothing can be written."""
    draft = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise InputInvalid(
            f"The proposal cannot be written to {path}",
            error.strerror or str(error),
            "name a file in a folder you may write to",
        ) from error
    return path


def _day() -> Any:
    from pandas import Timedelta

    return Timedelta(days=1)


def _plain(value: Any) -> Any:
    """As YAML writes it: no tuples, no numpy numbers."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
