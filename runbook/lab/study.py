"""What notebook `40_policy_lab` does: a tuning with its tables, and a day to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runbook.capacity.curve import CapacityCurve
from runbook.lab.builtin import builtin
from runbook.lab.floors import hourly
from runbook.lab.history import History
from runbook.lab.outcome import Outcome
from runbook.lab.policy import Policy
from runbook.lab.policy_file import read_policy
from runbook.lab.proposal import proposal_text
from runbook.lab.replay import RESOLUTION_S, play, sweep
from runbook.lab.service import ServiceModel, service_model
from runbook.lab.source import PEAK_TASKS
from runbook.lab.times import Times
from runbook.lab.tune import Tuning, tune

BASELINES = ("cpu-50-60s", "cpu-70-60s", "cpu-70-20s", "predictive-20s", "static-peak")
CONFIGURED, RECOMMENDED = "configured now", "recommended"
_MAX_TIMES_PEAK = 10
_SHOWN = {
    "name": "policy",
    "task_hours": "task-hours",
    "over_oracle": "times the oracle's",
    "violating_requests_pct": "violating requests %",
    "longest_violation_s": "longest violation s",
    "actions_per_day": "actions a day",
    "cost_usd": "USD",
}


@dataclass(frozen=True)
class Study:
    """A tuning on a history, ready to be shown."""

    history: History
    service: ServiceModel
    tuning: Tuning
    policies: tuple[Policy, ...]

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """On the later, unseen window."""
        return self.tuning.outcomes

    def table(self) -> pd.DataFrame:
        """A row a policy, on the later window."""
        rows = [{_SHOWN[key]: getattr(item, key) for key in _SHOWN} for item in self.outcomes]
        return pd.DataFrame(rows).round(2)

    def meanings(self) -> pd.DataFrame:
        """What each policy of the table does, in words."""
        rows = [{"policy": item.name, "what it does": item.told} for item in self.outcomes]
        return pd.DataFrame(rows)

    @cached_property
    def swept(self) -> tuple[Outcome, ...]:
        """The outcomes of the first policy and of those recommended and configured, swept."""
        known = {item.name: item for item in self.outcomes}
        chosen = [
            policy
            for at, policy in enumerate(self.policies)
            if at == 0 or policy.name in (RECOMMENDED, CONFIGURED)
        ]
        learned = hourly(self.history.train_part)
        rows = sweep(chosen, self.history.test_part, self.service, learned=learned)
        return tuple(
            known[policy.name].with_unknowns(row) for policy, row in zip(chosen, rows, strict=True)
        )

    def ranges(self) -> pd.DataFrame:
        """Between what each of these policies lies on the later window, over the unknowns."""
        rows = [
            {
                "policy": item.name,
                **{
                    f"{_SHOWN[key]}, {word}": value
                    for key, pair in item.unknown_range.items()
                    for word, value in zip(("least", "most"), pair, strict=True)
                },
            }
            for item in self.swept
        ]
        return pd.DataFrame(rows).round(3)

    def unknowns(self) -> pd.DataFrame:
        """Violating requests of these policies with each undocumented choice changed, percent."""
        columns = {
            item.name: {at: row["violating_requests_pct"] for at, row in item.unknowns.items()}
            for item in self.swept
        }
        frame = pd.DataFrame(columns).rename_axis("unknown at another value").reset_index()
        return frame.round(3)

    def traces(self, many: int = 3) -> list[tuple[str, NDArray[np.int32]]]:
        """Desired, running and serving tasks per tick of the later window, policy by policy."""
        chosen = self.policies[:many]
        learned = hourly(self.history.train_part)
        played = play(chosen, self.history.test_part, self.service, learned=learned, trace=True)
        return [(p.name, item.trace) for p, item in zip(chosen, played, strict=True)]

    @property
    def resolution_s(self) -> int:
        """Seconds a tick of `traces`."""
        return RESOLUTION_S

    def verdicts(self) -> list[str]:
        """What the recommended and the configured thresholds would have done, in words."""
        known = {item.name: item for item in self.outcomes}
        return [
            f"the thresholds {name} would have had {known[name].violating_requests_pct:.2f} % of"
            f" requests in violating minutes (budget {self.tuning.budget_pct:g} %) at"
            f" {known[name].over_oracle:.2f} times the oracle's task-hours"
            for name in (RECOMMENDED, CONFIGURED)
            if name in known
        ]

    def proposal(self) -> str:
        """The proposal as text."""
        return proposal_text(self.tuning, self.history, self.service)


def study(
    curve: CapacityCurve,
    history: History,
    *,
    times: Times | None = None,
    memory_gb: float | None = None,
    current: Path | None = None,
    recommended: Mapping[str, float] | None = None,
    peak_tasks: int = PEAK_TASKS,
    budget_pct: float = 0.5,
    candidates: int = 400,
    baselines: Sequence[str] = BASELINES,
) -> Study:
    """Tune on the first half of `history`, report on the second.

    `current` is the configured scaling.yaml, `recommended` the thresholds that would replace
    those in it; both are played with the bounds of the others. `peak_tasks` 0 leaves the rates
    as they are. `times` and `memory_gb` as in `service_model`. Raises InputInvalid.
    """
    timing = times.timing if times else None
    service = service_model(curve, timing=timing, memory_gb=memory_gb)
    read = history.scaled(service, peak_tasks or None)
    peak_rps = float(np.quantile(read.train_part.rate_rps, 0.99))
    peak = int(service.needed(np.array([peak_rps]))[0])
    most = _MAX_TIMES_PEAK * peak
    others = [builtin(name, service, peak_tasks=peak, max_tasks=most) for name in baselines]
    configured = proposed = None
    if current is not None:
        as_written = partial(read_policy, current, service, max_tasks=most)
        configured = as_written(name=CONFIGURED)
        if recommended is not None:
            proposed = as_written(name=RECOMMENDED, changes=recommended)
    extra = [policy for policy in (proposed, configured) if policy is not None]
    tuning = tune(
        read,
        service,
        service_model(curve, bound="lower", timing=timing, memory_gb=memory_gb),
        budget_pct=budget_pct,
        peak_tasks=peak,
        max_tasks=most,
        baselines=[*extra, *others],
        current=configured,
        candidates=candidates,
    )
    played = {policy.name: policy for policy in (*extra, *others)}
    if tuning.winner:
        played[tuning.winner.policy.name] = tuning.winner.policy
    return Study(read, service, tuning, tuple(played[item.name] for item in tuning.outcomes))
