"""Metrics in the lines that tasks print."""

import json

import pytest

from app.metrics import Metrics
from local_region.cloudwatch.embedded import embedded_metrics, put_embedded
from local_region.cloudwatch.store import MetricStore

SCOPE = ("000000000000", "eu-west-1")


def line(**changed):
    directive = {
        "Namespace": "n",
        "Dimensions": [["Kind"], []],
        "Metrics": [{"Name": "Waits", "Unit": "Count"}, {"Name": "Latency"}],
    }
    values = {"Values": [1.0, 2.0], "Counts": [3, 1], "Max": 2.0, "Min": 1.0}
    root = {
        "_aws": {"Timestamp": 1_000_500, "CloudWatchMetrics": [directive]},
        "Kind": "read",
        "Waits": 2,
        "Latency": values,
    }
    return json.dumps({**root, **changed})


def test_each_metric_is_put_once_for_each_set_of_dimensions():
    found = {(item.name, tuple(item.dimensions)): item for item in embedded_metrics(line())}
    assert set(found) == {(n, d) for n in ("Waits", "Latency") for d in (("Kind",), ())}
    latency = found["Latency", ("Kind",)]
    assert (latency.namespace, latency.timestamp_s, latency.unit) == ("n", 1000.5, "None")
    assert (latency.values, latency.counts) == ([1.0, 2.0], [3.0, 1.0])
    assert (found["Waits", ()].values, found["Waits", ()].unit) == ([2.0], "Count")


@pytest.mark.parametrize(
    "wrong",
    [
        'no JSON at all, but for a word: "_aws"',
        "[]",
        '{"_aws": 1}',
        line(_aws={"Timestamp": "soon", "CloudWatchMetrics": []}),
        line(_aws={"Timestamp": 1, "CloudWatchMetrics": [{"Namespace": "n"}]}),
        line(Latency={"Values": [1.0], "Counts": [1, 2]}),
        line(Waits="many"),
    ],
)
def test_a_line_that_breaks_the_format_is_only_a_line(wrong):
    assert list(embedded_metrics(wrong)) == []


def test_the_services_own_lines_are_understood():
    lines: list[str] = []
    metrics = Metrics("shop", "1", 2, lines.append, clock=lambda: 60.0)
    metrics.add("read", 0.002, 0.001, False)
    metrics.add("read", 0.004, 0.001, True)
    metrics.pool_waited()
    metrics.flush()
    store = MetricStore(SCOPE, clock=lambda: 60.0)
    put_embedded(store, ["an ordinary line", *lines], SCOPE)

    def value(name, statistic, **dimensions):
        ((_, found),) = store.statistic("shop", name, dimensions, statistic, 60, 120, 60)
        return found

    assert value("Latency", "p100", RequestClass="read") == 4.0
    assert value("ServerErrors", "Sum", RequestClass="read") == 1.0
    assert (value("PoolSize", "Maximum"), value("PoolWaits", "Sum")) == (2.0, 1.0)
