"""The search for the policy with the fewest task-hours that stays within the violation budget.

The safety rule (AUTOSCALING.md, protocol 6): the budget did not transfer to unseen traffic when
it was spent in full on the traffic at hand. So a policy must keep *half* the budget on the train
window, and with the *lower* end of the measured capacity's interval. The later window is never
looked at while searching; it only reports.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runbook.errors import InputInvalid
from runbook.lab.floors import hourly
from runbook.lab.history import History
from runbook.lab.outcome import Outcome
from runbook.lab.policy import Policy
from runbook.lab.policy_file import policy_of
from runbook.lab.replay import play, replay
from runbook.lab.service import ServiceModel

SAFETY_SHARE = 0.5
_ROUNDS = 5
_PARENTS = 12
_SHORTEST_TRAIN_S = 86_400
_RUNG_PCT, _MOST_STEPS = 4, 20
_CHOICES: dict[str, tuple[Any, ...]] = {
    # Percent of the CPU at c_SLO.
    "cpu_share": (55, 60, 65, 70, 74, 78, 80, 82, 84, 86, 88, 90, 92, 95, 98, 100),
    "cpu_period_s": (20, 20, 20, 60),
    "out_s": (0, 20, 40, 60, 120),
    "in_s": (0, 60, 120, 300, 600),
    "min_tasks": (1, 2, 3, 4),
    # A ladder of steps on one datapoint: its first rung in CPU percent above the target, and how
    # many times the tasks that would bring CPU back to the target each rung adds.
    "first_rung": (None, 1, 1, 2, 2, 4, 6, 8),
    "gain": (1.0, 1.3, 1.6, 2.0, 2.5),
    "step_cooldown_s": (0, 20, 40, 60),
    "forecast_share": (None, None, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0),
    "buffer_s": (300, 600, 900, 1800),
}

Genes = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A policy of the search, with what it takes to write it down, and how it did on train.

    `train_violating_pct` is with the lower capacity bound, `train_task_hours` with the measured.
    """

    numbers: Mapping[str, Any]
    extra: Mapping[str, Any]
    policy: Policy
    train_violating_pct: float
    train_task_hours: float


@dataclass(frozen=True)
class Tuning:
    """The result. `winner` is None when what is configured should be kept.

    `outcomes` are on the later, unseen window: the winner (or what is kept) first, then the
    baselines; `train` are the same on the train window. All with the measured capacity.
    """

    winner: Candidate | None
    budget_pct: float
    allowed_pct: float
    tried: int
    within: int
    outcomes: tuple[Outcome, ...]
    train: tuple[Outcome, ...]
    findings: tuple[str, ...]


def tune(
    history: History,
    service: ServiceModel,
    lower: ServiceModel,
    *,
    budget_pct: float,
    peak_tasks: int,
    max_tasks: int,
    baselines: Sequence[Policy] = (),
    current: Policy | None = None,
    candidates: int = 200,
    seeds: int = 3,
    high_resolution: bool = True,
) -> Tuning:
    """Search on the train window, report on the later one.

    `lower` is the service with the lower capacity bounds. `current` is what is configured: it is
    kept unless the winner needs fewer task-hours on train or current breaks the budget there.
    Without `high_resolution` only 60 s metrics are searched. Raises InputInvalid when either
    window is too short to learn from or to report on.
    """
    train, test = history.train_part, history.test_part
    if train.seconds < _SHORTEST_TRAIN_S or test.seconds < _SHORTEST_TRAIN_S:
        raise InputInvalid(
            f"{history.name} is too short to tune on",
            f"{train.days:.1f} days to learn from, {test.days:.1f} later days to report on",
            "give a history of two days or more",
        )
    search = _Search(train, service, lower, peak_tasks, max_tasks, high_resolution)
    search.run(candidates)
    calmest = min(item.train_violating_pct for item in search.found)
    allowed = SAFETY_SHARE * budget_pct
    findings = []
    if calmest > allowed:
        findings.append(
            f"no policy searched keeps {allowed:g} % on the train window with the lower capacity"
            f" bound: the calmest has {calmest:.2f} %, from surges faster than any reaction;"
            f" so {calmest + allowed:.2f} % is allowed there"
        )
        allowed += calmest
    within = [item for item in search.found if item.train_violating_pct <= allowed]
    best = min(within, key=lambda item: item.train_task_hours)
    keep = _kept(search, best, current, allowed, findings)
    if keep and current is not None:
        shown = [current, *(item for item in baselines if item != current)]
    else:
        shown = [best.policy, *baselines]
    learned = hourly(train)
    outcomes = replay(shown, test, service, seeds=seeds, learned=learned)
    trained = replay(shown, train, service, seeds=1)
    findings += _findings(outcomes, budget_pct)
    return Tuning(
        None if keep else best,
        budget_pct,
        allowed,
        len(search.found),
        len(within),
        tuple(outcomes),
        tuple(trained),
        tuple(findings),
    )


