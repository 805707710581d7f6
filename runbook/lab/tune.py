"""The choice of the policy with the fewest task-hours that stays within the violation budget.

The safety rule (AUTOSCALING.md, protocol 6): the budget did not transfer to unseen traffic when
it was spent in full on the traffic at hand. So a policy must keep *half* the budget on the train
window, and with the *lower* end of the measured capacity's interval. The later window is never
looked at while searching; it only reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runbook.errors import InputInvalid
from runbook.lab.floors import hourly
from runbook.lab.history import History
from runbook.lab.outcome import Outcome
from runbook.lab.policy import Policy
from runbook.lab.replay import replay
from runbook.lab.search import Candidate, Search, Trial
from runbook.lab.service import ServiceModel

SAFETY_SHARE = 0.5
WORTH_PCT = 1.0
"""Task-hours that a change of the configured policy must save at least, percent."""
_SHORTEST_TRAIN_S = 86_400
_FEWEST_DAYS, _RESAMPLES, _TAIL_PCT = 3, 1000, 5.0


@dataclass(frozen=True)
class Tuning:
    """The result. `winner` is None when nothing is surely better than what is there: `first`,
    the policy of the first outcome, is then what is configured, or the best of today's practice.

    `allowed_pct` is what a policy might violate on train with the lower capacity: half the
    budget, and `surges_pct`, which is 0 unless even the calmest policy breaks that. `outcomes`
    are on the later, unseen window: the winner (or what is kept) first, then the baselines;
    `train` are the same on the train window. All with the measured capacity. `practice` names
    the row that is the best of today's practice; None where none of it keeps the budget on train.
    """

    winner: Candidate | None
    first: Policy
    budget_pct: float
    allowed_pct: float
    surges_pct: float
    tried: int
    within: int
    outcomes: tuple[Outcome, ...]
    train: tuple[Outcome, ...]
    practice: str | None
    findings: tuple[str, ...]

    @property
    def within_budget(self) -> bool:
        """Whether the first policy keeps the budget on the later window."""
        return self.outcomes[0].violating_requests_pct <= self.budget_pct


def tune(
    history: History,
    service: ServiceModel,
    lower: ServiceModel,
    *,
    budget_pct: float,
    peak_tasks: int,
    max_tasks: int,
    baselines: Sequence[Policy] = (),
    practice: Sequence[Policy] = (),
    current: Policy | None = None,
    candidates: int = 200,
    seeds: int = 3,
    high_resolution: bool = True,
) -> Tuning:
    """Search on the train window, report on the later one.

    `lower` is the service with the lower capacity bounds. Of `practice` the cheapest policy that
    keeps the whole budget on train with the measured capacity, as people choose today, is
    reported beside the `baselines`. `current` is what is configured: it is kept
    unless it breaks the rule on train or the winner saves `WORTH_PCT` there, surely. Where it is
    not known, the winner must surely save as much of what that best practice needs. Without
    `high_resolution` only 60 s metrics are searched. Raises InputInvalid when either window is
    too short to learn from or to report on, or for a budget that is none.
    """
    if not 0.0 < budget_pct <= 100.0:
        raise InputInvalid(
            f"A budget of {budget_pct:g} % cannot be kept or broken",
            "it is the share of requests that may lie in violating minutes",
            "give more than 0 and at most 100; 0.5, say",
        )
    train, test = history.train_part, history.test_part
    if train.seconds < _SHORTEST_TRAIN_S or test.seconds < _SHORTEST_TRAIN_S:
        raise InputInvalid(
            f"{history.name} is too short to tune on",
            f"{train.days:.1f} days to learn from, {test.days:.1f} later days to report on",
            "give a history of two days or more",
        )
    search = Search(
        train,
        service,
        lower,
        limit_pct=SAFETY_SHARE * budget_pct,
        peak_tasks=peak_tasks,
        max_tasks=max_tasks,
        high_resolution=high_resolution,
    )
    search.run(candidates)
    allowed = search.allowed_pct
    surges = allowed - SAFETY_SHARE * budget_pct
    findings = []
    if surges:
        findings.append(
            f"no policy searched keeps {SAFETY_SHARE * budget_pct:g} % on the train window with"
            f" the lower capacity bound: the calmest has {surges:.2f} %,"
            f" {_cause(search, max_tasks)}; so {allowed:.2f} % is allowed there"
        )
    within = [item for item in search.found if item.trial.violating_pct <= allowed]
    best = min(within, key=lambda item: item.trial.task_hours)
    usable = [item for item in practice if high_resolution or not item.fast_alarms]
    usual = _usual(usable, train, service, budget_pct + surges)
    first, kept = best.policy, current or usual
    if kept is not None:
        verdict = "keep what you have"
        if current is None:
            verdict = f"nothing is worth a change from {kept.name}, the best of today's practice"
        keep, why = _kept(search.judge([kept])[0], best.trial, allowed, len(search.found), verdict)
        if keep:
            first = kept
        if keep or current:
            findings.append(why)
    beside = [policy for policy in (current, *baselines, usual) if policy is not None]
    shown = list(dict.fromkeys([first, *beside]))
    learned = hourly(train)
    outcomes = replay(shown, test, service, seeds=seeds, learned=learned)
    trained = replay(shown, train, service, seeds=1)
    findings += _findings(outcomes, budget_pct, usual.name if usual else None)
    if outcomes[0].violating_requests_pct > budget_pct:
        calm = replay([search.calmest.policy], test, service, seeds=1, learned=learned)[0]
        findings.append(_why_not(calm, budget_pct))
    return Tuning(
        best if first is best.policy else None,
        first,
        budget_pct,
        allowed,
        surges,
        len(search.found),
        len(within),
        tuple(outcomes),
        tuple(trained),
        usual.name if usual else None,
        tuple(findings),
    )


def _cause(search: Search, max_tasks: int) -> str:
    """Why even the calmest policy violates more than the rule allows."""
    always = search.judge([Policy("always", fixed_tasks=max_tasks)])[0].violating_pct
    if always > search.limit_pct:
        return (
            f"because {max_tasks} tasks, the most allowed, have {always:.2f} % even if they always"
            " run (more tasks at most would help)"
        )
    return "from surges faster than any reaction"


def _usual(
    practice: Sequence[Policy], train: History, service: ServiceModel, most_pct: float
) -> Policy | None:
    """The cheapest policy on train with at most so many violating requests."""
    outcomes = replay(practice, train, service, seeds=1) if practice else []
    fit = [
        (item.task_hours, at)
        for at, item in enumerate(outcomes)
        if item.violating_requests_pct <= most_pct
    ]
    return practice[min(fit)[1]] if fit else None


def _kept(
    current: Trial, best: Trial, allowed: float, tried: int, verdict: str
) -> tuple[bool, str]:
    """Whether the current policy stays, and the finding about it, which then begins so."""
    if current.violating_pct > allowed:
        return False, (
            f"what is configured has {current.violating_pct:.2f} % of requests in violating minutes"
            f" on the train window, more than the {allowed:.2f} % allowed there"
        )
    saved, sure = _saving_pct(current.task_hours_by_day, best.task_hours_by_day)
    needs = f"{saved:.1f} % fewer" if saved >= 0.0 else f"{-saved:.1f} % more"
    if sure < WORTH_PCT:
        return True, (
            f"{verdict}: it keeps {current.violating_pct:.2f} % on the train window, and"
            f" the best of {tried} policies tried within {allowed:.2f} % needs {needs}"
            f" than its {current.task_hours:.0f} task-hours there: a change must save"
            f" {WORTH_PCT:g} %, surely over days ({sure:.1f} % here)"
        )
    return False, (
        f"the change saves {saved:.1f} % of the task-hours on the train window"
        f" ({sure:.1f} % at least, over days)"
    )


def _saving_pct(old: NDArray[np.float64], new: NDArray[np.float64]) -> tuple[float, float]:
    """What the new policy saves of the old one's task-hours by day: altogether, and at least.

    At least: with 95 %, from resampling the days of both together; with under three days the
    saving itself.
    """

    def saved(was: NDArray[np.float64], becomes: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(100.0 * (1.0 - becomes / np.maximum(was, 1e-12)))

    total = float(saved(old.sum(), new.sum()))
    if len(old) < _FEWEST_DAYS:
        return total, total
    days = np.random.default_rng(0).integers(0, len(old), (_RESAMPLES, len(old)))
    resampled = saved(old[days].sum(axis=1), new[days].sum(axis=1))
    return total, float(np.percentile(resampled, _TAIL_PCT))


def _findings(outcomes: Sequence[Outcome], budget_pct: float, practice: str | None) -> list[str]:
    """What the later window says, against the budget and each baseline."""
    tuned = outcomes[0]
    fits = "within" if tuned.violating_requests_pct <= budget_pct else "NOT within"
    found = [
        f"on the later, unseen window {tuned.name} has {tuned.violating_requests_pct:.2f} % of"
        f" requests in violating minutes, {fits} the budget of {budget_pct:g} %, at"
        f" {tuned.over_oracle:.2f} times the oracle's task-hours"
    ]
    for other in outcomes[1:]:
        change = round(100.0 * (tuned.task_hours / other.task_hours - 1.0))
        best = ", the best of today's practice" if other.name == practice else ""
        found.append(
            f"against {other.name}{best}: {change:+d} % task-hours,"
            f" {tuned.violating_requests_pct:.2f} % instead of"
            f" {other.violating_requests_pct:.2f} % violating"
        )
    return found


def _why_not(calm: Outcome, budget_pct: float) -> str:
    """Whether a calmer policy would have kept the budget on the later window."""
    had = (
        f"the calmest policy on train has {calm.violating_requests_pct:.2f} % on the later window,"
        f" at {calm.over_oracle:.2f} times the oracle's task-hours"
    )
    if calm.violating_requests_pct > budget_pct:
        return f"{had}: its surges are faster than any reaction, announce them by a schedule"
    return f"{had}: learn from more days, or give a smaller budget"
