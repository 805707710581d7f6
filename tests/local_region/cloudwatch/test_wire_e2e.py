"""CloudWatch as boto3 and an older SDK see it."""

from __future__ import annotations

import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.e2e


@pytest.fixture
def region(shared_region):
    return shared_region


def recent(seconds: float = 120) -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"StartTime": now - timedelta(seconds=seconds), "EndTime": now + timedelta(seconds=60)}


def test_percentiles_and_metric_math_over_the_wire(region):
    cloudwatch = region.client("cloudwatch")
    at = datetime.fromtimestamp(time.time() // 60 * 60, UTC)
    datum = {"MetricName": "Latency", "Timestamp": at, "Unit": "Seconds",
             "Values": [0.01, 0.5], "Counts": [95, 5]}  # fmt: skip
    cloudwatch.put_metric_data(Namespace="Shop", MetricData=[datum])
    metric = {"Namespace": "Shop", "MetricName": "Latency"}
    stats = cloudwatch.get_metric_statistics(
        **metric, **recent(), Period=60, Statistics=["Sum"], ExtendedStatistics=["p50", "p99"]
    )["Datapoints"]
    assert stats[0]["ExtendedStatistics"] == {"p50": 0.01, "p99": 0.5}
    assert stats[0]["Timestamp"] == at
    queries = [
        {"Id": "p50", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "p50"}},
        {"Id": "ms", "Expression": "p50 * 1000", "Label": "milliseconds"},
    ]
    results = cloudwatch.get_metric_data(MetricDataQueries=queries, **recent())["MetricDataResults"]
    assert [(r["Label"], r["Values"]) for r in results] == [
        ("Latency", [0.01]), ("milliseconds", [10.0]),
    ]  # fmt: skip
    with pytest.raises(ClientError, match="not emulated"):
        cloudwatch.get_metric_statistics(
            **metric, **recent(), Period=60, ExtendedStatistics=["tm99"]
        )


def test_the_query_protocol_is_answered_too(region):
    form = {"Action": "ListMetrics", "Version": "2010-08-01", "Namespace": "Nowhere"}
    request = urllib.request.Request(
        region.state["endpoint_url"],
        urllib.parse.urlencode(form).encode(),
        {"Authorization": "AWS4-HMAC-SHA256 "
         "Credential=local/20261123/eu-west-1/monitoring/aws4_request",
         "Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    with urllib.request.urlopen(request) as answer:
        assert b"<ListMetricsResult><Metrics></Metrics>" in answer.read()
