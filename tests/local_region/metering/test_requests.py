"""From requests to ALB's metrics."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_region.metering.access_log import Request
from local_region.metering.requests import RequestTally, bin_value_s, response_bin

LB, TG = "app/lb/1", "targetgroup/g/1"
BOTH = {"LoadBalancer": LB, "TargetGroup": TG}


def request(at=100.0, *, status=200, target_us=5000, **changes):
    values = {
        "at": at, "load_balancer": LB, "target_group": TG, "target": "127.0.0.1:1",
        "status": status, "flags": "-", "details": "via_upstream", "target_us": target_us,
        "total_us": 6000,
    } | changes  # fmt: skip
    return Request(**values)


def refused(status=503, details="no_healthy_upstream"):
    return request(status=status, details=details, target=None, target_us=None)


def tally(*requests, healthy=1, period_s=10):
    counted = RequestTally(period_s, lambda group: healthy)
    for one in requests:
        counted.add(one)
    return counted


def series(counted, before=1e9):
    periods = counted.take(before)
    assert len(periods) == 1
    return {(s.name, tuple(sorted(s.dimensions))): s for s in periods[0][1]}


def total(one):
    return sum(v * c for v, c in zip(one.values, one.counts, strict=True))


def percentile(one, percent):
    """Nearest rank."""
    needed = percent / 100 * sum(one.counts)
    for value, count in zip(one.values, one.counts, strict=True):
        needed -= count
        if needed <= 1e-9:
            return value
    raise AssertionError


@given(st.integers(1, 60_000_000))
def test_bin_is_within_a_quarter_per_cent(target_us):
    value_us = bin_value_s(response_bin(target_us)) * 1e6
    assert abs(value_us - target_us) <= target_us * 0.0026


@given(st.lists(st.integers(1, 10**7), min_size=2, max_size=30))
def test_bins_keep_the_order(values):
    bins = [response_bin(v) for v in sorted(values)]
    assert bins == sorted(bins)


@pytest.mark.parametrize("percent", [50, 95, 99])
def test_percentiles_are_exact_to_half_a_per_cent(percent):
    generator = random.Random(1)
    times = [int(generator.lognormvariate(8.5, 0.8)) + 1 for _ in range(4000)]
    found = series(tally(*(request(target_us=t) for t in times)))
    one = found[("TargetResponseTime", ("LoadBalancer", "TargetGroup"))]
    exact = sorted(times)[int(percent / 100 * len(times)) - 1] / 1e6
    assert percentile(one, percent) == pytest.approx(exact, rel=0.005)
    assert sum(one.counts) == 4000
    assert len(one.values) < 1500


def test_metrics_and_dimensions():
    found = series(tally(request(), request(status=404), request(status=500)))
    per_target = {
        "TargetResponseTime", "RequestCount", "HTTPCode_Target_2XX_Count",
        "HTTPCode_Target_4XX_Count", "HTTPCode_Target_5XX_Count",
    }  # fmt: skip
    assert {n for n, d in found if d == ("LoadBalancer",)} == per_target
    for dimensions in (("LoadBalancer", "TargetGroup"), ("TargetGroup",)):
        names = {n for n, d in found if d == dimensions}
        assert names == per_target | {"RequestCountPerTarget"}
    assert found[("TargetResponseTime", ("TargetGroup",))].unit == "Seconds"


def test_counts_are_samples_of_one():
    one = series(tally(*[request()] * 7))[("RequestCount", ("LoadBalancer",))]
    assert (one.values, one.counts) == ((1.0,), (7.0,))


def test_requests_per_target_follow_the_targets_there_were():
    targets = [1]
    counted = RequestTally(10, lambda group: targets[0])
    for _ in range(6):
        counted.add(request())
    targets[0] = 3
    for _ in range(6):
        counted.add(request())
    one = series(counted)[("RequestCountPerTarget", ("TargetGroup",))]
    assert total(one) == pytest.approx(6 + 2)


def test_request_without_a_target_is_the_balancers_error_only():
    found = series(tally(refused()))
    assert set(found) == {("HTTPCode_ELB_5XX_Count", ("LoadBalancer",))}


def test_broken_connection_is_a_request_and_the_balancers_error():
    broken = request(status=502, details="upstream_reset", target_us=None)
    found = series(tally(broken))
    assert total(found[("RequestCount", ("LoadBalancer",))]) == 1
    assert total(found[("HTTPCode_ELB_5XX_Count", ("LoadBalancer",))]) == 1
    assert not any("Target_5XX" in name for name, _ in found)
    assert not any(name == "TargetResponseTime" for name, _ in found)


def test_fixed_response_is_nobodys_error():
    counted = tally(refused(status=503, details="direct_response"))
    assert [s for _, found in counted.take(1e9) for s in found] == []


def test_request_belongs_to_the_period_in_which_it_was_done():
    counted = tally(request(at=109.999), request(at=110.0), request(at=119.9))
    assert [(start, total(found[0])) for start, found in _counts(counted)] == [(100, 1), (110, 2)]


def test_late_line_comes_with_its_own_period():
    counted = tally(request(at=100.0))
    assert [start for start, _ in counted.take(110)] == [100]
    counted.add(request(at=109.9))
    counted.add(request(at=111.0))
    assert [start for start, _ in counted.take(120)] == [100, 110]
    assert counted.take(130) == []


def _counts(counted):
    return [
        (start, [s for s in found if s.name == "RequestCount" and len(s.dimensions) == 1])
        for start, found in counted.take(1e9)
    ]


def test_two_balancers_of_one_group_add_up_in_the_groups_series():
    counted = tally(request(), request(load_balancer="app/other/2"))
    found = [s for _, all_of in counted.take(1e9) for s in all_of if s.name == "RequestCount"]
    by_dimensions = {tuple(sorted(s.dimensions.values())): total(s) for s in found}
    assert by_dimensions[(TG,)] == 2
    assert by_dimensions[(LB,)] == by_dimensions[(LB, TG)] == 1
