from datetime import UTC, datetime

import pytest

from local_region.cloudwatch.metric_data import get_metric_data
from local_region.cloudwatch.store import MetricStore
from local_region.errors import AwsError

SCOPE = ("000000000000", "eu-west-1")


@pytest.fixture
def store():
    store = MetricStore(SCOPE)
    for i, (cpu, seconds) in enumerate([(30.0, 0.010), (60.0, 0.030), (90.0, 0.050)]):
        at_s = 1000.0 + 10 * i
        store.put("AWS/ECS", "CPUUtilization", {"ServiceName": "api"}, at_s, "Percent", [cpu])
        store.put("AWS/ApplicationELB", "TargetResponseTime", {}, at_s, "Seconds", [seconds])
    return store


def metric(query_id, namespace, name, stat, *, dimensions=(), period=10, **more):
    listed = [{"Name": n, "Value": v} for n, v in dimensions]
    return {
        "Id": query_id,
        "MetricStat": {
            "Metric": {"Namespace": namespace, "MetricName": name, "Dimensions": listed},
            "Period": period,
            "Stat": stat,
        },
        **more,
    }


CPU = metric("cpu", "AWS/ECS", "CPUUtilization", "Average", dimensions=[("ServiceName", "api")])
P95 = metric("p95", "AWS/ApplicationELB", "TargetResponseTime", "p95")


def ask(store, queries, start=1000, end=1030, **more):
    request = {"MetricDataQueries": queries, "StartTime": start, "EndTime": end, **more}
    return get_metric_data(store, SCOPE, request)


def results(answer):
    return {r["Id"]: list(zip(r["Timestamps"], r["Values"], strict=True))
            for r in answer["MetricDataResults"]}  # fmt: skip


def test_newest_first_unless_asked_otherwise(store):
    assert results(ask(store, [CPU]))["cpu"] == [(1020.0, 90.0), (1010.0, 60.0), (1000.0, 30.0)]
    ascending = ask(store, [CPU], ScanBy="TimestampAscending")
    assert results(ascending)["cpu"][0] == (1000.0, 30.0)


def test_labels_are_the_metrics_name_or_the_id(store):
    answer = ask(store, [CPU, {"Id": "twice", "Expression": "cpu * 2"}, {**P95, "Label": "mine"}])
    assert [r["Label"] for r in answer["MetricDataResults"]] == ["CPUUtilization", "twice", "mine"]


def test_metric_math_over_two_metrics(store):
    slow = {"Id": "slow", "Expression": "IF(cpu > 50, p95, 0)"}
    got = results(ask(store, [slow, {**CPU, "ReturnData": False}, {**P95, "ReturnData": False}]))
    assert got == {"slow": [(1020.0, 0.05), (1010.0, 0.03), (1000.0, 0.0)]}


def test_expressions_may_build_on_expressions(store):
    inner = {"Id": "half", "Expression": "cpu / 2", "ReturnData": False}
    outer = {"Id": "quarter", "Expression": "half / 2"}
    assert results(ask(store, [CPU, outer, inner]))["quarter"][0] == (1020.0, 22.5)


def test_a_coarser_period_aggregates(store):
    coarse = metric("cpu", "AWS/ECS", "CPUUtilization", "Maximum",
                    dimensions=[("ServiceName", "api")], period=30)  # fmt: skip
    assert results(ask(store, [coarse], 990, 1050))["cpu"] == [(1020.0, 90.0), (990.0, 60.0)]


def test_periods_without_data_are_left_out(store):
    assert len(results(ask(store, [CPU], 900, 1100))["cpu"]) == 3


def test_times_may_be_text_or_datetimes(store):
    start = datetime.fromtimestamp(1000, UTC)
    answer = ask(store, [CPU], start, "1970-01-01T00:17:10Z")
    assert len(results(answer)["cpu"]) == 3


def test_pages_hold_what_was_asked_for(store):
    first = ask(store, [CPU], MaxDatapoints=2)
    assert [r["StatusCode"] for r in first["MetricDataResults"]] == ["PartialData"]
    second = ask(store, [CPU], MaxDatapoints=2, NextToken=first["NextToken"])
    assert results(first)["cpu"] + results(second)["cpu"] == results(ask(store, [CPU]))["cpu"]
    assert "NextToken" not in second


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ([], "MetricDataQueries is required"),
        ([metric("m", "N", "M", "tm99")], "not emulated"),
        ([metric("m", "N", "M", "Sum", period=7)], "Invalid Period 7"),
        ([CPU, CPU], "not unique"),
        ([{"Id": "e", "Expression": "nobody * 2"}], "unknown ids nobody"),
        ([{"Id": "e", "Expression": "e + 1"}], "circular: e -> e"),
        ([{"Id": "e", "Expression": "f"}, {"Id": "f", "Expression": "e"}], "circular"),
        ([CPU, {"Id": "e", "Expression": "cpu +"}], "Error in expression 'e'"),
    ],
)
def test_what_cannot_be_answered_is_a_validation_error(store, queries, message):
    with pytest.raises(AwsError, match=message) as caught:
        ask(store, queries)
    assert caught.value.code == "ValidationError"


def test_start_must_precede_end(store):
    with pytest.raises(AwsError, match="StartTime must be less"):
        ask(store, [CPU], 1030, 1000)


def test_a_wrong_token_is_named(store):
    with pytest.raises(AwsError) as caught:
        ask(store, [CPU], NextToken="!")
    assert caught.value.code == "InvalidNextToken"
