"""The scalar core of the scaling semantics: numbers in, numbers out.

Every function is a leaf (it calls nothing of this project) over ints, floats and indexable
sequences of floats, so that a compiled simulator can wrap the very same function objects with
``numba.njit`` while the local region calls them as plain Python. Missing values are NaN here.

The named constants are the integer codes of the enumerations used by the layers above.
"""

import math
from collections.abc import Sequence

OK, ALARM, INSUFFICIENT_DATA = 0, 1, 2
GREATER, GREATER_OR_EQUAL, LESS, LESS_OR_EQUAL = 0, 1, 2, 3
MISSING, IGNORE, BREACHING, NOT_BREACHING = 0, 1, 2, 3

# A product such as 10 tasks * 1.1 * 50 % / 50 % is 11.000000000000002 in binary floating point;
# without a tolerance rounding up would add a task that the numbers do not ask for.
RELATIVE_TOLERANCE = 1e-9

# Far beyond any capacity; a whole float up to here fits a compiled 64-bit integer.
_MOST_TASKS = 2.0**53


def alarm_verdict(  # noqa: PLR0912 - one documented table, one leaf for a compiler
    window: Sequence[float],
    comparison: int,
    threshold: float,
    evaluation_periods: int,
    datapoints_to_alarm: int,
    treatment: int,
    previous: int,
    few_breaching: int,
) -> tuple[int, int, int, int, int]:
    """Judge one evaluation range as a CloudWatch alarm does.

    Args:
        window: the evaluation range, oldest first, NaN where there is no datapoint.
        comparison: GREATER, GREATER_OR_EQUAL, LESS or LESS_OR_EQUAL.
        threshold: in the metric's unit.
        evaluation_periods: N of "M out of N".
        datapoints_to_alarm: M of "M out of N".
        treatment: MISSING, IGNORE, BREACHING or NOT_BREACHING.
        previous: the state to keep where the rules say "retain current state".
        few_breaching: state when missing data are "missing", all existing datapoints breach, but
            they are fewer than M and too young for the premature rule; -1 keeps ``previous``.

    Returns:
        ``(state, breaching, real, premature, retained)``: the state code, the number of real
        breaching datapoints among the ``real`` datapoints used, and two 0/1 flags.

    Source: CloudWatch user guide, "Configuring how CloudWatch alarms treat missing data" (rules and
    both tables) and "Avoiding premature transitions to alarm state" there. Where that text and its
    table differ ("0 - X - -" with 2 of 3 is OK in the table), the table wins: a datapoint within
    the threshold anywhere in the range turns the premature rule off.
    """
    real = 0
    breaching = 0
    oldest_age = 0
    size = len(window)
    for age in range(1, size + 1):
        value = window[size - age]
        if math.isnan(value):
            continue
        if comparison == GREATER:
            crossed = value > threshold
        elif comparison == GREATER_OR_EQUAL:
            crossed = value >= threshold
        elif comparison == LESS:
            crossed = value < threshold
        else:
            crossed = value <= threshold
        real += 1
        oldest_age = age
        if crossed:
            breaching += 1
        if real == evaluation_periods:
            break

    state = OK
    premature = 0
    retained = 0
    filled = evaluation_periods - real
    if breaching >= datapoints_to_alarm:
        state = ALARM
    elif filled == 0 or treatment == NOT_BREACHING:
        state = OK
    elif treatment == BREACHING:
        state = ALARM if breaching + filled >= datapoints_to_alarm else OK
    elif breaching < real:
        state = OK
    elif treatment == IGNORE:
        state = previous
        retained = 1
    elif real == 0:
        state = INSUFFICIENT_DATA
    elif oldest_age >= datapoints_to_alarm:
        state = ALARM
        premature = 1
    elif few_breaching < 0:
        state = previous
        retained = 1
    else:
        state = few_breaching
    return state, breaching, real, premature, retained


def tracked_scale_out(base: int, metric: float, target: float) -> int:
    """Tasks that bring a metric above its target back to it: proportional, rounded up.

    With ``base`` 0 the answer is 1: "it scales out by the minimum possible amount as a starting
    point" (ECS developer guide, "Automatically scale your Amazon ECS service").

    Source of proportion and rounding: Application Auto Scaling user guide, "How target tracking
    scaling works" ("adding 1.5 instances ... we round up and add two").
    """
    if base <= 0:
        return 1
    wanted = max(0.0, min(base * metric / target, _MOST_TASKS))
    return math.ceil(wanted - wanted * RELATIVE_TOLERANCE)


def tracked_scale_in(
    base: int, metric: float, target: float, margin: float, max_fraction: float
) -> int:
    """Tasks that keep the same load at or below ``target * (1 - margin)``, rounded up.

    Rounding up is the documented guard: nothing is removed if removing one task would likely push
    the metric back above the target. At most ``max(1, floor(base * max_fraction))`` tasks go.
    Never more than ``base``, never negative.

    Source: Application Auto Scaling user guide, "How target tracking scaling works" ("won't
    scale-in if it calculates that removing a minimum unit of capacity would likely bring the metric
    back above the target value"). ``margin`` and ``max_fraction`` are undocumented, see Semantics.
    """
    wanted = max(0.0, min(base * metric / (target * (1.0 - margin)), _MOST_TASKS))
    needed = math.ceil(wanted - wanted * RELATIVE_TOLERANCE)
    floor = base - max(1, math.floor(base * max_fraction + RELATIVE_TOLERANCE))
    return max(0, min(base, max(needed, floor)))


def percent_change(capacity: int, percent: int, minimum: int) -> int:
    """Change in tasks for a percentage of ``capacity``, with AWS's rounding and minimum magnitude.

    Above 1 rounds down, between 0 and 1 is 1, between -1 and 0 is -1, below -1 rounds toward zero;
    then the magnitude is raised to ``minimum``. 0 percent is no change.

    Source: Application Auto Scaling user guide, "How step scaling works", scaling adjustment types.
    """
    if percent == 0:
        return 0
    hundredths = capacity * abs(percent)
    magnitude = max(hundredths // 100, 1 if hundredths > 0 else 0, minimum)
    return magnitude if percent > 0 else -magnitude


def step_index(
    metric: float,
    threshold: float,
    lower_bounds: Sequence[float],
    upper_bounds: Sequence[float],
    above: bool,
) -> int:
    """Index of the step whose interval holds ``metric``, or -1.

    Bounds are offsets from the threshold, -inf and inf where open. Above the threshold the lower
    bound is inclusive and the upper exclusive; below it the other way round. ``above`` says which
    rule holds when the metric equals the threshold.

    Source: Application Auto Scaling user guide, "How step scaling works"; API reference,
    StepAdjustment ("greater than or equal to the threshold plus the lower bound").
    """
    if metric > threshold:
        above = True
    elif metric < threshold:
        above = False
    for index in range(len(lower_bounds)):
        low = threshold + lower_bounds[index]
        high = threshold + upper_bounds[index]
        inside = low <= metric < high if above else low < metric <= high
        if inside:
            return index
    return -1
