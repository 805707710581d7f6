"""Utilisation from two readings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from local_region.metering.usage import TaskReading, host_busy_s, sample, service_series
from local_region.tasks.report import ServiceCounts

READING = TaskReading(
    cluster="c", service="s", at=110.0, running_since=50.0, cpu_s=3.0, throttled_periods=20,
    memory_bytes=256 * 2**20, cores=0.25, memory_mib=512,
)  # fmt: skip


def test_per_cent_of_the_reservation():
    after = replace(READING, at=120.0, cpu_s=4.0, throttled_periods=70)
    (one,), _ = sample({"t": READING}, {"t": after})
    assert one.cpu_percent == pytest.approx(100 * 1.0 / (10 * 0.25))
    assert one.memory_percent == pytest.approx(50)
    assert one.throttled_percent == pytest.approx(50)


def test_task_that_started_in_the_period_is_measured_from_its_start():
    after = replace(READING, at=120.0, running_since=116.0, cpu_s=0.5, throttled_periods=4)
    (one,), _ = sample({}, {"t": after})
    assert one.cpu_percent == pytest.approx(50)
    assert one.throttled_percent == pytest.approx(10)


def test_task_that_has_only_just_started_is_left_to_the_next_period():
    just = replace(READING, at=120.0, running_since=119.9, cpu_s=0.02, throttled_periods=0)
    samples, bases = sample({}, {"t": just})
    assert samples == []
    later = replace(just, at=130.0, cpu_s=1.0)
    (one,), _ = sample(bases, {"t": later})
    assert one.cpu_percent == pytest.approx(100 * 1.0 / (10.1 * 0.25))


def test_ended_task_is_forgotten():
    samples, bases = sample({"t": READING}, {})
    assert (samples, bases) == ([], {})


def test_unknown_memory_is_no_datapoint():
    (one,), _ = sample({}, {"t": replace(READING, memory_bytes=None)})
    assert one.memory_percent is None
    names = {s.name for s in service_series([one], [])}
    assert names == {"CPUUtilization", "ThrottledPeriodsPercent"}


def test_series_have_one_value_a_task():
    samples, _ = sample({}, {"a": READING, "b": replace(READING, cpu_s=6.0)})
    found = {s.name: s for s in service_series(samples, [ServiceCounts("c", "s", 3, 2, 1)])}
    cpu = found["CPUUtilization"]
    assert cpu.namespace == "AWS/ECS"
    assert cpu.dimensions == {"ClusterName": "c", "ServiceName": "s"}
    assert (len(cpu.values), cpu.counts) == (2, (1.0, 1.0))
    assert found["MemoryUtilization"].values == (50.0, 50.0)
    assert found["ThrottledPeriodsPercent"].namespace == "LocalRegion"
    counts = {n: found[n].values for n in found if n.endswith("TaskCount")}
    assert counts == {
        "RunningTaskCount": (2.0,), "DesiredTaskCount": (3.0,), "PendingTaskCount": (1.0,),
    }  # fmt: skip
    assert found["RunningTaskCount"].namespace == "ECS/ContainerInsights"


def test_service_without_running_tasks_has_counts_only():
    found = {s.name for s in service_series([], [ServiceCounts("c", "s", 1, 0, 1)])}
    assert found == {"RunningTaskCount", "DesiredTaskCount", "PendingTaskCount"}


def test_machine_works():
    before = host_busy_s()
    sum(range(3_000_000))
    assert host_busy_s() >= before > 0
