"""The tuning: the safety rule, what is kept, what is told, and what the search may write."""

from dataclasses import replace

import numpy as np
import pytest

from runbook.errors import InputInvalid
from runbook.lab.builtin import builtin
from runbook.lab.history import History
from runbook.lab.policy import Policy
from runbook.lab.replay import play
from runbook.lab.search import Search, Trial
from runbook.lab.service import ServiceModel
from runbook.lab.tune import SAFETY_SHARE, WORTH_PCT, Tuning, _kept, tune

BUDGET_PCT = 0.5


def named(service: ServiceModel, *names: str) -> list[Policy]:
    return [builtin(name, service, peak_tasks=10, max_tasks=100) for name in names]


def tuned(history: History, service: ServiceModel, **changes) -> Tuning:
    given = {
        "budget_pct": BUDGET_PCT,
        "peak_tasks": 10,
        "max_tasks": 100,
        "candidates": 40,
        "seeds": 1,
        **changes,
    }
    return tune(history, service, service, **given)


def surging(history: History, times: float, first: int) -> History:
    """Three minutes of `times` the load in every hour from the value `first` on."""
    rate = history.rate_rps.copy()
    for at in range(first, len(rate), 60):
        rate[at : at + 3] *= times
    return replace(history, rate_rps=rate)


def test_tuning_keeps_the_budget_on_later_traffic(days: History, service: ServiceModel):
    found = tuned(days, service, baselines=named(service, "cpu-50-60s"))
    assert found.winner is not None
    best, usual = found.outcomes
    assert found.allowed_pct == SAFETY_SHARE * BUDGET_PCT
    assert found.surges_pct == 0
    assert found.winner.trial.violating_pct <= found.allowed_pct
    assert found.within_budget
    assert best.violating_requests_pct <= BUDGET_PCT
    assert best.task_hours < 0.8 * usual.task_hours
    assert found.tried >= 25


def test_what_is_configured_stays_if_it_is_best(days: History, service: ServiceModel):
    best = tuned(days, service).winner
    assert best is not None
    again = tuned(days, service, current=best.policy)
    assert again.winner is None
    assert again.outcomes[0].name == best.policy.name
    assert any("keep what you have" in finding for finding in again.findings)


def test_where_one_task_is_enough_no_change_is_proposed(days: History, service: ServiceModel):
    idle = replace(days, rate_rps=np.full_like(days.rate_rps, 0.1 * service.c_slo_rps[1]))
    practice = named(service, "cpu-50-60s", "cpu-70-60s")
    found = tuned(idle, service, peak_tasks=1, practice=practice)
    assert found.winner is None
    assert found.first in practice
    assert found.outcomes[0].over_oracle == pytest.approx(1.0)
    assert any(f"a change from {found.first.name}" in finding for finding in found.findings)


def test_without_20_s_metrics_no_practice_on_them_is_proposed_to_stay(
    days: History, service: ServiceModel
):
    practice = named(service, "cpu-70-20s", "cpu-50-60s")
    assert tuned(days, service, practice=practice).practice == "cpu-70-20s"
    slow = tuned(days, service, practice=practice, high_resolution=False)
    assert slow.practice == "cpu-50-60s"


@pytest.mark.parametrize(
    ("saved_pct", "kept"),
    [
        # Every day the same share.
        ([0.5] * 8, True),
        ([WORTH_PCT + 0.5] * 8, False),
        # More altogether, but by one day alone.
        ([0.0] * 7 + [40.0], True),
        ([-2.0] * 8, True),
    ],
)
def test_a_change_must_save_enough_on_days_at_large(saved_pct: list[float], kept: bool):
    old = np.full(8, 200.0)
    current = Trial(0.1, old)
    best = Trial(0.1, old * (1.0 - np.array(saved_pct) / 100.0))
    decided, why = _kept(current, best, 0.25, 100, "keep")
    assert decided is kept
    assert ("% more than its" in why) is (kept and sum(saved_pct) < 0)
    assert not _kept(replace(current, violating_pct=0.3), best, 0.25, 100, "keep")[0]


def test_surges_that_no_reaction_catches_are_told_and_not_within(
    days: History, service: ServiceModel
):
    found = tuned(surging(days, 8.0, days.train), service)
    assert found.surges_pct == 0
    assert not found.within_budget
    assert "faster than any reaction" in found.findings[-1]


