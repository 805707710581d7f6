"""What tasks and machine used in a period, from two readings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from local_region.metering.requests import Series
from local_region.tasks.report import ServiceCounts

QUOTA_PERIODS_PER_S = 10.0
"""CPU quotas are granted every 100 ms."""
SHORTEST_SAMPLE_S = 0.5


@dataclass(frozen=True)
class TaskReading:
    """A task at one moment. `at` and `running_since` are monotonic seconds."""

    cluster: str
    service: str
    at: float
    running_since: float
    cpu_s: float
    throttled_periods: int
    memory_bytes: int | None
    cores: float
    memory_mib: int


@dataclass(frozen=True)
class TaskSample:
    """What a task used between two readings, in per cent of its reservation."""

    cluster: str
    service: str
    cpu_percent: float
    memory_percent: float | None
    throttled_percent: float


def sample(
    before: Mapping[str, TaskReading], after: Mapping[str, TaskReading]
) -> tuple[list[TaskSample], dict[str, TaskReading]]:
    """One sample a task, and the readings the next period begins with.

    A task that has started since is measured from its start; one that has only just started is
    left to the next period, whole.
    """
    samples: list[TaskSample] = []
    bases = {}
    for task_id, now in after.items():
        base = before.get(task_id)
        since, cpu_s, throttled = (
            (base.at, base.cpu_s, base.throttled_periods) if base else (now.running_since, 0.0, 0)
        )
        elapsed_s = now.at - since
        if elapsed_s < SHORTEST_SAMPLE_S:
            if base is not None:
                bases[task_id] = base
            continue
        bases[task_id] = now
        samples.append(
            TaskSample(
                now.cluster,
                now.service,
                cpu_percent=100 * (now.cpu_s - cpu_s) / (elapsed_s * now.cores),
                memory_percent=(
                    None
                    if now.memory_bytes is None
                    else 100 * now.memory_bytes / (now.memory_mib * 2**20)
                ),
                # Of all periods, not only of those in which the task ran.
                throttled_percent=min(
                    100.0,
                    100 * (now.throttled_periods - throttled) / (elapsed_s * QUOTA_PERIODS_PER_S),
                ),
            )
        )
    return samples, bases


def service_series(samples: Iterable[TaskSample], counts: Iterable[ServiceCounts]) -> list[Series]:
    """AWS/ECS utilisation, Container Insights counts, and our own throttling."""
    found = []
    by_service: dict[tuple[str, str], list[TaskSample]] = {}
    for one in samples:
        by_service.setdefault((one.cluster, one.service), []).append(one)
    for (cluster, service), of_service in by_service.items():
        dimensions = {"ClusterName": cluster, "ServiceName": service}
        memory = [s.memory_percent for s in of_service if s.memory_percent is not None]
        for namespace, name, values in (
            ("AWS/ECS", "CPUUtilization", [s.cpu_percent for s in of_service]),
            ("AWS/ECS", "MemoryUtilization", memory),
            (
                "LocalRegion",
                "ThrottledPeriodsPercent",
                [s.throttled_percent for s in of_service],
            ),
        ):
            if values:
                found.append(series(namespace, name, dimensions, "Percent", values))
    for count in counts:
        dimensions = {"ClusterName": count.cluster, "ServiceName": count.service}
        for name, number in (
            ("RunningTaskCount", count.running),
            ("DesiredTaskCount", count.desired),
            ("PendingTaskCount", count.pending),
        ):
            found.append(
                series("ECS/ContainerInsights", name, dimensions, "Count", [float(number)])
            )
    return found


def series(
    namespace: str, name: str, dimensions: Mapping[str, str], unit: str, values: Sequence[float]
) -> Series:
    """Values that were each seen once."""
    return Series(namespace, name, dimensions, unit, tuple(values), (1.0,) * len(values))


def host_busy_s() -> float:
    """CPU seconds all processors of this machine have worked since it started.

    Time stolen by other machines on the same hardware is not work of this one.
    """
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
        user, nice, system, _idle, _iowait, irq, softirq = (int(field) for field in fields[:7])
        return (user + nice + system + irq + softirq) / _TICKS_PER_S
    except (OSError, ValueError):
        times = psutil.cpu_times()
        return float(times.user + times.system)


_TICKS_PER_S = 100
