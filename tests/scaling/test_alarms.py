"""Alarm evaluation beyond AWS's own tables (see test_documentation), and its invariants."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runbook.scaling.alarms import (
    AlarmRule,
    evaluate_alarm,
    evaluation_range,
)
from runbook.scaling.errors import PolicyError
from runbook.scaling.semantics import Semantics

MODES = ("missing", "ignore", "breaching", "notBreaching")
INSUFFICIENT = "INSUFFICIENT_DATA"


def points(drawing: str) -> list[float | None]:
    """AWS's drawing, oldest first: 0 within, X breaching a threshold of 50, - no datapoint."""
    values = {"0": 10.0, "X": 90.0, "-": None}
    return [values[letter] for letter in drawing.split()]


@pytest.mark.parametrize(
    ("choice", "state"),
    [("INSUFFICIENT_DATA", INSUFFICIENT), ("OK", "OK"), ("retain", "ALARM")],
)
def test_young_breaching_points_follow_the_named_choice(choice, state):
    rule = AlarmRule("GreaterThanThreshold", 50.0, 3)
    semantics = Semantics(few_breaching_state=choice)
    assert evaluate_alarm(rule, points("- - - - X"), "ALARM", semantics=semantics).state == state


@pytest.mark.parametrize(
    ("comparison", "breaching"),
    [
        ("GreaterThanThreshold", [False, False, True]),
        ("GreaterThanOrEqualToThreshold", [False, True, True]),
        ("LessThanThreshold", [True, False, False]),
        ("LessThanOrEqualToThreshold", [True, True, False]),
    ],
)
def test_comparisons(comparison, breaching):
    rule = AlarmRule(comparison, 20.0, 1)
    states = [evaluate_alarm(rule, [value]).state for value in (19.0, 20.0, 21.0)]
    assert [state == "ALARM" for state in states] == breaching


def test_the_evaluation_range_ends_where_the_parameter_says():
    rule = AlarmRule("GreaterThanThreshold", 50.0, 3)
    far = points("X X X - - -")
    assert evaluation_range(rule) == 5
    # Six periods back is out of sight with 5, in sight with 6.
    assert evaluate_alarm(rule, far).evaluated == (90.0, 90.0)
    assert evaluate_alarm(rule, far, semantics=Semantics(evaluation_range_extra=3)).evaluated == (
        90.0,
        90.0,
        90.0,
    )


def test_the_decision_tells_what_it_rests_on():
    rule = AlarmRule("GreaterThanThreshold", 50.0, 3, 2)
    decision = evaluate_alarm(rule, [99.0, 60.0, None, 40.0, 70.0], "OK")
    assert decision.evaluated == (60.0, 40.0, 70.0)
    assert decision.newest == 70.0
    assert decision.breaching == 2
    assert decision.reason == (
        "Threshold Crossed: 2 out of the last 3 datapoints [70.0, 60.0] were greater than the "
        "threshold (50.0) (minimum 2 datapoints for OK -> ALARM transition)."
    )


@pytest.mark.parametrize(
    ("mode", "data", "reason"),
    [
        (
            "missing",
            [60.0, 55.0, 40.0],
            "Threshold Crossed: 1 datapoint [40.0] was not greater than the threshold (50.0).",
        ),
        ("missing", [], "Insufficient Data: 3 datapoints were unknown."),
        ("ignore", [], "Insufficient Data: 3 datapoints were unknown; the state is kept."),
        (
            "breaching",
            [],
            "Threshold Crossed: no datapoints were received for 3 periods and 3 missing "
            "datapoints were treated as [Breaching].",
        ),
        (
            "notBreaching",
            [10.0, None],
            "Threshold Crossed: 1 datapoint [10.0] was not greater than the threshold (50.0) and "
            "2 missing datapoints were treated as [NonBreaching].",
        ),
    ],
)
def test_reasons(mode, data, reason):
    rule = AlarmRule("GreaterThanThreshold", 50.0, 3, treat_missing_data=mode)
    assert evaluate_alarm(rule, data, "OK").reason == reason


def test_few_samples_keep_the_state_only_when_told_to_ignore():
    data, counts = [0.03, 0.03, 0.03], [500.0, 199.0, 500.0]
    evaluate = AlarmRule("GreaterThanThreshold", 0.02, 3, percentile=95.0)
    ignore = AlarmRule(
        "GreaterThanThreshold", 0.02, 3, percentile=95.0, evaluate_low_sample="ignore"
    )
    assert evaluate_alarm(evaluate, data, "OK", sample_counts=counts).state == "ALARM"
    kept = evaluate_alarm(ignore, data, "OK", sample_counts=counts)
    assert (kept.state, kept.retained) == ("OK", True)
    assert "200" in kept.reason
    assert evaluate_alarm(ignore, data, "OK", sample_counts=[200.0] * 3).state == "ALARM"
    whole = Semantics(low_sample_scope="whole_window")
    assert (
        evaluate_alarm(ignore, data, "OK", sample_counts=counts, semantics=whole).state == "ALARM"
    )


