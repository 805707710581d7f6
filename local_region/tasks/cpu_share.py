"""Holding a task to its CPU share, by the first of four methods that the machine allows.

| method          | needs                                   | how                                  |
|-----------------|-----------------------------------------|--------------------------------------|
| cgroup-v2-quota | a cgroup v2 we may make groups in       | CFS quota, 100 ms period, as Fargate |
| cgroup-v1-quota | the same of version 1 (usually root)    | the same                             |
| duty-cycle      | Linux                                   | SIGSTOP/SIGCONT, 100 ms windows      |
| in-task-bucket  | a service that reads IN_TASK_CPU_SHARE  | the service limits itself            |

`LOCAL_REGION_CPU_ENFORCEMENT` forces one of them (for tests, or to compare them).
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

from local_region.errors import DataPlaneFailed
from local_region.tasks import cgroups, duty_cycle
from local_region.tasks.process import TaskHost
from local_region.tasks.process_tree import process_tree

FORCE_VARIABLE = "LOCAL_REGION_CPU_ENFORCEMENT"
METHODS = ("cgroup-v2-quota", "cgroup-v1-quota", "duty-cycle", "in-task-bucket")


@dataclass(frozen=True)
class CpuUsage:
    """A task's account since it started. Periods are 100 ms; throttled ones hit the quota."""

    usage_s: float
    nr_periods: int
    nr_throttled: int


@dataclass(frozen=True)
class LaunchTerms:
    """What must be done while a task's process is started so that its share holds."""

    cgroup_procs: tuple[str, ...] = ()
    duty_cores: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class CpuShares(Protocol):
    """One method of enforcement for all tasks. `cores` are vCPU (0.25 = 256 CPU units)."""

    method: str

    def prepare(self, task_id: str, cores: float, directory: Path) -> LaunchTerms:
        """Before the process starts. `directory` is the task's own. Raises OSError."""

    def usage(self, task_id: str, pid: int) -> CpuUsage | None:
        """The account, None when the task is gone."""

    def release(self, task_id: str) -> None:
        """After the process has ended."""

    def close(self) -> None:
        """After all processes have ended."""


class CgroupShares:
    """CFS quota, the kernel's own accounting."""

    def __init__(self, method: str, hierarchy: cgroups.Hierarchy, host: TaskHost) -> None:
        self.method = method
        self._hierarchy, self._host = hierarchy, host
        self._groups: set[str] = set()
        self._lock = threading.Lock()

    def prepare(self, task_id: str, cores: float, directory: Path) -> LaunchTerms:
        for root in self._hierarchy.roots:
            (root / task_id).mkdir(exist_ok=True)
        self._hierarchy.limit(task_id, cores)
        with self._lock:
            self._groups.add(task_id)
            self._tell_host()
        return LaunchTerms(cgroup_procs=self._hierarchy.procs(task_id))

    def usage(self, task_id: str, pid: int) -> CpuUsage | None:
        try:
            stat = self._hierarchy.read(task_id)
        except OSError:
            return None
        return CpuUsage(stat["usage_usec"] / 1e6, stat["nr_periods"], stat["nr_throttled"])

    def release(self, task_id: str) -> None:
        with self._lock:
            if task_id not in self._groups:
                return
            self._groups.discard(task_id)
            self._tell_host()
        for root in self._hierarchy.roots:
            cgroups.remove_group(root / task_id)

    def close(self) -> None:
        for task_id in list(self._groups):
            self.release(task_id)
        for root in self._hierarchy.roots:
            cgroups.remove_group(root)

    def _tell_host(self) -> None:
        """So that the groups go even when this process is killed."""
        roots = self._hierarchy.roots
        groups = [str(root / group) for root in roots for group in sorted(self._groups)]
        self._host.remove_at_end([*groups, *map(str, roots)])


class DutyCycleShares:
    """SIGSTOP and SIGCONT by the task host."""

    method = "duty-cycle"

    def __init__(self, host: TaskHost) -> None:
        self._host = host

    def prepare(self, task_id: str, cores: float, directory: Path) -> LaunchTerms:
        return LaunchTerms(duty_cores=cores)

    def usage(self, task_id: str, pid: int) -> CpuUsage | None:
        account = self._host.usage(task_id)
        if account is None:
            return None
        return CpuUsage(
            account["usage_s"], int(account["nr_periods"]), int(account["nr_throttled"])
        )

    def release(self, task_id: str) -> None:
        """The host forgets a task when its process ends."""

    def close(self) -> None:
        """Nothing is kept."""


class InTaskShares:
    """The service's own token bucket: any system, but only services that cooperate.

    The service rewrites IN_TASK_CPU_STAT about once a second: JSON, named as in cpu.stat.
    """

    method = "in-task-bucket"

    def __init__(self) -> None:
        self._files: dict[str, Path] = {}

    def prepare(self, task_id: str, cores: float, directory: Path) -> LaunchTerms:
        file = directory / "cpu-stat.json"
        self._files[task_id] = file
        return LaunchTerms(
            environment={"IN_TASK_CPU_SHARE": str(cores), "IN_TASK_CPU_STAT": str(file)}
        )

    def usage(self, task_id: str, pid: int) -> CpuUsage | None:
        try:
            stat = json.loads(self._files[task_id].read_text(encoding="utf-8"))
        except (KeyError, OSError, ValueError):
            stat = {}
        measured_s = process_tree_cpu_s(pid)
        if measured_s is None and not stat:
            return None
        return CpuUsage(
            measured_s if measured_s is not None else stat.get("usage_usec", 0) / 1e6,
            stat.get("nr_periods", 0),
            stat.get("nr_throttled", 0),
        )

    def release(self, task_id: str) -> None:
        self._files.pop(task_id, None)

    def close(self) -> None:
        self._files.clear()


def process_tree_cpu_s(pid: int) -> float | None:
    """User and system seconds of a process and its descendants; None when it is gone."""
    try:
        times = [psutil.Process(process).cpu_times() for process in process_tree(pid)]
    except psutil.Error:
        return None
    return float(sum(t.user + t.system for t in times))


def choose(host: TaskHost, forced: str | None = None) -> CpuShares:
    """The best method that works here, or the forced one.

    Raises DataPlaneFailed when the forced one is unknown or does not work on this machine.
    """
    forced = forced or os.environ.get(FORCE_VARIABLE) or None
    if forced is not None and forced not in METHODS:
        raise DataPlaneFailed(
            f"CPU shares cannot be enforced by {forced!r}: there is no such method; "
            f"set {FORCE_VARIABLE} to one of {', '.join(METHODS)} or unset it"
        )
    attempts: dict[str, Callable[[], CpuShares | None]] = {
        "cgroup-v2-quota": lambda: _cgroup("cgroup-v2-quota", 2, host),
        "cgroup-v1-quota": lambda: _cgroup("cgroup-v1-quota", 1, host),
        "duty-cycle": lambda: DutyCycleShares(host) if duty_cycle.is_available() else None,
        "in-task-bucket": InTaskShares,
    }
    for method in (forced,) if forced else METHODS:
        shares = attempts[method]()
        if shares is not None:
            return shares
    raise DataPlaneFailed(
        f"CPU shares cannot be enforced by {forced}: this machine does not allow it; "
        f"unset {FORCE_VARIABLE} to take the first method that works"
    )


def _cgroup(method: str, version: int, host: TaskHost) -> CpuShares | None:
    hierarchy = cgroups.make_hierarchy(version)
    return None if hierarchy is None else CgroupShares(method, hierarchy, host)
