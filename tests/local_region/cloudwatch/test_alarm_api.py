import pytest

from local_region.cloudwatch.alarm_api import alarm_record, tags_of
from local_region.errors import AwsError

SCOPE = ("000000000000", "eu-west-1")
PLAIN = {
    "AlarmName": "slow",
    "Namespace": "AWS/ApplicationELB",
    "MetricName": "TargetResponseTime",
    "ExtendedStatistic": "p95",
    "Period": "10",
    "EvaluationPeriods": "3",
    "DatapointsToAlarm": 2,
    "Threshold": "0.020",
    "ComparisonOperator": "GreaterThanThreshold",
    "AlarmActions": ["arn:aws:sns:eu-west-1:000000000000:page"],
}
MATH = {
    "AlarmName": "busy",
    "EvaluationPeriods": 1,
    "Threshold": 0.02,
    "ComparisonOperator": "GreaterThanThreshold",
    "Metrics": [
        {"Id": "slow", "Expression": "IF(cpu > 50, p95, 0)", "ReturnData": "true"},
        {
            "Id": "p95",
            "ReturnData": "false",
            "MetricStat": {
                "Metric": {"Namespace": "N", "MetricName": "M"},
                "Period": "10",
                "Stat": "p95",
            },
        },
        {
            "Id": "cpu",
            "ReturnData": False,
            "MetricStat": {
                "Metric": {"Namespace": "N", "MetricName": "C"},
                "Period": 10,
                "Stat": "Average",
            },
        },
    ],
}


def record(request, existing=None):
    return alarm_record(request, SCOPE, 1000.0, existing)


def test_a_template_hands_over_text_and_the_record_holds_numbers():
    made = record(PLAIN)
    assert (made["Period"], made["EvaluationPeriods"], made["Threshold"]) == (10, 3, 0.02)
    assert made["AlarmArn"] == "arn:aws:cloudwatch:eu-west-1:000000000000:alarm:slow"
    assert made["StateValue"] == "INSUFFICIENT_DATA"
    assert made["TreatMissingData"] == "missing"


def test_datapoints_to_alarm_is_described_only_when_set():
    assert record(PLAIN)["DatapointsToAlarm"] == 2
    assert "DatapointsToAlarm" not in record({**PLAIN, "DatapointsToAlarm": None})


def test_metric_math_is_kept_with_its_types():
    made = record(MATH)
    assert "MetricName" not in made
    assert [q["ReturnData"] for q in made["Metrics"]] == [True, False, False]
    assert made["Metrics"][1]["MetricStat"]["Period"] == 10


def test_a_changed_alarm_keeps_its_state():
    before = record(PLAIN) | {"StateValue": "ALARM", "StateReason": "because"}
    after = record({**PLAIN, "Threshold": 0.05}, before)
    assert (after["StateValue"], after["StateReason"]) == ("ALARM", "because")
    assert after["Threshold"] == 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"AlarmName": ""}, "AlarmName is required"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "not emulated"),
        ({"EvaluationPeriods": 0}, "evaluationPeriods"),
        ({"DatapointsToAlarm": 4}, "between 1 and EvaluationPeriods"),
        ({"TreatMissingData": "guess"}, "TreatMissingData"),
        ({"Statistic": "Sum"}, "Exactly one of Statistic"),
        ({"ExtendedStatistic": "tm90"}, "not emulated"),
        ({"Period": 15}, "Invalid Period 15"),
        ({"Threshold": None}, "Threshold is required"),
        ({"Metrics": MATH["Metrics"]}, "cannot be combined"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(AwsError, match=message):
        record({**PLAIN, **change})


def test_exactly_one_query_returns_data():
    both = [{**query, "ReturnData": True} for query in MATH["Metrics"]]
    with pytest.raises(AwsError, match="Exactly one element"):
        record({**MATH, "Metrics": both})


def test_tags_are_a_mapping():
    assert tags_of({"Tags": [{"Key": "a", "Value": "b"}, {"Key": "c"}]}) == {"a": "b", "c": ""}
