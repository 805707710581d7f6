"""Alarms inside the compiled loop: their latest datapoints are bits, newest lowest.

Without missing data an alarm is a comparison of bits; otherwise the very function of
`runbook.scaling.arithmetic` judges the evaluation range.
"""

from __future__ import annotations

import math
from typing import Any

from runbook.lab.jit import called, compiled
from runbook.lab.layout import CPU, FLOORED, RUNNING
from runbook.scaling import arithmetic

_alarm_verdict = called(arithmetic.alarm_verdict)


@called
def _with_gaps(
    breaching: int,
    present: int,
    n: int,
    m: int,
    extra: int,
    treatment: int,
    previous: int,
    few: int,
    scratch: Any,
) -> int:
    """The same with missing datapoints, by the scalar core."""
    size = n + extra
    window = scratch[scratch.shape[0] - 1, :size]
    for age in range(size):
        if present >> age & 1:
            window[size - 1 - age] = 1.0 if breaching >> age & 1 else 0.0
        else:
            window[size - 1 - age] = math.nan
    return int(_alarm_verdict(window, 0, 0.5, n, m, treatment, previous, few)[0])


@compiled
def bits_verdict(
    breaching: int,
    present: int,
    n: int,
    m: int,
    extra: int,
    treatment: int,
    previous: int,
    few: int,
    scratch: Any,
) -> int:
    """The state of an alarm whose latest datapoints are bits; the last row of `scratch` is free."""
    full = (1 << n) - 1
    if present & full == full:
        if n == m:
            return 1 if breaching & full == full else 0
        crossed = 0
        bits = breaching & full
        while bits:
            bits &= bits - 1
            crossed += 1
        return 1 if crossed >= m else 0
    return _with_gaps(breaching, present, n, m, extra, treatment, previous, few, scratch)


@compiled
def see_tracking(
    p: int,
    s: int,
    ring: Any,
    at: int,
    tracking_i: Any,
    tracking_f: Any,
    semantics: Any,
    alarm_bits: Any,
    newest: Any,
) -> None:
    """Evaluate both alarms of a target tracking policy with the datapoint published now."""
    value = ring[s, tracking_i[p, 1], at]
    above = alarm_bits[p, 0] << 1
    below = alarm_bits[p, 1] << 1
    present = alarm_bits[p, 2] << 1
    if not math.isnan(value):
        present |= 1
        if value > tracking_f[p, 0]:
            above |= 1
        if value < tracking_f[p, 1]:
            below |= 1
        newest[p, 0] = value
        newest[p, 1] = 0.0
        newest[p, 2] = ring[s, RUNNING, at]
    else:
        newest[p, 1] += 1.0
        if newest[p, 1] >= tracking_i[p, 2] + semantics[0]:
            newest[p, 0] = math.nan
    alarm_bits[p, 0] = above
    alarm_bits[p, 1] = below
    alarm_bits[p, 2] = present
    extra, few = int(semantics[0]), int(semantics[1])
    for side in range(2):
        n = tracking_i[p, 2 + side]
        bits = above if side == 0 else below
        state = alarm_bits[p, 3 + side]
        alarm_bits[p, 3 + side] = bits_verdict(bits, present, n, n, extra, 0, state, few, newest)


@called
def see_step(
    p: int,
    q: int,
    s: int,
    ring: Any,
    at: int,
    step_i: Any,
    step_f: Any,
    semantics: Any,
    alarm_bits: Any,
    newest: Any,
) -> None:
    """Evaluate the alarm of step policy `p` (row `q`) with the datapoint published now."""
    value = ring[s, step_i[p, 1], at]
    floor = step_f[p, 2]
    if floor > 0.0:
        cpu = ring[s, CPU, at]
        if math.isnan(cpu):
            value = math.nan
        elif cpu <= floor:
            value = FLOORED
    n, extra = step_i[p, 2], int(semantics[0])
    newest_at = alarm_bits[q, 1] - 1
    if newest_at < 0:
        newest_at = n + extra - 1
    alarm_bits[q, 1] = newest_at
    newest[q, newest_at] = value
    breaching = alarm_bits[q, 0] << 1
    present = alarm_bits[q, 2] << 1
    if not math.isnan(value):
        present |= 1
        if value > step_f[p, 3] if step_i[p, 10] > 0 else value < step_f[p, 3]:
            breaching |= 1
    alarm_bits[q, 0] = breaching
    alarm_bits[q, 2] = present
    alarm_bits[q, 3] = bits_verdict(
        breaching,
        present,
        n,
        step_i[p, 3],
        extra,
        step_i[p, 9],
        alarm_bits[q, 3],
        int(semantics[1]),
        newest,
    )
    alarm_bits[q, 4] = 1
