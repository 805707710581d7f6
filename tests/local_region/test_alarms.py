import json

import pytest

from local_region.alarms import AlarmEvaluator
from local_region.cloudwatch.install import put_metric_alarm
from local_region.cloudwatch.store import MetricStore
from local_region.seams import cloudwatch, core

SCOPE = ("000000000000", "eu-west-1")
NOW_S = 10_000.5
ALARM = {
    "AlarmName": "busy",
    "Namespace": "Shop",
    "MetricName": "Load",
    "Statistic": "Average",
    "Period": 10,
    "EvaluationPeriods": 3,
    "DatapointsToAlarm": 2,
    "Threshold": 50,
    "ComparisonOperator": "GreaterThanThreshold",
}


@pytest.fixture
def region():
    """An evaluator over an empty store, in the region's scope."""
    service = core.module("services.cloudwatch")
    service.reset()
    store = MetricStore(SCOPE)
    with core.request_scope(*SCOPE):
        yield store, AlarmEvaluator(store, lambda: NOW_S)
    service.reset()


def put(store, *values, end_s=1000, name="Load"):
    """One value a period of ten seconds, the last one ending at `end_s`; None for none."""
    for i, value in enumerate(reversed(values), start=1):
        if value is not None:
            store.put("Shop", name, {}, end_s - 10 * i, "None", [value])


def state():
    return cloudwatch.alarms()["busy"]["StateValue"]


def test_m_of_n_datapoints_decide(region):
    store, evaluator = region
    put_metric_alarm(ALARM)
    put(store, 60, 10, 60)
    assert evaluator.evaluate_due(SCOPE, 1000) == {"busy"}
    assert state() == "ALARM"
    alarm = cloudwatch.alarms()["busy"]
    assert alarm["StateReason"].startswith("Threshold Crossed: 2 out of the last 3 datapoints")
    assert alarm["StateUpdatedTimestamp"] == NOW_S


def test_a_period_that_has_not_ended_is_not_looked_at(region):
    store, evaluator = region
    put_metric_alarm(ALARM)
    put(store, 10, 10, 10, 90, 90, end_s=1020)
    evaluator.evaluate_due(SCOPE, 1000)
    assert state() == "OK"


@pytest.mark.parametrize(
    ("treatment", "expected"),
    [("missing", "INSUFFICIENT_DATA"), ("notBreaching", "OK"), ("breaching", "ALARM")],
)
def test_missing_data_is_treated_as_told(region, treatment, expected):
    _, evaluator = region
    put_metric_alarm({**ALARM, "TreatMissingData": treatment})
    evaluator.evaluate_due(SCOPE, 1000)
    assert state() == expected


def test_only_alarms_whose_period_ends_are_due(region):
    _, evaluator = region
    put_metric_alarm({**ALARM, "Period": 60})
    assert evaluator.evaluate_due(SCOPE, 1010) == set()
    assert evaluator.latest(SCOPE, "busy") is None
    assert evaluator.evaluate_due(SCOPE, 1020) == {"busy"}


def test_percentiles_and_metric_math(region):
    store, evaluator = region
    store.put("Shop", "Latency", {}, 990, "Seconds", [0.01, 0.9], [90, 10])
    put(store, 80)
    metrics = [
        {"Id": "slow", "Expression": "IF(load > 50, p95, 0)"},
        {"Id": "p95", "ReturnData": False, "MetricStat": {
            "Metric": {"Namespace": "Shop", "MetricName": "Latency"}, "Period": 10, "Stat": "p95"}},
        {"Id": "load", "ReturnData": False, "MetricStat": {
            "Metric": {"Namespace": "Shop", "MetricName": "Load"}, "Period": 10, "Stat": "Sum"}},
    ]  # fmt: skip
    put_metric_alarm(
        {"AlarmName": "busy", "Metrics": metrics, "EvaluationPeriods": 1, "Threshold": 0.02,
         "ComparisonOperator": "GreaterThanThreshold"}
    )  # fmt: skip
    evaluator.evaluate_due(SCOPE, 1000)
    assert state() == "ALARM"
    assert evaluator.latest(SCOPE, "busy").decision.newest == pytest.approx(0.9)


def test_too_few_samples_leave_the_state_when_told_to(region):
    store, evaluator = region
    request = {**ALARM, "ExtendedStatistic": "p95", "EvaluateLowSampleCountPercentile": "ignore"}
    del request["Statistic"]
    put_metric_alarm(request)
    put(store, 90, 90, 90)
    evaluator.evaluate_due(SCOPE, 1000)
    assert state() == "INSUFFICIENT_DATA"
    put_metric_alarm({**request, "EvaluateLowSampleCountPercentile": "evaluate"})
    evaluator.evaluate_due(SCOPE, 1000)
    assert state() == "ALARM"


def test_every_transition_is_in_the_history_with_what_was_looked_at(region):
    store, evaluator = region
    put_metric_alarm(ALARM)
    put(store, 60, 60, 60)
    evaluator.evaluate_due(SCOPE, 1000)
    put(store, 1, 1, 1, end_s=1030)
    evaluator.evaluate_due(SCOPE, 1030)
    entries = core.module("services.cloudwatch")._history_entries()
    assert [e["HistorySummary"] for e in entries[-2:]] == [
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        "Alarm updated from ALARM to OK",
    ]
    assert entries[-1]["Timestamp"] == NOW_S
    data = json.loads(entries[-1]["HistoryData"])["newState"]["stateReasonData"]
    assert data["recentDatapoints"] == [1.0, 1.0, 1.0]
    assert data["period"] == 10
    assert data["statistic"] == "Average"
    assert data["evaluatedDatapoints"][0]["timestamp"] == "1970-01-01T00:17:00.000+0000"


def test_an_unchanged_state_makes_no_history(region):
    store, evaluator = region
    put_metric_alarm(ALARM)
    put(store, 60, 60, 60, 60)
    evaluator.evaluate_due(SCOPE, 1000)
    before = len(core.module("services.cloudwatch")._history_entries())
    put(store, 60, end_s=1010)
    evaluator.evaluate_due(SCOPE, 1010)
    assert len(core.module("services.cloudwatch")._history_entries()) == before


def test_an_alarm_that_cannot_be_evaluated_does_not_stop_the_others(region, caplog):
    store, evaluator = region
    put_metric_alarm(ALARM)
    put_metric_alarm({**ALARM, "AlarmName": "broken"})
    cloudwatch.alarms()["broken"]["Statistic"] = "tm99"
    put(store, 60, 60, 60)
    assert evaluator.evaluate_due(SCOPE, 1000) == {"busy"}
    assert "broken was not evaluated" in caplog.text


def test_a_deleted_alarm_is_forgotten(region):
    _, evaluator = region
    put_metric_alarm(ALARM)
    evaluator.evaluate_due(SCOPE, 1000)
    cloudwatch.delete_alarm("busy")
    evaluator.evaluate_due(SCOPE, 1010)
    assert evaluator.latest(SCOPE, "busy") is None


def test_a_composite_alarm_follows(region):
    store, evaluator = region
    put_metric_alarm(ALARM)
    service = core.module("services.cloudwatch")
    request = {"AlarmName": "page", "AlarmRule": 'ALARM("busy")'}
    assert service._put_composite_alarm({}, request, False, True)[0] == 200
    put(store, 60, 60, 60)
    evaluator.evaluate_due(SCOPE, 1000)
    assert cloudwatch.composite_alarms()["page"]["StateValue"] == "ALARM"
