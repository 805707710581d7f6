"""Metrics of a real region against what was really done."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from local_region.settings import Settings

pytestmark = pytest.mark.e2e


def wait_until_published(region):
    """Until a period that has not begun yet is published, and with it all that was before."""
    now, deadline = time.time(), time.monotonic() + 40
    while region.status()["last_period_start"] < now:
        assert time.monotonic() < deadline, "nothing is published"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def world(region):
    """A service that was asked 300 times for 20 ms and 40 times for an error."""
    service = region.service(desired=2)
    time.sleep(1.1)  # that it answers was asked in an earlier period
    began = dt.datetime.now(dt.UTC)
    slow = service.load("/slow/20", rate_rps=60, duration_s=5)
    errors = service.load("/status/500", rate_rps=8, duration_s=5)
    assert slow.finish() == {200: 300}
    assert errors.finish() == {500: 40}
    wait_until_published(region)
    return region, service, began


def dimensions(service):
    balancer = service.balancer["LoadBalancerArn"].partition(":loadbalancer/")[2]
    group = "targetgroup/" + service.target_group.partition(":targetgroup/")[2]
    return balancer, group


def statistics(world, namespace, name, of, statistic):
    """The datapoints of the load, oldest first."""
    region, _, began = world
    extended = statistic.startswith("p")
    answer = region.client("cloudwatch").get_metric_statistics(
        Namespace=namespace, MetricName=name, StartTime=began,
        EndTime=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1), Period=1,
        Dimensions=[{"Name": n, "Value": v} for n, v in of.items()],
        **({"ExtendedStatistics": [statistic]} if extended else {"Statistics": [statistic]}),
    )  # fmt: skip
    points = sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])
    return [p["ExtendedStatistics"][statistic] if extended else p[statistic] for p in points]


def test_every_request_is_counted_once(world):
    balancer, group = dimensions(world[1])
    for of in (
        {"LoadBalancer": balancer},
        {"TargetGroup": group},
        {"LoadBalancer": balancer, "TargetGroup": group},
    ):
        assert sum(statistics(world, "AWS/ApplicationELB", "RequestCount", of, "Sum")) == 340
        codes = [
            sum(statistics(world, "AWS/ApplicationELB", f"HTTPCode_Target_{c}_Count", of, "Sum"))
            for c in ("2XX", "5XX")
        ]
        assert codes == [300, 40]
    of = {"LoadBalancer": balancer}
    assert statistics(world, "AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", of, "Sum") == []


def test_requests_per_target_are_half_of_them(world):
    _, group = dimensions(world[1])
    of = {"TargetGroup": group}
    values = statistics(world, "AWS/ApplicationELB", "RequestCountPerTarget", of, "Sum")
    assert sum(values) == pytest.approx(170, rel=0.02)


def test_response_time_is_the_targets(world):
    balancer, group = dimensions(world[1])
    of = {"LoadBalancer": balancer, "TargetGroup": group}
    name = "TargetResponseTime"
    medians = statistics(world, "AWS/ApplicationELB", name, of, "p50")
    assert len(medians) >= 4
    for median in medians[1:-1]:
        assert 0.020 <= median < 0.030
    counts = statistics(world, "AWS/ApplicationELB", name, of, "SampleCount")
    assert sum(counts) == 340
    assert min(statistics(world, "AWS/ApplicationELB", name, of, "p1")) < 0.010


def test_healthy_hosts(world):
    balancer, group = dimensions(world[1])
    of = {"LoadBalancer": balancer, "TargetGroup": group}
    for name, expected in (("HealthyHostCount", {2.0}), ("UnHealthyHostCount", {0.0})):
        assert set(statistics(world, "AWS/ApplicationELB", name, of, "Minimum")) == expected


def test_utilisation_counts_and_host(world):
    of = {"ClusterName": world[1].name, "ServiceName": world[1].name}
    cpu = statistics(world, "AWS/ECS", "CPUUtilization", of, "Average")
    assert 0 < max(cpu) < 100
    # One sample a task.
    assert max(statistics(world, "AWS/ECS", "CPUUtilization", of, "SampleCount")) == 2
    memory = statistics(world, "AWS/ECS", "MemoryUtilization", of, "Average")
    assert 2 < memory[-1] < 60
    running = statistics(world, "ECS/ContainerInsights", "RunningTaskCount", of, "Average")
    desired = statistics(world, "ECS/ContainerInsights", "DesiredTaskCount", of, "Average")
    assert running[-1] == desired[-1] == 2
    assert max(statistics(world, "LocalRegion", "HostBusyCores", {}, "Maximum")) > 0


def test_without_traffic_requests_per_target_are_zero_and_times_are_missing(world):
    region, service, _ = world
    balancer, group = dimensions(service)
    quiet = (region, service, dt.datetime.now(dt.UTC))
    wait_until_published(region)
    of = {"LoadBalancer": balancer, "TargetGroup": group}
    assert 0.0 in statistics(quiet, "AWS/ApplicationELB", "RequestCountPerTarget", of, "Sum")
    assert statistics(quiet, "AWS/ApplicationELB", "TargetResponseTime", of, "p95") == []


def test_periods_are_aligned_and_published_in_time(world):
    status = world[0].status()
    assert status["last_period_start"] == int(status["last_period_start"])
    assert status["late_s"] < Settings().publish_delay_s


def test_busy_task_is_seen_throttled(region):
    service = region.service(desired=1)
    began = dt.datetime.now(dt.UTC)
    service.load("/burn/100", rate_rps=12, duration_s=4).finish()
    wait_until_published(region)
    of = {"ClusterName": service.name, "ServiceName": service.name}
    seen = (region, service, began)
    assert max(statistics(seen, "LocalRegion", "ThrottledPeriodsPercent", of, "Maximum")) > 60
    # Half a core asked, more wanted: at its reservation.
    assert 85 < max(statistics(seen, "AWS/ECS", "CPUUtilization", of, "Maximum")) < 112