def test_sample_counts_of_unused_periods_do_not_matter():
    rule = AlarmRule("GreaterThanThreshold", 0.02, 1, percentile=95.0, evaluate_low_sample="ignore")
    decision = evaluate_alarm(rule, [0.03, 0.03], "OK", sample_counts=[1.0, 200.0])
    assert decision.state == "ALARM"


def test_sample_counts_must_match():
    with pytest.raises(PolicyError, match="1 sample counts for 2 datapoints"):
        evaluate_alarm(AlarmRule("LessThanThreshold", 1.0, 1), [1.0, 2.0], sample_counts=[1.0])


def test_rule_from_an_api_answer():
    rule = AlarmRule.from_api(
        {
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 0.02,
            "EvaluationPeriods": 3,
            "DatapointsToAlarm": 2,
            "TreatMissingData": "notBreaching",
            "ExtendedStatistic": "p95",
            "EvaluateLowSampleCountPercentile": "ignore",
        }
    )
    assert rule == AlarmRule(
        "GreaterThanThreshold", 0.02, 3, 2, "notBreaching", "ignore", percentile=95.0
    )
    plain = AlarmRule.from_api(
        {"ComparisonOperator": "LessThanThreshold", "Threshold": 1, "EvaluationPeriods": 15}
    )
    assert plain == AlarmRule("LessThanThreshold", 1.0, 15)
    assert plain.needed == 15


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"comparison": "LessThanLowerThreshold"}, "comparison"),
        ({"threshold": math.nan}, "threshold"),
        ({"evaluation_periods": 0}, "evaluation_periods"),
        ({"datapoints_to_alarm": 4}, "datapoints_to_alarm"),
        ({"datapoints_to_alarm": 0}, "datapoints_to_alarm"),
        ({"treat_missing_data": "Missing"}, "treat_missing_data"),
        ({"evaluate_low_sample": "maybe"}, "evaluate_low_sample"),
        ({"percentile": 100.0}, "percentile"),
    ],
)
def test_refused_rules_name_what_is_wrong(changes, named):
    values = {"comparison": "GreaterThanThreshold", "threshold": 1.0, "evaluation_periods": 3}
    with pytest.raises(PolicyError, match=named):
        AlarmRule(**{**values, **changes})


maybe_value = st.none() | st.floats(allow_nan=True, allow_infinity=True)
states = st.sampled_from(["OK", "ALARM", INSUFFICIENT])


@st.composite
def rules(draw):
    periods = draw(st.integers(1, 6))
    return AlarmRule(
        draw(
            st.sampled_from(
                [
                    "GreaterThanThreshold",
                    "GreaterThanOrEqualToThreshold",
                    "LessThanThreshold",
                    "LessThanOrEqualToThreshold",
                ]
            )
        ),
        draw(st.floats(-1e6, 1e6)),
        periods,
        draw(st.integers(1, periods)),
        draw(st.sampled_from(MODES)),
    )


@given(rules(), st.lists(maybe_value, max_size=12), states)
@example(AlarmRule("GreaterThanThreshold", 0.0, 1), [], "OK")
def test_every_input_gives_a_state_and_a_reason(rule, data, previous):
    decision = evaluate_alarm(rule, data, previous)
    assert decision.state in ("OK", "ALARM", INSUFFICIENT)
    assert decision.reason
    assert len(decision.evaluated) + decision.filled == rule.evaluation_periods
    assert 0 <= decision.breaching <= len(decision.evaluated)
    assert decision.newest == (decision.evaluated[-1] if decision.evaluated else None)
    if decision.retained:
        assert decision.state == previous
    # What lies outside the evaluation range cannot matter.
    assert evaluate_alarm(rule, data[-evaluation_range(rule) :], previous) == decision
    assert evaluate_alarm(rule, [None, None, *data], previous) == evaluate_alarm(
        rule, [None, *data], previous
    )


@given(rules(), st.lists(st.floats(-1e9, 1e9), min_size=8, max_size=8), states)
def test_complete_data_ignore_the_missing_mode_and_the_past(rule, data, previous):
    decision = evaluate_alarm(rule, data, previous)
    newest = data[-rule.evaluation_periods :]
    assert decision.evaluated == tuple(newest)
    greater, equal = rule.comparison.startswith("Greater"), "OrEqual" in rule.comparison
    crossed = [
        (v > rule.threshold if greater else v < rule.threshold) or (equal and v == rule.threshold)
        for v in newest
    ]
    assert decision.state == ("ALARM" if sum(crossed) >= rule.needed else "OK")


@given(rules(), st.lists(st.none() | st.floats(-1e9, 1e9), max_size=8), states, st.data())
def test_a_worse_datapoint_never_calms_an_alarm(rule, data, previous, draw):
    existing = [i for i, value in enumerate(data) if value is not None]
    if not existing or evaluate_alarm(rule, data, previous).state != "ALARM":
        return
    index = draw.draw(st.sampled_from(existing))
    shift = 1.0 if rule.comparison.startswith("Greater") else -1.0
    worse = [v + shift if i == index and v is not None else v for i, v in enumerate(data)]
    assert evaluate_alarm(rule, worse, previous).state == "ALARM"