class _Search:
    """Random candidates first, then neighbours of the best ones so far."""

    def __init__(
        self,
        train: History,
        service: ServiceModel,
        lower: ServiceModel,
        peak_tasks: int,
        max_tasks: int,
        high_resolution: bool,
    ) -> None:
        self._train, self._service, self._lower = train, service, lower
        self._peak, self._max = peak_tasks, max_tasks
        self._choices = dict(_CHOICES)
        if not high_resolution:
            self._choices |= {"cpu_period_s": (60,), "first_rung": (None,)}
        self._generator = np.random.default_rng(7)
        self._seen: dict[str, tuple[Genes, Candidate]] = {}

    @property
    def found(self) -> list[Candidate]:
        """Every candidate played."""
        return [candidate for _, candidate in self._seen.values()]

    def run(self, candidates: int) -> None:
        """Play about `candidates` policies."""
        first = candidates // 2
        self._play([self._random() for _ in range(first)])
        for _ in range(_ROUNDS):
            parents = self._parents()
            self._play(
                [
                    self._neighbour(parents[index % len(parents)])
                    for index in range((candidates - first) // _ROUNDS)
                ]
            )

    def judge(self, policies: Sequence[Policy]) -> list[tuple[float, float]]:
        """Violating percent with the lower bound, task-hours with the measured capacity."""
        found = []
        cautious = play(policies, self._train, self._lower, seeds=(0,))
        measured = play(policies, self._train, self._service, seeds=(0,))
        for low, middle in zip(cautious, measured, strict=True):
            total = low.account.sum(axis=(0, 1))
            hours = float(middle.account[:, :, 3].sum() / 3600.0)
            found.append((float(100.0 * total[1] / max(total[0], 1e-12)), hours))
        return found

    def _random(self) -> Genes:
        return {name: self._pick(values) for name, values in self._choices.items()}

    def _pick(self, values: tuple[Any, ...]) -> Any:
        return values[int(self._generator.integers(len(values)))]

    def _neighbour(self, genes: Genes) -> Genes:
        changed = dict(genes)
        for name in self._generator.choice(list(self._choices), 2, replace=False):
            values = self._choices[str(name)]
            near = values.index(genes[str(name)]) + int(self._generator.integers(-2, 3))
            changed[str(name)] = values[min(max(near, 0), len(values) - 1)]
        return changed

    def _parents(self) -> list[Genes]:
        """The cheapest of those whose violations are among the lowest allowed so far."""
        calmest = min(item.train_violating_pct for item in self.found)
        edge = max(0.25, calmest + 0.25)
        ranked = sorted(
            self._seen.values(),
            key=lambda pair: (
                max(0.0, pair[1].train_violating_pct - edge),
                pair[1].train_task_hours,
            ),
        )
        return [genes for genes, _ in ranked[:_PARENTS]]

    def _play(self, many: list[Genes]) -> None:
        fresh = {}
        for genes in many:
            numbers, extra = self._written(genes)
            key = repr((numbers, extra))
            if key not in self._seen:
                fresh[key] = (
                    genes,
                    numbers,
                    extra,
                    policy_of("tuned", numbers, extra, self._service),
                )
        judged = self.judge([item[3] for item in fresh.values()])
        for (key, (genes, numbers, extra, policy)), (violating, hours) in zip(
            fresh.items(), judged, strict=True
        ):
            self._seen[key] = genes, Candidate(numbers, extra, policy, violating, hours)

    def _written(self, genes: Genes) -> tuple[dict[str, Any], dict[str, Any]]:
        """The genes as scaling.yaml has them."""
        full = self._service.cpu_pct_at_c_slo(self._peak)
        target = max(1, round(full * genes["cpu_share"] / 100.0))
        numbers: dict[str, Any] = {
            "MinTasks": genes["min_tasks"],
            "MaxTasks": max(self._max, genes["min_tasks"]),
            "CpuTarget": target,
            "EcsMetricPeriodS": genes["cpu_period_s"],
            "ScaleOutCooldownS": genes["out_s"],
            "ScaleInCooldownS": genes["in_s"],
        }
        extra: dict[str, Any] = {}
        if genes["first_rung"] is not None and genes["cpu_period_s"] == 20:
            extra["cpu_steps"] = {
                "period_s": 20,
                "periods": 1,
                "cooldown_s": genes["step_cooldown_s"],
                "steps": _ladder(target, target + genes["first_rung"], genes["gain"]),
            }
        if genes["forecast_share"] is not None:
            extra["predictive"] = {
                "utilisation": genes["forecast_share"],
                "buffer_s": genes["buffer_s"],
            }
        return numbers, extra


def _ladder(target_pct: int, first_pct: int, gain: float) -> list[list[int]]:
    """Steps [above CPU percent, add percent]: what target tracking would add, without its wait.

    Target tracking adds in proportion to the metric, but only after three datapoints; a ladder of
    steps does so after one. AWS allows 20 steps a policy.
    """
    return [
        [at, max(1, math.ceil(100.0 * gain * (at + _RUNG_PCT / 2 - target_pct) / target_pct))]
        for at in range(min(first_pct, 98), 100, _RUNG_PCT)
    ][:_MOST_STEPS]


def _kept(
    search: _Search,
    best: Candidate,
    current: Policy | None,
    allowed: float,
    findings: list[str],
) -> bool:
    """Whether the configured policy stays, and the finding about it."""
    if current is None:
        return False
    violating, hours = search.judge([current])[0]
    if violating > allowed:
        findings.append(
            f"what is configured has {violating:.2f} % of requests in violating minutes on the"
            f" train window, more than the {allowed:.2f} % allowed there"
        )
        return False
    if hours <= best.train_task_hours:
        findings.append(
            f"keep what you have: it keeps {violating:.2f} % on the train window, and of"
            f" {len(search.found)} policies tried none within {allowed:.2f} % needs fewer than its"
            f" {hours:.0f} task-hours"
        )
        return True
    return False


def _findings(outcomes: Sequence[Outcome], budget_pct: float) -> list[str]:
    """What the later window says, against the budget and each baseline."""
    tuned = outcomes[0]
    fits = "within" if tuned.violating_requests_pct <= budget_pct else "NOT within"
    found = [
        f"on the later, unseen window {tuned.name} has {tuned.violating_requests_pct:.2f} % of"
        f" requests in violating minutes, {fits} the budget of {budget_pct:g} %, at"
        f" {tuned.over_oracle:.2f} times the oracle's task-hours"
    ]
    for other in outcomes[1:]:
        change = 100.0 * (tuned.task_hours / other.task_hours - 1.0)
        found.append(
            f"against {other.name}: {change:+.0f} % task-hours,"
            f" {tuned.violating_requests_pct:.2f} % instead of"
            f" {other.violating_requests_pct:.2f} % violating"
        )
    return found
