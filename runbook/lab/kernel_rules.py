"""What the compiled loop decides by: `runbook.scaling`'s rules over flat arrays.

The scalar core (`runbook.scaling.arithmetic`) is compiled as it is. `decide_flat` and
`observe_flat` say the same as `runbook.scaling.decision.decide` and `state.observe`; the tests
of agreement play random histories through both.
"""

from __future__ import annotations

import math
from typing import Any

from runbook.lab.jit import called, compiled
from runbook.lab.layout import FLOORED, IN, LEAST_SLOW, LOGIT_5_PCT, OUT, P95_PER_LOGIT, SLOW
from runbook.scaling import arithmetic

_tracked_scale_out = called(arithmetic.tracked_scale_out)
_tracked_scale_in = called(arithmetic.tracked_scale_in)
_percent_change = called(arithmetic.percent_change)
_step_index = called(arithmetic.step_index)

_ALARM = 1
_NO_DATA = 2


@called
def _completed(
    activities: Any,
    side: int,
    direction: int,
    desired: int,
    running: int,
    now_s: float,
    timeout: float,
) -> None:
    timeout_s = activities[side, 1] + timeout
    new = activities[side, 2]
    if (running - new) * direction >= 0 or desired != new or now_s >= timeout_s:
        activities[side, 5] = min(now_s, timeout_s)


@called
def observe_flat(activities: Any, desired: int, running: int, now_s: float, semantics: Any) -> bool:
    """Note activities that have completed; whether any is still under way."""
    watching = False
    for side in range(2):
        if activities[side, 0] > 0.0 and activities[side, 5] < 0.0:
            direction = 1 if side == OUT else -1
            _completed(activities, side, direction, desired, running, now_s, semantics[9])
            watching |= activities[side, 5] < 0.0
    return watching


@called
def _cooling(activities: Any, side: int, now_s: float, semantics: Any) -> bool:
    if activities[side, 0] == 0.0:
        return False
    started_s = activities[side, 1]
    if semantics[8] > 0.0:
        done_s = activities[side, 5]
        started_s = done_s if done_s >= 0.0 else started_s + semantics[9]
    return bool(now_s < started_s + activities[side, 4])


@called
def _begin(
    activities: Any, side: int, now_s: float, wanted: int, base: int, cooldown_s: float
) -> None:
    activities[side, 0] = 1.0
    activities[side, 1] = now_s
    activities[side, 2] = wanted
    activities[side, 3] = base
    activities[side, 4] = cooldown_s
    activities[side, 5] = -1.0


@compiled
def any_alarm(alarm_bits: Any) -> bool:
    """Whether any alarm calls for anything."""
    for p in range(alarm_bits.shape[0]):
        if alarm_bits[p, 3] == _ALARM or alarm_bits[p, 4] == _ALARM:
            return True
    return False


@called
def _after_step(p: int, base: int, metric: float, step_i: Any, step_f: Any, steps: Any) -> int:
    """Tasks after the fitting step, -1 if none fits."""
    first, many = step_i[p, 6], step_i[p, 7]
    lows, highs = steps[first : first + many, 0], steps[first : first + many, 1]
    found = _step_index(metric, step_f[p, 0], lows, highs, step_i[p, 10] > 0)
    if found < 0:
        return -1
    adjustment = int(steps[first + found, 2])
    if step_i[p, 4] == 2:
        return adjustment
    if step_i[p, 4] == 1:
        adjustment = _percent_change(base, adjustment, step_i[p, 5])
    return max(0, base + adjustment)


@called
def _metric(value: float, metric: int, slo_s: float) -> float:
    """A step policy's metric from what the ring holds: p95 in seconds, or the value itself.

    The measured model gives the share of slow requests; the response time rises with its odds.
    One in twenty is the SLO by definition, see `P95_PER_LOGIT`.
    """
    if value == FLOORED:
        return 0.0
    if metric != SLOW:
        return value
    share = min(max(value, LEAST_SLOW), 1.0 - LEAST_SLOW)
    odds = math.log(share / (1.0 - share)) - LOGIT_5_PCT
    return slo_s * math.exp(P95_PER_LOGIT * odds)


@called
def _aggregated(
    newest: Any,
    q: int,
    n: int,
    extra: int,
    aggregation: int,
    newest_only: bool,
    newest_at: int,
    metric: int,
    slo_s: float,
) -> float:
    """The metric a step policy compares: an aggregate of the datapoints its alarm rests on."""
    found = 0
    result = math.nan
    size = n + extra
    for k in range(size):
        at = newest_at + k
        value = newest[q, at if at < size else at - size]
        if math.isnan(value):
            continue
        value = _metric(value, metric, slo_s)
        found += 1
        if found == 1:
            result = value
        elif aggregation == 0:
            result += value
        elif aggregation == 1:
            result = min(result, value)
        else:
            result = max(result, value)
        if newest_only or found == n:
            break
    return result / found if aggregation == 0 and found > 1 else result


