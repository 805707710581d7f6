"""Lines that CloudWatch reads metrics out of."""

import json

import pytest

from app.metrics import Metrics, request_class


@pytest.fixture
def lines():
    return []


@pytest.fixture
def metrics(lines):
    return Metrics("shop/test", "1.2.3", 4, lines.append, clock=lambda: 1000.5)


def _flush(metrics, lines):
    metrics.flush()
    assert all(line.endswith("}\n") and line.count("\n") == 1 for line in lines)
    flushed = [json.loads(line) for line in lines]
    lines.clear()
    return flushed


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/products", "read"),
        ("HEAD", "/orders", "read"),
        ("POST", "/orders", "write"),
        ("PATCH", "/products/1", "write"),
        ("DELETE", "/user/1", "write"),
        ("POST", "/user/login", "credential"),
        ("POST", "/user/signup", "credential"),
        ("GET", "/health", None),
        ("GET", "/ready", None),
        ("OPTIONS", "/products", None),
    ],
)
def test_every_request_of_a_client_has_a_class(method, path, kind):
    assert request_class(method, path) == kind


def test_requests_are_counted_by_value_and_named_as_cloudwatch_wants(metrics, lines):
    metrics.add("read", 0.0021, 0.0004, False)
    metrics.add("read", 0.0021, 0.0004, False)
    metrics.add("read", 0.03, 0.0004, True)
    read, pool = _flush(metrics, lines)
    directive = read["_aws"]["CloudWatchMetrics"][0]
    assert read["_aws"]["Timestamp"] == 1_000_500
    assert (directive["Namespace"], directive["Dimensions"]) == ("shop/test", [["RequestClass"]])
    assert directive["Metrics"] == [
        {"Name": "Latency", "Unit": "Milliseconds"},
        {"Name": "StoreTime", "Unit": "Milliseconds"},
        {"Name": "ServerErrors", "Unit": "Count"},
    ]
    assert read["RequestClass"] == "read"
    assert read["Latency"] == {
        "Values": [2.1, 30.0],
        "Counts": [2, 1],
        "Max": 30.0,
        "Min": 2.1,
        "Count": 3,
        "Sum": 34.2,
    }
    assert (read["StoreTime"]["Values"], read["StoreTime"]["Counts"]) == ([0.4], [3])
    assert (read["ServerErrors"], read["version"]) == (1, "1.2.3")
    assert (pool["PoolSize"], pool["PoolInUse"], pool["PoolWaits"]) == (4, 0, 0)
    assert pool["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[]]


def test_what_was_written_is_not_written_again(metrics, lines):
    metrics.add("write", 0.01, 0.005, False)
    metrics.pool_used(3)
    metrics.pool_used(1)
    metrics.pool_waited()
    write, pool = _flush(metrics, lines)
    assert (write["RequestClass"], pool["PoolInUse"], pool["PoolWaits"]) == ("write", 3, 1)
    (pool,) = _flush(metrics, lines)
    assert (pool["PoolInUse"], pool["PoolWaits"]) == (0, 0)


def test_no_line_holds_more_values_than_cloudwatch_takes(metrics, lines):
    for index in range(250):
        metrics.add("read", (10 + index % 90) * 10.0 ** (index // 90) / 1e3, 0.001, False)
    *reads, _ = _flush(metrics, lines)
    assert [len(read["Latency"]["Values"]) for read in reads] == [100, 100, 50]
    assert sum(read["Latency"]["Count"] for read in reads) == 250
    assert ["StoreTime" in read for read in reads] == [True, False, False]


def test_what_is_left_is_written_at_the_end(metrics, lines):
    metrics.run(60)
    metrics.add("read", 0.001, 0.0, False)
    metrics.stop()
    assert json.loads(lines[0])["RequestClass"] == "read"
