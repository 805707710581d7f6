import time

import pytest

from local_region.cloudwatch import metrics_api
from local_region.cloudwatch.store import MetricStore
from local_region.errors import AwsError

SCOPE = ("000000000000", "eu-west-1")


@pytest.fixture
def store():
    return MetricStore(SCOPE)


def put(store, *data, namespace="Shop"):
    request = {"Namespace": namespace, "MetricData": list(data)}
    return metrics_api.put_metric_data(store, SCOPE, request)


def statistics(store, **more):
    request = {"Namespace": "Shop", "MetricName": "Latency", "StartTime": 1000, "EndTime": 1060,
               "Period": 60, **more}  # fmt: skip
    return metrics_api.get_metric_statistics(store, SCOPE, request)["Datapoints"]


def test_values_and_counts_give_percentiles(store):
    put(store, {"MetricName": "Latency", "Timestamp": 1020, "Unit": "Seconds",
                "Values": [0.1, 0.9], "Counts": [99, 1]})  # fmt: skip
    [point] = statistics(store, Statistics=["SampleCount"], ExtendedStatistics=["p50", "p100"])
    assert point == {"Timestamp": 1020.0, "Unit": "Seconds", "SampleCount": 100.0,
                     "ExtendedStatistics": {"p50": 0.1, "p100": 0.9}}  # fmt: skip


def test_a_statistic_set_is_kept_as_published(store):
    sets = {"SampleCount": 2, "Sum": 10, "Minimum": 4, "Maximum": 6}
    put(store, {"MetricName": "Latency", "Timestamp": 1020, "StatisticValues": sets})
    [point] = statistics(store, Statistics=["Average", "Maximum"], ExtendedStatistics=["p95"])
    assert (point["Average"], point["Maximum"]) == (5.0, 6.0)
    assert "ExtendedStatistics" not in point


def test_a_datum_without_a_time_is_of_now(store):
    put(store, {"MetricName": "Latency", "Value": 1})
    [key] = store.keys(since_s=time.time() - 5)
    assert key.name == "Latency"


@pytest.mark.parametrize(
    ("datum", "namespace", "message"),
    [
        ({"MetricName": "M", "Value": 1}, "AWS/ECS", "reserved"),
        ({"MetricName": "M"}, "Shop", "Value is required"),
        ({"Value": 1}, "Shop", "MetricName is required"),
        ({"MetricName": "M", "Values": [1, 2], "Counts": [1]}, "Shop", "same number"),
        ({"MetricName": "M", "Values": [1] * 151}, "Shop", "at most 150"),
    ],
)
def test_what_put_refuses(store, datum, namespace, message):
    with pytest.raises(AwsError, match=message):
        put(store, {"MetricName": "Good", "Value": 1}, datum, namespace=namespace)
    assert store.keys() == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "Statistics or ExtendedStatistics"),
        ({"Statistics": ["Median"]}, "Median"),
        ({"ExtendedStatistics": ["tm99"]}, "not emulated"),
        ({"ExtendedStatistics": ["Sum"]}, "must be percentiles"),
        ({"Statistics": ["Sum"], "EndTime": 1000 + 60 * 1500}, "exceeds the limit of 1440"),
    ],
)
def test_what_statistics_refuses(store, more, message):
    with pytest.raises(AwsError, match=message):
        statistics(store, **more)


def test_listing_filters_by_every_part(store):
    for service in ("api", "web"):
        put(store, {"MetricName": "Latency", "Value": 1,
                    "Dimensions": [{"Name": "Service", "Value": service}]})  # fmt: skip
    put(store, {"MetricName": "Count", "Value": 1})

    def names(**request):
        listed = metrics_api.list_metrics(store, SCOPE, request)["Metrics"]
        return [(m["MetricName"], [d["Value"] for d in m["Dimensions"]]) for m in listed]

    assert len(names()) == 3
    assert names(MetricName="Count") == [("Count", [])]
    assert names(Dimensions=[{"Name": "Service"}]) == [("Latency", ["api"]), ("Latency", ["web"])]
    assert names(Dimensions=[{"Name": "Service", "Value": "web"}]) == [("Latency", ["web"])]
    assert names(Namespace="Other") == []
