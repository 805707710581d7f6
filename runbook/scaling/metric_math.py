"""CloudWatch metric math over aligned series.

Source: CloudWatch user guide, "Using metric math": "Metric math syntax and functions" and "Using
IF expressions". What it says about missing data, kept here:

- arithmetic: "Missing values in a time series are treated as 0"; dividing by zero drops the point;
- comparison and logic between two series: a missing value counts as 0 if the other one exists;
- IF: no condition, no point; true but no value gives 0; false and no value drops the point;
- AVG of an array: missing values are treated as 0.

What it leaves open, and the choice made: where *no* operand has a point there is no result (its
own tables agree); a series with a number stays missing where it is missing; MIN and MAX of an
array skip missing values; AVG, MIN, MAX and SUM of one series use the existing points; REPEAT
leaves what precedes the first value missing, LINEAR what is not enclosed; FILL works on a series
without any point too.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runbook.scaling import metric_math_values as values
from runbook.scaling.errors import MetricMathError
from runbook.scaling.metric_math_parser import (
    Array,
    Call,
    Keyword,
    Name,
    Negation,
    Node,
    Number,
    Operation,
    Text,
    names_in,
    parse_tree,
)
from runbook.scaling.metric_math_values import Series, Value

Datapoint = float | None
_ARGUMENTS: dict[str, tuple[int, int]] = {
    "IF": (2, 3),
    "FILL": (2, 2),
    "METRICS": (0, 1),
    "PERIOD": (1, 1),
    "TIME_SERIES": (1, 1),
    **dict.fromkeys([*values.POINTWISE, *values.REDUCING], (1, 1)),
}
"""Least and most arguments of every function."""
FUNCTIONS = tuple(sorted(_ARGUMENTS))


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression; parse once, evaluate often. ``ids`` are the series it needs."""

    text: str
    tree: Node
    ids: frozenset[str]

    def evaluate(
        self,
        series: Mapping[str, Sequence[Datapoint]],
        *,
        period_s: float | Mapping[str, float] | None = None,
    ) -> list[Datapoint]:
        """The resulting series, None where there is no point.

        Args:
            series: values by id, oldest first, all of one length and on the same timestamps.
            period_s: seconds per datapoint, one for all or by id; only PERIOD needs it.

        Raises:
            MetricMathError: an unknown id or function, wrong arguments, series of different
                lengths, or a result that is a number or an array (CloudWatch needs one series).
        """
        evaluation = _Evaluation(self.text, series, period_s)
        return evaluation.result(evaluation.value(self.tree))


def parse(expression: str) -> Expression:
    """Parse an expression.

    Raises:
        MetricMathError: if it is no metric math.
    """
    tree = parse_tree(expression)
    return Expression(expression, tree, frozenset(names_in(tree)))


def evaluate(
    expression: str,
    series: Mapping[str, Sequence[Datapoint]],
    *,
    period_s: float | Mapping[str, float] | None = None,
) -> list[Datapoint]:
    """Parse and evaluate in one go; see ``Expression.evaluate``."""
    return parse(expression).evaluate(series, period_s=period_s)


def evaluate_all(
    expressions: Mapping[str, str],
    series: Mapping[str, Sequence[Datapoint]],
    *,
    period_s: float | Mapping[str, float] | None = None,
) -> dict[str, list[Datapoint]]:
    """Evaluate expressions that may refer to each other by id, as in one GetMetricData call.

    Raises:
        MetricMathError: as ``Expression.evaluate``, or if expressions refer to each other in a
            circle.
    """
    waiting = {name: parse(text) for name, text in expressions.items()}
    results: dict[str, list[Datapoint]] = {}
    while waiting:
        ready = [name for name, item in waiting.items() if not item.ids & waiting.keys()]
        if not ready:
            raise MetricMathError(
                f"expressions {sorted(waiting)} cannot be evaluated: they refer to each other in "
                "a circle; let one of them use metrics only"
            )
        for name in ready:
            # METRICS() returns metrics, not expressions: others' results go in only where named.
            item = waiting.pop(name)
            known = {**series, **{used: results[used] for used in item.ids if used in results}}
            evaluation = _Evaluation(item.text, known, period_s, metric_ids=tuple(series))
            results[name] = evaluation.result(evaluation.value(item.tree))
    return results


