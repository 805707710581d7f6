"""What bounds a recommendation besides the curve, and how many tasks that leaves. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from runbook.errors import InputInvalid

#: A rolling deployment runs old and new tasks at once, so what a task needs is needed twice.
DEPLOYMENT_FACTOR = 2
#: From the load's crossing of a target to the alarm: three datapoints.
_ALARM_PERIODS = 3.0
#: What a task needs when nobody says: database connections, and MiB of memory.
_POOL, _MEMORY_MIB = 5, 512


@dataclass(frozen=True)
class Constraints:
    """What bounds a recommendation besides the curve; None means that there is no such bound.

    `max_tasks` is a wish, `database_connections` what the store takes and
    `connections_per_task` the size of a task's pool; `memory_mib` is all that tasks may have and
    `memory_per_task_mib` one's; `subnet_addresses` are free in the tasks' subnets (one a task);
    `vcpu_quota` is the account's for Fargate. `expected_peak_rps` is a total rate.
    The load may grow by `growth_pct_per_period` percent in each metric period, and it takes
    `reaction_periods` of them from crossing a target to answering tasks, or more where
    `startup_s`, the seconds from asking for a task to its first answer, says so. Bounds named in
    `read` were found, not asked for: they lower MaxTasks and never raise it.
    """

    min_tasks: int = 1
    max_tasks: int | None = None
    database_connections: int | None = None
    connections_per_task: int | None = None
    expected_peak_rps: float | None = None
    growth_pct_per_period: float = 5.0
    reaction_periods: float = 4.0
    startup_s: float | None = None
    memory_mib: int | None = None
    memory_per_task_mib: int | None = None
    subnet_addresses: int | None = None
    vcpu_quota: float | None = None
    read: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        bad = [
            name
            for name, value in asdict(self).items()
            if value is not None
            and name != "read"
            and (not math.isfinite(value) or value < 0 or (value == 0 and name.startswith("max")))
        ]
        if bad or (self.max_tasks is not None and self.max_tasks < self.min_tasks):
            raise InputInvalid(
                "The constraints cannot be met",
                f"{', '.join(bad)} below zero" if bad else "max_tasks is below min_tasks",
                "give counts and rates that can be",
            )

    def periods(self, period_s: int) -> float:
        """Metric periods from crossing a target to answering tasks."""
        if self.startup_s is None:
            return self.reaction_periods
        return max(self.reaction_periods, _ALARM_PERIODS + self.startup_s / period_s)

    def headroom(self, period_s: int) -> float:
        """The share of the capacity to aim at, so that growth while reacting still fits."""
        return 1.0 / (1.0 + self.growth_pct_per_period / 100.0 * self.periods(period_s))


@dataclass(frozen=True)
class Bound:
    """At most so many tasks, and why; `asked` for, or found."""

    tasks: int
    why: str
    asked: bool = True


@dataclass(frozen=True)
class Maximum:
    """The tasks at most, why, and what a reader must know besides."""

    tasks: int
    why: str
    findings: tuple[str, ...] = ()


def bounds(constraints: Constraints, task_cpu: int) -> tuple[Bound, ...]:
    """Every bound that is known, the tightest first; `task_cpu` in ECS units."""
    twice = DEPLOYMENT_FACTOR
    pool = constraints.connections_per_task or _POOL
    memory_mib = constraints.memory_per_task_mib or _MEMORY_MIB
    found = []
    if constraints.max_tasks is not None:
        found.append(Bound(constraints.max_tasks, "the bound asked for"))
    for name, whole, each, what in (
        (
            "database_connections",
            constraints.database_connections,
            pool,
            f"{constraints.database_connections} database connections, {pool} a task",
        ),
        (
            "memory_mib",
            constraints.memory_mib,
            memory_mib,
            f"{constraints.memory_mib} MiB of memory, {memory_mib} a task",
        ),
        (
            "subnet_addresses",
            constraints.subnet_addresses,
            1,
            f"{constraints.subnet_addresses} free subnet addresses, one a task",
        ),
        (
            "vcpu_quota",
            constraints.vcpu_quota,
            task_cpu / 1024.0,
            f"the account's quota of {constraints.vcpu_quota} vCPU, {task_cpu / 1024:g} a task",
        ),
    ):
        if whole is not None:
            why = f"{what}, twice during a deployment"
            found.append(Bound(int(whole / (each * twice)), why, name not in constraints.read))
    return tuple(sorted(found, key=lambda bound: bound.tasks))


def maximum(
    constraints: Constraints, current: Mapping[str, float], rate_per_task_rps: float, task_cpu: int
) -> Maximum:
    """How many tasks may run at most: what the peak needs, within the tightest bound.

    Raises InputInvalid when not even the minimum fits.
    """
    known = bounds(constraints, task_cpu)
    tightest = known[0] if known else None
    if tightest is not None and tightest.tasks < max(constraints.min_tasks, 1):
        raise InputInvalid(
            "The constraints cannot be met",
            f"at least {max(constraints.min_tasks, 1)} task(s) must run and only {tightest.tasks} "
            f"can: {tightest.why}",
            "raise that bound, or make a task need less of it",
        )
    others = tuple(
        f"MaxTasks would be bounded to {bound.tasks} by: {bound.why}" for bound in known[1:]
    )
    if constraints.expected_peak_rps is None:
        configured = max(
            int(current.get("MaxTasks", constraints.min_tasks)), constraints.min_tasks, 1
        )
        asked = any(bound.asked for bound in known)
        if tightest is not None and (asked or tightest.tasks < configured):
            return Maximum(tightest.tasks, tightest.why, others)
        return Maximum(
            configured,
            "kept as configured: no peak and no bound were given",
            tuple(f"{bound.tasks} tasks would fit: {bound.why}" for bound in known),
        )
    needed = max(
        math.ceil(constraints.expected_peak_rps / rate_per_task_rps), constraints.min_tasks, 1
    )
    peak = f"a peak of {constraints.expected_peak_rps:g} requests/s needs {needed} tasks"
    if tightest is None or needed <= tightest.tasks:
        return Maximum(
            needed, peak, tuple(f"{bound.tasks} tasks fit: {bound.why}" for bound in known)
        )
    short = f"{peak}, but MaxTasks is bounded to {tightest.tasks}: {tightest.why}"
    return Maximum(tightest.tasks, tightest.why, (short, *others))
