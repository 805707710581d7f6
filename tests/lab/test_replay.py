"""Outcomes of replays: the bounds hold, the numbers mean what they say."""

from dataclasses import replace

import numpy as np
import pytest

from runbook.lab.additions import cpu_steps_in
from runbook.lab.builtin import NAMES, builtin
from runbook.lab.floors import bounds_over_time, forecast, forecast_floor
from runbook.lab.history import History
from runbook.lab.policy import Policy, Predictive
from runbook.lab.replay import replay, sweep
from runbook.lab.service import ServiceModel
from runbook.scaling.decision import ScalableTarget
from runbook.scaling.predictive import PredictivePolicy, apply_forecast, forecast_tasks


def named(service: ServiceModel, *names: str) -> list[Policy]:
    return [builtin(name, service, peak_tasks=10, max_tasks=100) for name in names]


def test_every_built_in_policy_plays(days: History, service: ServiceModel):
    found = {item.name: item for item in replay(named(service, *NAMES), days, service, seeds=1)}
    assert list(found) == list(NAMES)
    for item in found.values():
        assert item.oracle_task_hours == pytest.approx(found["cpu-50-60s"].oracle_task_hours)
        assert 0 <= item.violating_requests_pct <= 100
    # Less room costs less and violates no less.
    hours = [found[f"cpu-{pct}-60s"].task_hours for pct in (50, 60, 70, 75)]
    assert hours == sorted(hours, reverse=True)
    static = found["static-peak"]
    assert static.task_hours == pytest.approx(96 * 10)
    assert static.actions_per_day == 0
    assert static.cost_usd == pytest.approx(static.task_hours * service.task_hour_usd)


def test_steps_in_remove_tasks_sooner_than_target_tracking(days: History, service: ServiceModel):
    plain = named(service, "cpu-60-20s")[0]
    stepped = replace(plain, name="in", stepped=(cpu_steps_in(20, 3, 20.0, [[54, 10]]),))
    waits, acts = replay([plain, stepped], days, service, seeds=1)
    assert acts.task_hours < 0.98 * waits.task_hours
    assert acts.violating_requests_pct < 2.0


def test_too_few_tasks_violate_all_the_time(days: History, service: ServiceModel):
    found = replay([Policy("one", fixed_tasks=1)], days, service, seeds=1)[0]
    assert found.violating_requests_pct == pytest.approx(100.0)
    assert found.longest_violation_s == days.seconds
    assert found.under_time_pct == pytest.approx(100.0)
    assert found.lost_requests_pct > 10


def test_the_oracle_carries_every_rate_with_nothing_to_spare(service: ServiceModel):
    rates = np.linspace(1, 6000, 400)
    needed = service.needed(rates)
    assert all(service.carried_rps(n) >= r * (1 - 1e-9) for n, r in zip(needed, rates, strict=True))
    assert all(
        max(service.carried_rps(m) for m in range(1, n)) < r
        for n, r in zip(needed, rates, strict=True)
        if n > 1
    )


def test_the_forecast_repeats_a_day_and_needs_one():
    day = 100 + 50 * np.sin(np.arange(24) / 24 * 2 * np.pi)
    assert len(forecast(day[:23], 6)) == 0
    np.testing.assert_allclose(forecast(np.tile(day, 3), 24), day)
    np.testing.assert_allclose(
        forecast(np.concatenate((np.tile(day, 2), day * 1.5)), 24).sum(), day.sum() * 7 / 6 * 1.5
    )


def test_scheduled_bounds_come_and_go(days: History, service: ServiceModel):
    bounds = bounds_over_time(named(service, "scheduled")[0], days, 20)
    assert bounds[0].tolist() == [0, 1, 100]
    assert bounds[1].tolist() == [7 * 180, 6, 100]
    assert bounds[2].tolist() == [22 * 180, 1, 100]
    assert len(bounds) == 9


@pytest.mark.parametrize("buffer_s", [0.0, 300.0, 1830.0])
def test_a_forecasts_bounds_are_those_of_the_scaling_rules(
    days: History, service: ServiceModel, buffer_s: float
):
    predictive = Predictive(round(60 * 0.8 * service.carried_rps(9) / 9), buffer_s)
    policy = Policy("forecast", 2, 9, predictive=predictive)
    hourly = forecast_floor(days, predictive, np.empty(0)).tolist()
    rule = PredictivePolicy("forecast", "ForecastAndScale", buffer_s)
    rows = bounds_over_time(policy, days, 60)
    starts, minimum = rows[:, 0], rows[:, 1]
    for minute in range(0, 95 * 60, 7):
        floor = forecast_tasks(rule, hourly, 60.0 * minute)
        expected = apply_forecast(ScalableTarget(2, 9), rule, floor).min_capacity
        assert minimum[np.searchsorted(starts, minute, side="right") - 1] == expected


def test_a_sweep_moves_every_unknown(days: History, service: ServiceModel):
    rows = sweep(named(service, "cpu-70-60s"), days, service)[0]
    assert {name.split("=")[0] for name in rows} >= {"scale_out_base", "publish_60_s", "start_s"}
    assert rows["publish_60_s=60.0"] != rows["publish_60_s=180.0"]


def test_a_sweep_moves_how_long_20_s_metrics_wait_for_scale_in(
    days: History, service: ServiceModel
):
    name = "alarm_low_20_s_periods=3"
    slow, fast = sweep(
        [*named(service, "cpu-70-60s"), *named(service, "cpu-70-20s")], days, service
    )
    assert slow[name] == slow["publish_20_s=0.0"]
    assert fast[name]["over_oracle"] < min(
        row["over_oracle"] for key, row in fast.items() if key != name
    )
