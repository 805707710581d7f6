"""What an experiment needs of the world: tasks to hold, load to drive, metrics to read.

`Rig` is the seam: the real one talks to AWS (or the local region) and starts the driver,
the tests' one simulates a service whose capacity is known.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from runbook import aws, region
from runbook.capacity.hold import Held
from runbook.environment import Environment
from runbook.load.kinds import Accounts, RequestKind
from runbook.load.plan import LoadPlan
from runbook.load.recording import DriverRun
from runbook.load.run import DRIVERS, OnEvent, run_driver
from runbook.load.schedule import Segment
from runbook.metrics.cloudwatch import service_metrics
from runbook.metrics.service import ServiceIdentity


@dataclass(frozen=True)
class Facts:
    """What is known of the service and the machine before anything is driven.

    `task_cpu` in ECS units (1024 = one vCPU); `settle_s` is how long after a period's end
    its metrics may still change.
    """

    environment: str
    service: str
    period_s: int
    task_cpu: int
    enforcement: str
    host_cores: int
    settle_s: float


class Rig(Protocol):
    """The world an experiment acts on."""

    @property
    def facts(self) -> Facts:
        """What is known beforehand."""

    def hold(self, tasks: int, on_wait: Callable[[str], None]) -> None:
        """Run exactly this many tasks, all healthy."""

    def drive(
        self,
        segments: Sequence[Segment],
        *,
        seed: int,
        start_at_epoch_s: float,
        folder: Path,
        on_event: OnEvent,
    ) -> DriverRun:
        """Drive load, beginning at a wall-clock second."""

    def metrics(self, start: datetime, end: datetime) -> pd.DataFrame:
        """The service's metrics in [start, end); see `service_metrics`."""

    def now(self) -> float:
        """The wall clock, epoch seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclass(frozen=True)
class AwsRig:
    """The real world: the held service, the driver process, CloudWatch."""

    environment: Environment
    identity: ServiceIdentity
    held: Held
    facts: Facts
    path: str
    timeout_s: float
    kinds: tuple[RequestKind, ...] = ()
    accounts: Accounts = field(default_factory=Accounts)
    driver: str = DRIVERS[0]
    workers: int = 2

    def hold(self, tasks: int, on_wait: Callable[[str], None]) -> None:
        """Run exactly this many tasks, all healthy."""
        self.held.set_tasks(
            tasks,
            timeout_s=max(120.0, 10.0 * self.facts.period_s),
            on_wait=lambda service: on_wait(f"{service.healthy} of {tasks} tasks healthy"),
        )

    def drive(
        self,
        segments: Sequence[Segment],
        *,
        seed: int,
        start_at_epoch_s: float,
        folder: Path,
        on_event: OnEvent,
    ) -> DriverRun:
        """Drive load in processes of its own."""
        plan = LoadPlan(
            url=self.identity.url.rstrip("/") + self.path,
            segments=tuple(segments),
            seed=seed,
            start_at_epoch_s=start_at_epoch_s,
            timeout_s=self.timeout_s,
            drain_s=self.timeout_s,
            kinds=self.kinds,
            accounts=self.accounts,
        )
        return run_driver(plan, folder, on_event, driver=self.driver, workers=self.workers)

    def metrics(self, start: datetime, end: datetime) -> pd.DataFrame:
        """CloudWatch's numbers."""
        return service_metrics(self.environment, start, end, identity=self.identity)

    def now(self) -> float:
        """The wall clock."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def host_cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_enforcement(environment: Environment) -> str:
    """What holds a task to its CPU share: the local region says, in AWS it is Fargate."""
    if not environment.is_local:
        return "fargate"
    state = region.running()
    return state.cpu_enforcement if state else "unknown"


def look_up_facts(environment: Environment) -> Facts:
    """The facts of a deployed service. Raises StackNotFound before the first deployment."""
    service = aws.outputs(environment, "service")
    definition: dict[str, Any] = aws.client(environment, "ecs").describe_task_definition(
        taskDefinition=service["TaskDefinitionArn"]
    )["taskDefinition"]
    return Facts(
        environment=environment.name,
        service=service["ServiceName"],
        period_s=environment.metric_period_s,
        task_cpu=int(definition["cpu"]),
        enforcement=cpu_enforcement(environment),
        host_cores=host_cores(),
        # CloudWatch adds to a datapoint for about a minute after its period.
        settle_s=0.0 if environment.is_local else 60.0,
    )
