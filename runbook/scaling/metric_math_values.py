"""The values metric math computes with, and what each operation does to missing points.

A value is a number (float), a series (list of floats, oldest first) or an array of series (tuple).
Inside these modules a missing point is NaN and no value is infinite: what overflows is dropped.

Source: CloudWatch user guide, "Using metric math". The rules for missing data and the choices
where the guide is silent are listed in ``runbook.scaling.metric_math``.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

Series = list[float]
Value = float | Series | tuple[Series, ...]


def _power(base: float, exponent: float) -> float:
    try:
        value = base**exponent
    except (OverflowError, ZeroDivisionError):
        return math.nan
    return value if isinstance(value, float) else math.nan


BINARY: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: math.nan if b == 0 else a / b,
    "^": _power,
    "==": lambda a, b: float(a == b),
    "!=": lambda a, b: float(a != b),
    "<": lambda a, b: float(a < b),
    "<=": lambda a, b: float(a <= b),
    ">": lambda a, b: float(a > b),
    ">=": lambda a, b: float(a >= b),
    "AND": lambda a, b: float(a != 0 and b != 0),
    "OR": lambda a, b: float(a != 0 or b != 0),
}
POINTWISE: dict[str, Callable[[float], float]] = {
    "ABS": abs,
    "CEIL": lambda value: float(math.ceil(value)),
    "FLOOR": lambda value: float(math.floor(value)),
}
REDUCING: dict[str, Callable[[Sequence[float]], float]] = {
    "MIN": min,
    "MAX": max,
    "SUM": sum,
    "AVG": lambda values: sum(values) / len(values),
    "DATAPOINT_COUNT": lambda values: float(len(values)),
}


def finite(value: float) -> float:
    """The value, or NaN if it is infinite."""
    return value if math.isfinite(value) else math.nan


def spread(value: float | Series, length: int) -> Series:
    """A number as a series of that length; a series as it is."""
    return [value] * length if isinstance(value, float) else value


def each(value: Value, function: Callable[[float], float]) -> Value:
    """Apply a function to every existing point."""
    if isinstance(value, float):
        return value if math.isnan(value) else finite(function(value))
    return each_series(
        value,
        lambda points: [p if math.isnan(p) else finite(function(p)) for p in points],
    )


def each_series(
    value: Series | tuple[Series, ...], function: Callable[[Series], Series]
) -> Series | tuple[Series, ...]:
    """Apply a function to a series, or to every series of an array."""
    return tuple(map(function, value)) if isinstance(value, tuple) else function(value)


def combine(operator: str, left: float | Series, right: float | Series) -> float | Series:
    """A binary operator on numbers and series."""
    function = BINARY[operator]

    def both(a: float, b: float) -> float:
        return math.nan if math.isnan(a) or math.isnan(b) else finite(function(a, b))

    if isinstance(left, float):
        if isinstance(right, float):
            return both(left, right)
        return [both(left, b) for b in right]
    if isinstance(right, float):
        return [both(a, right) for a in left]
    return [
        math.nan
        if math.isnan(a) and math.isnan(b)
        else finite(function(0.0 if math.isnan(a) else a, 0.0 if math.isnan(b) else b))
        for a, b in zip(left, right, strict=True)
    ]


def choose(condition: float, then: float, otherwise: float) -> float:
    """One point of IF."""
    if math.isnan(condition):
        return math.nan
    if condition != 0:
        return 0.0 if math.isnan(then) else then
    return otherwise


def reduce_series(function: str, points: Series) -> float:
    """MIN, MAX, SUM, AVG or DATAPOINT_COUNT of the existing points of one series."""
    existing = [point for point in points if not math.isnan(point)]
    if not existing and function != "DATAPOINT_COUNT":
        return math.nan
    return finite(REDUCING[function](existing))


def reduce_array(function: str, array: tuple[Series, ...]) -> Series:
    """The same across the series of an array, one result per timestamp."""
    result = []
    for points in zip(*array, strict=True):
        column = list(points)
        if function == "AVG" and not all(map(math.isnan, column)):
            column = [0.0 if math.isnan(point) else point for point in column]
        result.append(reduce_series(function, column))
    return result


def repeat(points: Series) -> Series:
    """FILL(m, REPEAT): missing points take the last existing value before them."""
    filled = []
    last = math.nan
    for point in points:
        last = last if math.isnan(point) else point
        filled.append(last)
    return filled


def interpolate(points: Series) -> Series:
    """FILL(m, LINEAR): gaps between two existing points are filled on the line between them."""
    filled = list(points)
    known = [index for index, point in enumerate(points) if not math.isnan(point)]
    for start, end in pairwise(known):
        for index in range(start + 1, end):
            share = (index - start) / (end - start)
            filled[index] = points[start] * (1.0 - share) + points[end] * share
    return filled
