"""The clock of metering: follow the log, read the tasks at each period's end, publish."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from typing import Any

from local_region.balancer.balancer import Balancer, TargetGroup
from local_region.context import RegionContext
from local_region.metering import usage
from local_region.metering.access_log import LogTail, parse_line
from local_region.metering.requests import NAMESPACE, RequestTally, Series, per_target_series
from local_region.tasks.controller import Controller

READ_S = 0.25
COUNT_S = 1.0
SETTLE_S = 0.6
"""Envoy flushes its log every 250 ms: this long after a period's end all its lines are there."""
_log = logging.getLogger("local_region.metering")


class Metering:
    """Publishes one datapoint per metric and period, timestamped with the period's start."""

    def __init__(self, context: RegionContext, controller: Controller, balancer: Balancer) -> None:
        self._context, self._controller, self._balancer = context, controller, balancer
        self._period_s = float(context.settings.period_s)
        self._tally = RequestTally(self._period_s, self._healthy)
        self._tail = LogTail(balancer.places.access_log, balancer.reopen_access_log)
        self._hosts: dict[TargetGroup, tuple[Counter[int], Counter[int]]] = {}
        self._counted_at = 0.0
        self._bases: dict[str, usage.TaskReading] = {}
        self._host_busy = (time.monotonic(), usage.host_busy_s())
        self._healthy_now: dict[str, int] = {}
        self._last_period: float | None = None
        self._late_s = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="region-metering", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread; the period under way is not published. Idempotent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def status(self) -> dict[str, Any]:
        """When the last period began, and how long after its end its data was published."""
        return {"last_period_start": self._last_period, "late_s": round(self._late_s, 3)}

    def _loop(self) -> None:
        end = self._end_of(time.time())
        while not self._stopping.is_set():
            try:
                if time.time() >= end:
                    self._close_period(end)
                    end = self._end_of(time.time())
                self._follow()
            except Exception:
                _log.exception("metering stumbled; going on")
                end = self._end_of(time.time())
            self._stopping.wait(max(0.0, min(READ_S, end - time.time())))
        self._tail.close()

    def _end_of(self, now: float) -> float:
        return (math.floor(now / self._period_s) + 1) * self._period_s

    def _follow(self) -> None:
        groups = self._balancer.target_groups()
        self._healthy_now = {g.full_name: self._balancer.counts(g.arn)[0] for g in groups}
        for line in self._tail.read_lines():
            request = parse_line(line)
            if request is not None:
                self._tally.add(request)
        if time.monotonic() - self._counted_at >= COUNT_S:
            self._counted_at = time.monotonic()
            for group in groups:
                healthy, unhealthy = self._balancer.counts(group.arn)
                hosts = self._hosts.setdefault(group, (Counter(), Counter()))
                hosts[0][healthy] += 1
                hosts[1][unhealthy] += 1

    def _healthy(self, target_group: str) -> int:
        return self._healthy_now.get(target_group, 0)

    def _close_period(self, end: float) -> None:
        start = end - self._period_s
        readings = self._read_tasks()
        samples, self._bases = usage.sample(self._bases, readings)
        found = usage.service_series(samples, self._controller.service_counts())
        found.append(self._host_series())
        self._stopping.wait(max(0.0, end + SETTLE_S - time.time()))
        self._follow()
        found += self._host_counts()
        for period, series in self._tally.take(before=end):
            self._publish(period, series)
            if period == start:
                found += self._zeros(series)
                break
        else:
            found += self._zeros([])
        self._publish(start, found)
        self._last_period, self._late_s = start, time.time() - end

    def _publish(self, period: float, found: list[Series]) -> None:
        for one in found:
            self._context.metrics.put(
                one.namespace, one.name, one.dimensions, period, one.unit, one.values, one.counts
            )

    def _read_tasks(self) -> dict[str, usage.TaskReading]:
        readings = {}
        for task in self._controller.running_tasks():
            account = self._controller.cpu_usage(task.task_id, task.pid)
            if account is None or task.service is None:
                continue
            readings[task.task_id] = usage.TaskReading(
                cluster=task.cluster,
                service=task.service,
                at=time.monotonic(),
                running_since=task.running_since,
                cpu_s=account.usage_s,
                throttled_periods=account.nr_throttled,
                memory_bytes=self._controller.memory_bytes(task.task_id, task.pid),
                cores=task.cores,
                memory_mib=task.memory_mib,
            )
        return readings

    def _host_series(self) -> Series:
        at, busy_s = self._host_busy
        self._host_busy = (time.monotonic(), usage.host_busy_s())
        cores = (self._host_busy[1] - busy_s) / max(1e-3, self._host_busy[0] - at)
        return usage.series("LocalRegion", "HostBusyCores", {}, "Count", [cores])

    def _host_counts(self) -> list[Series]:
        found = []
        for group, (healthy, unhealthy) in self._hosts.items():
            for name, counts in (("HealthyHostCount", healthy), ("UnHealthyHostCount", unhealthy)):
                for dimensions in _dimensions(group):
                    values = tuple(float(value) for value in counts)
                    seen = tuple(float(count) for count in counts.values())
                    found.append(Series(NAMESPACE, name, dimensions, "Count", values, seen))
        self._hosts = {}
        return found

    def _zeros(self, published: list[Series]) -> list[Series]:
        """RequestCountPerTarget 0 for groups with healthy targets and no request.

        AWS's pages contradict each other: the ALB guide reports metrics only while requests flow,
        its table of metrics reports this one always, and target tracking's AlarmLow could never
        scale an idle service in if nothing were reported. So a zero is the default here, and a
        setting (`report_zero_requests`) takes it away.
        """
        if not self._context.settings.report_zero_requests:
            return []
        busy = {
            one.dimensions.get("TargetGroup")
            for one in published
            if one.name == "RequestCountPerTarget"
        }
        return [
            per_target_series(dimensions, 0.0)
            for group in self._balancer.target_groups()
            if group.full_name not in busy and self._healthy(group.full_name)
            for dimensions in _dimensions(group)
        ]


def start(context: RegionContext, controller: Controller, balancer: Balancer) -> Metering:
    """Start metering."""
    metering = Metering(context, controller, balancer)
    metering.start()
    return metering


def _dimensions(group: TargetGroup) -> list[dict[str, str]]:
    of_group = {"TargetGroup": group.full_name}
    return [of_group, *({"LoadBalancer": lb, **of_group} for lb in group.load_balancers)]