@called
def decide_flat(  # noqa: PLR0912, PLR0915 - the combination of policies, in one place
    desired: int,
    running: int,
    minimum: int,
    maximum: int,
    now_s: float,
    tracking_i: Any,
    tracking_f: Any,
    step_i: Any,
    step_f: Any,
    steps: Any,
    semantics: Any,
    alarm_bits: Any,
    newest: Any,
    activities: Any,
    slo_s: float,
) -> int:
    """The desired count after one decision; notes the activity it begins."""
    out_cooling = _cooling(activities, OUT, now_s, semantics)
    out_base = int(activities[OUT, 3])
    best = -2
    best_base = 0
    best_cooldown = 0.0
    with_metric = False
    in_best = -2
    in_base = 0
    in_cooldown = 0.0
    many = tracking_i.shape[0]
    for p in range(many):
        if alarm_bits[p, 3] != _ALARM:
            continue
        value = newest[p, 0]
        base = running if semantics[2] > 0.0 else desired
        if semantics[4] > 0.0 and newest[p, 2] >= 0.0:
            base = int(newest[p, 2])
        if semantics[7] > 0.0 and out_cooling and out_base != 0:
            base = out_base
        wish = -1
        if not math.isnan(value):
            with_metric = True
            wanted = _tracked_scale_out(base, value, tracking_f[p, 0])
            if wanted > desired:
                wish = wanted
        if wish > best:
            best, best_base, best_cooldown = wish, base, tracking_f[p, 2]
    for p in range(step_i.shape[0]):
        q = many + p
        due = alarm_bits[q, 4]
        alarm_bits[q, 4] = 0
        if due == 0 or alarm_bits[q, 3] != _ALARM:
            continue
        value = _aggregated(
            newest,
            q,
            step_i[p, 2],
            int(semantics[0]),
            step_i[p, 8],
            semantics[11] > 0.0,
            alarm_bits[q, 1],
            step_i[p, 1],
            slo_s,
        )
        if math.isnan(value):
            continue
        base = running if semantics[2] > 0.0 else desired
        wish = _after_step(p, base, value, step_i, step_f, steps)
        if wish < 0:
            continue
        if wish <= base:
            base = running if semantics[3] > 0.0 else desired
            wish = _after_step(p, base, value, step_i, step_f, steps)
            if in_best < wish < base:
                in_best, in_base, in_cooldown = wish, base, step_f[p, 1]
            continue
        if out_cooling and out_base != 0:
            base = out_base
        wish = _after_step(p, base, value, step_i, step_f, steps)
        if wish <= base:
            continue
        with_metric = True
        if wish > best:
            best, best_base, best_cooldown = wish, base, step_f[p, 1]
    if best > -2:
        wanted = max(minimum, min(best, maximum))
        if desired >= maximum or not with_metric or wanted <= desired or best < 0:
            return desired
        if out_cooling:
            best_base = out_base
        _begin(activities, OUT, now_s, wanted, best_base, best_cooldown)
        activities[IN, 0] = 0.0
        return wanted

    ready = False
    agreed = True
    best = -2
    for p in range(many):
        if tracking_i[p, 4] == 0:
            continue
        state = alarm_bits[p, 4]
        if state == _NO_DATA and semantics[6] == 0.0:
            continue
        if state != _ALARM:
            agreed = False
            continue
        ready = True
        value = newest[p, 0]
        base = running if semantics[3] > 0.0 else desired
        if semantics[4] > 0.0 and newest[p, 2] >= 0.0:
            base = int(newest[p, 2])
        if math.isnan(value) or base <= 0:
            agreed = False
            continue
        wanted = _tracked_scale_in(base, value, tracking_f[p, 0], semantics[5], semantics[12])
        if wanted >= desired:
            agreed = False
            continue
        if wanted > best:
            best, best_base, best_cooldown = wanted, base, tracking_f[p, 3]
    # A step policy's scale-in is not held back by target tracking; the larger count wins.
    if not ready or not agreed or in_best >= best:
        best, best_base, best_cooldown = in_best, in_base, in_cooldown
    if best < 0 or desired <= minimum:
        return desired
    if _cooling(activities, IN, now_s, semantics) or (semantics[10] > 0.0 and out_cooling):
        return desired
    wanted = min(maximum, max(best, minimum))
    if wanted >= desired:
        return desired
    _begin(activities, IN, now_s, wanted, best_base, best_cooldown)
    return wanted