class _Evaluation:
    """One walk over one tree."""

    def __init__(
        self,
        text: str,
        series: Mapping[str, Sequence[Datapoint]],
        period_s: float | Mapping[str, float] | None,
        metric_ids: tuple[str, ...] | None = None,
    ) -> None:
        lengths = {len(points) for points in series.values()}
        if len(lengths) > 1:
            raise MetricMathError(
                f"expression {text!r} not evaluated: the series have different lengths "
                f"{sorted(lengths)}; align them on the same timestamps"
            )
        self._text = text
        self._length = lengths.pop() if lengths else 0
        self._period_s = period_s
        self._metric_ids = tuple(series) if metric_ids is None else metric_ids
        self._series = {
            name: [math.nan if p is None else values.finite(float(p)) for p in points]
            for name, points in series.items()
        }

    def result(self, value: Value) -> list[Datapoint]:
        if isinstance(value, float):
            raise self._error("its result is one number", "wrap it in TIME_SERIES(...)")
        if isinstance(value, tuple):
            raise self._error("its result is an array of series", "reduce it, e.g. with SUM(...)")
        return [None if math.isnan(point) else point for point in value]

    def value(self, node: Node) -> Value:
        match node:
            case Number(value):
                return value
            case Name(name):
                return self._named(name)
            case Negation(operand):
                return values.each(self.value(operand), lambda point: -point)
            case Operation(operator, left, right):
                return self._operate(operator, self.value(left), self.value(right))
            case Array(items):
                members: list[Series] = []
                for item in items:
                    member = self.value(item)
                    members += member if isinstance(member, tuple) else [self._spread(member)]
                return tuple(members)
            case Call(function, arguments):
                return self._call(function, arguments)
            case Text() | Keyword():
                raise self._error("a text or keyword stands where a value belongs", "remove it")

    def _error(self, why: str, what_next: str) -> MetricMathError:
        return MetricMathError(f"expression {self._text!r} not evaluated: {why}; {what_next}")

    def _named(self, name: str) -> Series:
        if name not in self._series:
            known = ", ".join(sorted(self._series)) or "none"
            raise self._error(f"there is no series {name!r}", f"use one of: {known}")
        return self._series[name]

    def _spread(self, value: float | Series) -> Series:
        return values.spread(value, self._length)

    def _operate(self, operator: str, left: Value, right: Value) -> Value:
        if isinstance(left, tuple):
            if isinstance(right, tuple):
                raise self._error(f"{operator!r} stands between two arrays", "reduce one of them")
            return tuple(self._spread(values.combine(operator, item, right)) for item in left)
        if isinstance(right, tuple):
            return tuple(self._spread(values.combine(operator, left, item)) for item in right)
        return values.combine(operator, left, right)

    def _call(self, function: str, arguments: tuple[Node, ...]) -> Value:
        if function not in _ARGUMENTS:
            raise self._error(
                f"function {function} is not known here", f"use one of: {', '.join(FUNCTIONS)}"
            )
        least, most = _ARGUMENTS[function]
        if not least <= len(arguments) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            several = f"write {function}([m1, m2]) for several metrics"
            raise self._error(
                f"{function} got {len(arguments)} arguments, takes {wanted}",
                several if function in values.REDUCING else "correct the call",
            )
        match function:
            case "METRICS":
                return self._metrics(arguments)
            case "PERIOD":
                return self._period(arguments[0])
            case "IF":
                return self._if([self.value(argument) for argument in arguments])
            case "FILL":
                return self._fill(self.value(arguments[0]), arguments[1])
            case _:
                return self._apply(function, self.value(arguments[0]))

    def _apply(self, function: str, value: Value) -> Value:
        """A function of one value."""
        if function in values.POINTWISE:
            return values.each(value, values.POINTWISE[function])
        if function == "TIME_SERIES":
            if not isinstance(value, float):
                raise self._error("TIME_SERIES takes one number", "give a number")
            return self._spread(value)
        if isinstance(value, float):
            raise self._error(f"{function} takes a series or an array", "give metrics")
        if isinstance(value, tuple):
            # METRICS("...") that matches nothing has no series to take the length from.
            return values.reduce_array(function, value) if value else self._spread(math.nan)
        return values.reduce_series(function, value)

    def _metrics(self, arguments: tuple[Node, ...]) -> Value:
        part = arguments[0] if arguments else Text("")
        if not isinstance(part, Text):
            raise self._error("METRICS takes a quoted text", 'write METRICS("errors")')
        return tuple(self._series[name] for name in self._metric_ids if part.value in name)

    def _period(self, argument: Node) -> float:
        if not isinstance(argument, Name) or argument.id not in self._metric_ids:
            raise self._error("PERIOD takes the id of a metric", "write PERIOD(m1)")
        period_s = self._period_s
        if isinstance(period_s, Mapping):
            period_s = period_s.get(argument.id)
        if period_s is None:
            raise self._error("the period is not known", "pass period_s")
        return float(period_s)

    def _if(self, arguments: list[Value]) -> Value:
        plain = [argument for argument in arguments if not isinstance(argument, tuple)]
        if len(plain) < len(arguments):
            raise self._error("IF takes series and numbers, not arrays", "reduce the array first")
        condition, then, *rest = plain
        otherwise = rest[0] if rest else self._spread(math.nan)
        if not isinstance(condition, float):
            points = zip(condition, self._spread(then), self._spread(otherwise), strict=True)
            return [values.choose(*point) for point in points]
        if math.isnan(condition):
            return self._spread(math.nan)
        return then if condition != 0 else otherwise

    def _fill(self, subject: Value, filler: Node) -> Value:
        if isinstance(subject, float):
            raise self._error("FILL takes a series", "give the id of a metric first")
        if isinstance(filler, Keyword):
            fill = values.repeat if filler.word == "REPEAT" else values.interpolate
            return values.each_series(subject, fill)
        value = self.value(filler)
        if isinstance(value, tuple):
            raise self._error("FILL cannot fill with an array", "give a number or one series")
        filling = self._spread(value)
        return values.each_series(
            subject,
            lambda points: [
                b if math.isnan(a) else a for a, b in zip(points, filling, strict=True)
            ],
        )
