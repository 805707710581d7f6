"""Metric math against the examples of the CloudWatch user guide, then its errors and invariants."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.scaling.errors import MetricMathError
from runbook.scaling.metric_math import FUNCTIONS, evaluate, evaluate_all, parse

N = None
SERIES = {
    "metric1": [30.0, 20.0, 0.0, 0.0],
    "metric2": [20.0, N, 20.0, N],
}
# "Comparison and logical operators": metric1 [30, 20, 0, 0], metric2 [20, -, 20, -].
GUIDE_OPERATORS = [
    ("metric1 < metric2", [0, 0, 1, 0]),
    ("metric1 >= 30", [1, 0, 0, 0]),
    ("metric1 > 15 AND metric2 > 15", [1, 0, 0, 0]),
]
CONDITION, VALUES, OTHERS = [1, 1, 0, 0, N], [30, N, 0, 0, 30], [0, 0, 20, N, 20]
# "Using IF expressions": the three tables share metric1 to metric3.
GUIDE_IF = [
    ("IF(metric1, metric2, metric3)", [30, 0, 20, N, N]),
    ("IF(metric1, 5, metric3)", [5, 5, 20, N, N]),
    ("IF(metric1, metric2, 5)", [30, 0, 5, 5, N]),
]


@pytest.mark.parametrize(("expression", "expected"), GUIDE_OPERATORS)
def test_operators_of_the_user_guide(expression, expected):
    assert evaluate(expression, SERIES) == expected


@pytest.mark.parametrize(("expression", "expected"), GUIDE_IF)
def test_if_of_the_user_guide(expression, expected):
    series = {"metric1": CONDITION, "metric2": VALUES, "metric3": OTHERS}
    assert evaluate(expression, series) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # Omitted alternative: dropped where the condition is false.
        ("IF(m1, m2)", [10, 0, N, N, N]),
        ("IF(m1 < 400, m2)", [10, 0, 40, 0, N]),  # true without a value is 0
        # A number as condition.
        ("IF(1, m2, m1)", [10, N, 40, N, N]),
        ("IF(0, m2, m1)", [1, -2, 0, 0, N]),
        ("IF(0, m2)", [N, N, N, N, N]),
        # The floor of the step alarm: p95 only counts while CPU is above the floor.
        ("IF(m1 > 0, m2, 0)", [10, 0, 0, 0, N]),
    ],
)
def test_other_forms_of_if(expression, expected):
    series = {"m1": [1, -2, 0, 0, N], "m2": [10, N, 40, N, N]}
    assert evaluate(expression, series) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("m1 + m2", [4, 2, 4, N]),  # missing counts as 0 where the other one exists
        ("m2 - m1", [2, -2, 4, N]),
        ("m1 + 1", [2, 3, N, N]),  # a number brings no timestamps with it
        ("5 * m1", [5, 10, N, N]),
        ("-m1", [-1, -2, N, N]),
        ("m2 / m1", [3, 0, N, N]),  # division by zero drops the point
        ("m1 / 0", [N, N, N, N]),
        ("m1 ^ 2", [1, 4, N, N]),
        ("-m1 ^ 2", [-1, -4, N, N]),
        ("(-8) ^ 0.5 * m1", [N, N, N, N]),  # no real number
        ("2 ^ 3 ^ 2 * m1", [512, 1024, N, N]),
        ("10 ^ 400 * m1", [N, N, N, N]),
        ("1 + 2 * m1", [3, 5, N, N]),
        ("(1 + 2) * m1", [3, 6, N, N]),
        ("m1 - 1 - 1", [-1, 0, N, N]),
        ("m1 / 2 / 2", [0.25, 0.5, N, N]),
        ("1.5e1 * m1", [15, 30, N, N]),
        (".5 * m1", [0.5, 1, N, N]),
        ("m1 == 1", [1, 0, N, N]),
        ("m1 != 1", [0, 1, N, N]),
        ("m1 <= 1 || m2 > 3", [1, 0, 1, N]),
        ("m1 > 5 OR m1 < 2 && m2 > 100", [0, 0, 0, N]),
        ("m1 + 1 > m2", [0, 1, 0, N]),
    ],
)
def test_arithmetic_and_precedence(expression, expected):
    assert evaluate(expression, {"m1": [1, 2, N, N], "m2": [3, N, 4, N]}) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("SUM([m1, m2])", [5, -2, 4, N]),
        ("AVG([m1, m2])", [2.5, -1, 2, N]),  # "Missing values are treated as 0"
        ("MIN([m1, m2])", [1, -2, 4, N]),
        ("MAX([m1, m2])", [4, -2, 4, N]),
        ("MAX([m1, 0])", [1, 0, 0, 0]),
        ("SUM(METRICS())", [5, -2, 4, N]),
        ('SUM(METRICS("2"))', [4, N, 4, N]),
        ('SUM(METRICS("x"))', [N, N, N, N]),
        ("SUM(-[m1, m2])", [-5, 2, -4, N]),
        ("SUM(100/[m1, m2])", [125, -50, 25, N]),
        ("SUM([m1, m2]/m1)", [5, 1, N, N]),
        ("SUM([METRICS(), m1])", [6, -4, 4, N]),
        ("m1 - MIN(m1)", [3, 0, N, N]),
        ("MAX(m2) / m2", [1, N, 1, N]),
        ("m1 * 0 + SUM(m2)", [8, 8, N, N]),
        ("m1 * 0 + AVG(m2)", [4, 4, N, N]),
        ("m1 * 0 + DATAPOINT_COUNT(m1)", [2, 2, N, N]),
        ("DATAPOINT_COUNT([m1, m2])", [2, 1, 1, 0]),
        ("ABS(m1)", [1, 2, N, N]),
        ("CEIL(m1 / 4)", [1, 0, N, N]),
        ("FLOOR(m1 / 4)", [0, -1, N, N]),
        ("TIME_SERIES(MAX(m1))", [1, 1, 1, 1]),
        ("TIME_SERIES(MAX(IF(0, m1)))", [N, N, N, N]),
        ("m1 / PERIOD(m1) * 60", [6, -12, N, N]),
    ],
)
def test_functions(expression, expected):
    series = {"m1": [1, -2, N, N], "m2": [4, N, 4, N]}
    assert evaluate(expression, series, period_s=10) == expected


@pytest.mark.parametrize(
    ("filler", "expected"),
    [
        ("0", [0, 1, 0, 0, 4, 0]),
        ("m2", [10, 1, 30, 40, 4, 60]),
        ("MIN(m1)", [1, 1, 1, 1, 4, 1]),
        ("REPEAT", [N, 1, 1, 1, 4, 4]),
        ("LINEAR", [N, 1, 2, 3, 4, N]),
    ],
)
def test_fill(filler, expected):
    series = {"m1": [N, 1, N, N, 4, N], "m2": [10, 20, 30, 40, 50, 60]}
    assert evaluate(f"FILL(m1, {filler})", series) == pytest.approx(expected)


def test_fill_of_an_array_and_of_nothing():
    assert evaluate("SUM(FILL(METRICS(), 1))", {"m1": [N, 2], "m2": [N, N]}) == [2, 3]
    assert evaluate("FILL(m1, REPEAT)", {"m1": [N, N]}) == [N, N]


def test_nan_and_infinite_points_count_as_missing():
    assert evaluate("FILL(m1, 7)", {"m1": [math.nan, math.inf, 1.0]}) == [7, 7, 1]


def test_periods_by_id():
    series = {"m1": [10.0], "m2": [10.0]}
    expression = parse("m1 / PERIOD(m1) + m2 / PERIOD(m2)")
    assert expression.evaluate(series, period_s={"m1": 10, "m2": 20}) == [1.5]
    assert expression.ids == {"m1", "m2"}


def test_expressions_may_build_on_each_other():
    results = evaluate_all(
        {"e2": "e1 * 2", "e1": "m1 + m2", "e3": "SUM(METRICS())"},
        {"m1": [1.0, N], "m2": [2.0, N]},
    )
    assert results == {"e1": [3, N], "e2": [6, N], "e3": [3, N]}


def test_a_circle_of_expressions_is_refused():
    with pytest.raises(MetricMathError, match="circle"):
        evaluate_all({"e1": "e2 + 1", "e2": "e1 + 1"}, {"m1": [1.0]})


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("", "a value was expected"),
        ("m1 +", "found the end"),
        ("m1 m2", "an operator was expected"),
        ("(m1", "'\\)' was expected"),
        ("SUM([m1, m2)", "was expected"),
        ("m1 ? 2", "'\\? 2' is no part"),
        ("M1 + 1", "lowercase"),
        ("m1 AND", "a value was expected"),
        ("AND m1", "a value was expected"),
        ("m3 + 1", "no series 'm3'; use one of: m1, m2"),
        ("MEDIAN(m1)", "MEDIAN is not known here"),
        ("sum([m1, m2])", "sum is not known here"),
        ("MAX(m1, m2)", "write MAX\\(\\[m1, m2\\]\\)"),
        ("IF(m1)", "IF got 1 arguments, takes 2 to 3"),
        ("FILL(m1)", "FILL got 1 arguments, takes 2"),
        ("FILL(5, 0)", "FILL takes a series"),
        ("FILL(m1, [m1, m2])", "cannot fill with an array"),
        ("IF([m1, m2], 1, 0)", "IF takes series and numbers"),
        ("SUM(5) * m1", "SUM takes a series"),
        ("TIME_SERIES(m1)", "TIME_SERIES takes one number"),
        ("SUM([m1, m2] + [m1, m2])", "between two arrays"),
        ("METRICS(m1)", "quoted text"),
        ('"m1"', "text or keyword"),
        ("REPEAT", "text or keyword"),
        ("PERIOD(m1) * m1", "pass period_s"),
        ("PERIOD(m1 + m2) * m1", "PERIOD takes the id"),
        ("5", "TIME_SERIES"),
        ("MAX(m1)", "one number"),
        ("METRICS()", "array of series"),
        ("1e999 * m1", "a value was expected"),
        ("m1" + " + 1" * 1000, "characters"),
        ("(" * 100 + "m1" + ")" * 100, "nests deeper"),
        ("-" * 1000 + "m1", "nests deeper"),
        ("[" * 1000, "nests deeper"),
    ],
)
def test_errors_say_what_is_wrong_and_what_to_do(expression, named):
    with pytest.raises(MetricMathError, match=named) as caught:
        evaluate(expression, {"m1": [1.0], "m2": [2.0]})
    assert ": " in str(caught.value)
    assert "; " in str(caught.value)


def test_series_must_be_aligned():
    with pytest.raises(MetricMathError, match=r"different lengths \[1, 2\]"):
        evaluate("m1", {"m1": [1.0], "m2": [1.0, 2.0]})


names = st.sampled_from(["m1", "m2", "m3"])
numbers = st.integers(0, 9).map(str)


def extend(inner):
    binary = st.sampled_from(["+", "-", "*", "/", "^", "<", ">=", "==", "AND", "||"])
    single = st.sampled_from(["ABS", "CEIL", "FLOOR"])
    many = st.sampled_from(["MIN", "MAX", "SUM", "AVG"])
    return st.one_of(
        st.builds("({} {} {})".format, inner, binary, inner),
        st.builds("-{}".format, inner),
        st.builds("{}({})".format, single, inner),
        st.builds("{}([{}, {}])".format, many, inner, inner),
        st.builds("IF({}, {}, {})".format, inner, inner, inner),
    )


expressions = st.recursive(names | numbers, extend, max_leaves=8)
value = st.none() | st.floats(-1e12, 1e12) | st.sampled_from([0.0, 1.0, math.inf, math.nan])


@given(expressions, st.lists(st.tuples(value, value, value), max_size=4))
def test_every_readable_expression_gives_finite_points(expression, rows):
    series = {f"m{i + 1}": [row[i] for row in rows] for i in range(3)}
    # SUM of an array of one makes a series of any result without changing it.
    points = evaluate(f"SUM([{expression}])", series)
    assert len(points) == len(rows)
    assert all(point is None or math.isfinite(point) for point in points)


@given(st.text(alphabet="m1M 2.+-*/^<=>!&|()[],\"'ANDORIFSUM", max_size=30))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(MetricMathError):
        evaluate(text, {"m1": [1.0, None]})


@given(st.lists(st.none() | st.floats(-1e9, 1e9), max_size=10))
def test_repeat_and_linear_keep_what_is_there_and_stay_between(points):
    for filler in ("REPEAT", "LINEAR"):
        filled = evaluate(f"FILL(m1, {filler})", {"m1": points})
        existing = [p for p in points if p is not None]
        for before, after in zip(points, filled, strict=True):
            if before is not None:
                assert after == before
            elif after is not None:
                slack = 1e-9 * max(map(abs, existing))
                assert min(existing) - slack <= after <= max(existing) + slack


def test_all_functions_are_listed():
    assert set(FUNCTIONS) >= {"IF", "FILL", "MIN", "MAX", "SUM", "AVG", "ABS", "CEIL", "FLOOR"}
