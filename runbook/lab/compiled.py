"""From policies, services and choices to the flat arrays of the compiled loop."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from runbook.errors import InputInvalid
from runbook.lab.layout import (
    ACCOUNT,
    LEAST_SLOW,
    LOGIT_5_PCT,
    P95_PER_LOGIT,
    POINTS,
    WINDOW,
)
from runbook.lab.policy import METRICS, Policy
from runbook.lab.service import ServiceModel
from runbook.scaling.alarms import STATES, TREATMENTS
from runbook.scaling.semantics import DEFAULT, Semantics
from runbook.scaling.step_scaling import AdjustmentType
from runbook.scaling.target_tracking import alarms_for

JUDGE_S = 60
"""Length of the windows in which p95 is judged against the SLO."""
DAY_S = 86_400
_NO_DATA = STATES.index("INSUFFICIENT_DATA")
_AGGREGATIONS = ("Average", "Minimum", "Maximum")


def compile_policy(
    policy: Policy,
    service: ServiceModel,
    bounds: NDArray[np.int64],
    *,
    tick_s: int,
    ticks: int,
    initial_tasks: int,
    semantics: Semantics = DEFAULT,
    judge_s: int = JUDGE_S,
    block_s: int = DAY_S,
) -> tuple[tuple[NDArray[Any], ...], NDArray[np.float64], NDArray[np.int64]]:
    """The loop's arguments between demand and trace, and of these the account and the state.

    `bounds` are (first tick, min, max) rows, ascending, the first at tick 0. The account has a
    row each `block_s`.
    """
    timing = service.timing
    periods = policy.periods_s or (60,)
    for period_s in (*periods, judge_s):
        if period_s % tick_s:
            raise InputInvalid(
                f"Policy {policy.name} cannot be played",
                f"a period of {period_s} s is no multiple of the resolution of {tick_s} s",
                "choose a resolution that divides all periods",
            )
    delays = [_ticks(timing.publish_s(period_s), tick_s, 0) for period_s in periods]
    start, ready = _ticks(timing.start_s, tick_s, 1), _ticks(timing.ready_s, tick_s, 0)
    streams = np.array(
        [
            [s // tick_s, delay, 0, s // tick_s, s // tick_s + delay, 0, 0]
            for s, delay in zip(periods, delays, strict=True)
        ],
        dtype=np.int64,
    )
    if max(delay // (s // tick_s) for s, delay in zip(periods, delays, strict=True)) > POINTS - 4:
        raise InputInvalid(
            f"Policy {policy.name} cannot be played",
            f"datapoints are published more than {POINTS - 4} periods late",
            "give shorter publish delays",
        )
    stream = {period_s: index for index, period_s in enumerate(periods)}
    tracking_i, tracking_f = _tracking(policy, stream)
    step_i, step_f, steps = _steps(policy, stream, service.slo_ms / 1000.0)
    many = len(tracking_i) + len(step_i)
    alarm_bits = np.zeros((many, 5), dtype=np.int64)
    alarm_bits[:, 3:] = _NO_DATA
    alarm_bits[len(tracking_i) :, 4] = 0
    newest = np.full((many + 1, WINDOW), np.nan)  # and a row to work in
    newest[: len(tracking_i), 1] = float(WINDOW)
    state = np.zeros(10, dtype=np.int64)
    state[1:4] = initial_tasks
    account = np.zeros((-(-ticks * tick_s // block_s) or 1, ACCOUNT))
    settings = np.array(
        [
            tick_s,
            service.share_cores,
            service.cpu_idle_pct,
            timing.startup_cpu_pct,
            timing.queue_s,
            service.slo_ms / 1000.0,
            timing.drain_s,
            float(timing.zero_requests_reported),
        ]
    )
    arguments = (
        service.tables,
        settings,
        np.array(
            [start, ready, judge_s // tick_s, block_s // tick_s, math.gcd(*periods) // tick_s],
            dtype=np.int64,
        ),
        streams,
        tracking_i,
        tracking_f,
        step_i,
        step_f,
        steps,
        _semantics(semantics),
        bounds,
        state,
        np.zeros((2, 6)),
        np.full((len(periods), 4, POINTS), np.nan),
        np.zeros((len(periods) + 1, 5)),
        alarm_bits,
        newest,
        np.zeros((2, max(start, ready) + 2), dtype=np.int64),
        account,
    )
    return arguments, account, state


def _ticks(seconds: float, tick_s: int, least: int) -> int:
    """A delay in whole ticks, never shorter than it is."""
    return max(least, math.ceil(seconds / tick_s - 1e-9))


def _tracking(
    policy: Policy, stream: dict[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    whole = np.zeros((len(policy.tracked), 5), dtype=np.int64)
    real = np.zeros((len(policy.tracked), 4))
    for index, item in enumerate(policy.tracked):
        rules = {spec.side: spec.rule for spec in alarms_for(item.policy, item.alarms)}
        low = rules.get("low")
        whole[index] = (
            stream[item.alarms.period_s],
            METRICS.index(item.metric),
            rules["high"].evaluation_periods,
            low.evaluation_periods if low else 1,
            int(low is not None),
        )
        real[index] = (
            rules["high"].threshold,
            low.threshold if low else -math.inf,
            item.policy.scale_out_cooldown_s,
            item.policy.scale_in_cooldown_s,
        )
    return whole, real


def _steps(
    policy: Policy, stream: dict[int, int], slo_s: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    whole = np.zeros((len(policy.stepped), 11), dtype=np.int64)
    real = np.zeros((len(policy.stepped), 4))
    rows: list[tuple[float, float, float]] = []
    for index, item in enumerate(policy.stepped):
        whole[index] = (
            stream[item.period_s],
            METRICS.index(item.metric),
            item.rule.evaluation_periods,
            item.rule.needed,
            get_args(AdjustmentType).index(item.policy.adjustment_type),
            item.policy.min_adjustment_magnitude or 0,
            len(rows),
            len(item.policy.steps),
            _AGGREGATIONS.index(item.policy.aggregation),
            TREATMENTS.index(item.rule.treat_missing_data),
            int(item.rule.comparison == "GreaterThanThreshold"),
        )
        threshold = item.rule.threshold
        passed = _slow_share(threshold, slo_s) if item.metric == "p95" else threshold
        real[index] = (threshold, item.policy.cooldown_s, item.cpu_floor_pct, passed)
        rows += [
            (
                -math.inf if step.lower is None else step.lower,
                math.inf if step.upper is None else step.upper,
                float(step.adjustment),
            )
            for step in item.policy.steps
        ]
    return whole, real, np.array(rows, dtype=np.float64).reshape(-1, 3)


def _slow_share(p95_s: float, slo_s: float) -> float:
    """The share of slow requests beyond which p95 is over `p95_s`; rounding passes nothing."""
    logit = LOGIT_5_PCT + math.log(p95_s / slo_s) / P95_PER_LOGIT
    share = (1.0 + 1e-12) / (1.0 + math.exp(-logit))
    # Shares are cut at both ends, so a threshold beyond them is always or never passed.
    if share < LEAST_SLOW:
        return -0.5
    return share if share < 1.0 - LEAST_SLOW else math.inf


def _semantics(choices: Semantics) -> NDArray[np.float64]:
    few = choices.few_breaching_state
    return np.array(
        [
            choices.evaluation_range_extra,
            -1 if few == "retain" else STATES.index(few),
            choices.scale_out_base == "running",
            choices.scale_in_base == "running",
            choices.running_count_at == "datapoint",
            choices.scale_in_margin,
            choices.missing_data_blocks_scale_in,
            choices.scale_out_cooldown_base == "before_activity",
            choices.cooldown_starts_at == "completion",
            choices.activity_timeout_s,
            choices.scale_out_cooldown_blocks_scale_in,
            choices.step_aggregation_window == "newest",
            choices.max_scale_in_fraction,
        ],
        dtype=np.float64,
    )