def test_too_few_tasks_at_most_are_told_apart_from_surges(days: History, service: ServiceModel):
    found = tuned(days, service, max_tasks=8)
    assert found.surges_pct > 0
    assert "because 8 tasks, the most allowed, have" in found.findings[0]
    assert "surges" not in found.findings[0]


def test_what_is_configured_is_a_row_also_when_it_is_not_kept(days: History, service: ServiceModel):
    (current,) = named(service, "cpu-50-60s")
    found = tuned(days, service, current=current)
    assert found.winner is not None
    assert [item.name for item in found.outcomes] == ["tuned", "cpu-50-60s"]


def test_surges_on_the_train_window_are_allowed_for_and_told(days: History, service: ServiceModel):
    found = tuned(surging(days, 8.0, 0), service)
    assert found.surges_pct > BUDGET_PCT
    assert found.allowed_pct == pytest.approx(found.surges_pct + SAFETY_SHARE * BUDGET_PCT)
    assert f"so {found.allowed_pct:.2f} % is allowed" in found.findings[0]


def test_the_best_of_todays_practice_is_a_row(days: History, service: ServiceModel):
    practice = named(service, "cpu-50-60s", "cpu-50-20s", "cpu-95-60s")
    found = tuned(days, service, baselines=practice[2:], practice=practice)
    rows = {item.name: item for item in found.train}
    assert list(rows) == ["tuned", "cpu-95-60s", found.practice]
    assert found.practice in ("cpu-50-60s", "cpu-50-20s")
    assert rows[found.practice].violating_requests_pct <= BUDGET_PCT
    assert any("best of today's practice" in finding for finding in found.findings)


@pytest.mark.parametrize("budget_pct", [0.0, -1.0, 101.0, float("nan")])
def test_a_budget_that_is_none_is_refused(
    days: History, service: ServiceModel, budget_pct: float
) -> None:
    with pytest.raises(InputInvalid, match="cannot be kept or broken"):
        tuned(days, service, budget_pct=budget_pct)


def test_a_day_is_too_short_to_tune_on(days: History, service: ServiceModel):
    with pytest.raises(InputInvalid, match="too short"):
        tuned(days.part(0, 1440), service)


def searched(days: History, service: ServiceModel, **changes) -> Search:
    found = Search(
        days.train_part, service, service, limit_pct=0.25, peak_tasks=10, max_tasks=100, **changes
    )
    found.run(60)
    return found


def test_the_search_writes_what_the_stack_and_aws_take(days: History, service: ServiceModel):
    for item in searched(days, service).found:
        assert 1 <= item.numbers["CpuTarget"] <= 100
        assert 1 <= item.numbers["MinTasks"] <= item.numbers["MaxTasks"]
        steps = item.extra.get("cpu_steps", {}).get("steps", [])
        above = [at for at, _ in steps]
        assert len(steps) <= 20
        assert above == sorted(above)
        assert all(1 <= at < 100 and add >= 1 for at, add in steps)
        for at, remove in item.extra.get("cpu_steps_in", {}).get("steps", []):
            # What is left never has more CPU than the target.
            assert 1 <= remove < 100
            assert at / (1 - remove / 100) <= item.numbers["CpuTarget"] + 1e-9
    assert any("cpu_steps_in" in item.extra for item in searched(days, service).found)


def test_without_high_resolution_nothing_has_20_s(days: History, service: ServiceModel):
    found = searched(days, service, high_resolution=False).found
    assert {period for item in found for period in item.policy.periods_s} == {60}


def test_later_rounds_improve_on_chance(days: History, service: ServiceModel):
    found = searched(days, service).found
    hours = [
        item.trial.task_hours if item.trial.violating_pct <= 0.25 else np.inf for item in found
    ]
    assert min(hours) < min(hours[:15])


def test_a_trial_is_of_the_policy_as_it_would_be_deployed(days: History, service: ServiceModel):
    """The forecast's floor counts with the measured capacity, whatever the truth is."""
    lower = replace(service, c_slo_rps=0.9 * service.c_slo_rps)
    policy = named(service, "predictive-20s")[0]
    search = Search(days.train_part, service, lower, limit_pct=0.25, peak_tasks=10, max_tasks=100)
    trial = search.judge([policy])[0]
    measured = play([policy], days.train_part, service)[0].account[0]
    assert trial.task_hours == pytest.approx(measured[:, 3].sum() / 3600.0, rel=1e-3)
    assert trial.violating_pct > 100.0 * measured[:, 1].sum() / measured[:, 0].sum()
