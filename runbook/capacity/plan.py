"""What a load test is to measure, and within which bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from runbook.environment import Environment
from runbook.errors import InputInvalid
from runbook.load.kinds import Accounts, RequestKind, RouteClass
from runbook.load.kinds_file import read_kinds
from runbook.load.run import DRIVERS, check_driver
from runbook.load.validity import Limits


@dataclass(frozen=True)
class ExperimentPlan:
    """What to measure, and within which bounds.

    `load_budget_s` is the seconds of load for all task counts together, warm-ups and the
    retries of void steps (at most `retry_steps` periods a count) aside. A phase stops
    after the second step whose p95 exceeds `stop_factor` times the SLO, and at once beyond
    `harm_factor` times it. It also stops at once, and nothing as high is driven again with that
    task count, when more than `harm_failures_pct` percent of a step's requests fail, when nobody
    answers, and when a backlog builds up. `calibrate_rps` is the low rate whose CPU use places
    the steps. `kinds` are requested instead of `path`; `users` log in first. The load comes from
    `driver` with `workers`, see `run_driver`.
    """

    task_counts: tuple[int, ...] = (1, 3)
    slo_ms: float = 20.0
    path: str = "/products"
    load_budget_s: float = 170.0
    sweep_steps: int = 5
    retry_steps: int = 2
    calibrate_rps: float = 20.0
    stop_factor: float = 3.0
    harm_factor: float = 10.0
    harm_failures_pct: float = 2.0
    kinds: tuple[RequestKind, ...] = ()
    users: int = 0
    seed: int = 1
    timeout_s: float = 10.0
    limits: Limits = field(default_factory=Limits)
    driver: str = DRIVERS[0]
    workers: int = 2

    def __post_init__(self) -> None:
        check_driver(self.driver, self.workers)
        if not self.task_counts or min(self.task_counts) < 1:
            raise InputInvalid(
                "The load test cannot be planned",
                f"task_counts is {self.task_counts}",
                "give at least one count of 1 or more",
            )

    def steps_in_all(self, period_s: int) -> int:
        """How many steps the budget allows. Raises InputInvalid when that is too few."""
        count = int(self.load_budget_s // period_s)
        if count < 1 + 4 * len(self.task_counts):
            raise InputInvalid(
                "The load test cannot be planned",
                f"{self.load_budget_s:.0f} s are {count} periods of {period_s} s",
                f"give load_budget_s of at least {(1 + 4 * len(self.task_counts)) * period_s} s",
            )
        return count

    def duration_s(self, period_s: int) -> float:
        """About how long it all takes, waiting for boundaries and metrics included."""
        phases = 1 + 2 * len(self.task_counts)
        return self.load_budget_s + phases * (period_s + 4.0) + 5.0 * len(self.task_counts)

    @property
    def requested(self) -> str:
        """What is requested, in words."""
        if not self.kinds:
            return f"GET {self.path}"
        return "a mix of " + ", ".join(kind.name for kind in self.kinds)

    @property
    def route_classes(self) -> tuple[RouteClass, ...]:
        """The route class of each kind of request; none without kinds."""
        return tuple(kind.grouped_as for kind in self.kinds)

    @property
    def accounts(self) -> Accounts:
        """The users who log in first."""
        return Accounts(count=self.users)


def kinds_of(file: str) -> tuple[RequestKind, ...]:
    """The request kinds of a file, none for no file. Raises InputInvalid."""
    return read_kinds(Path(file)).kinds if file else ()


def forecast(environment: Environment, plan: ExperimentPlan) -> list[str]:
    """What the load test will do, for a dry run; raises InputInvalid for a plan that cannot be."""
    period_s = environment.metric_period_s
    count = plan.steps_in_all(period_s)
    counts = ", ".join(str(tasks) for tasks in plan.task_counts)
    return [
        f"suspend scaling of the service, hold {counts} task(s) in turn, restore both at the end",
        f"drive {plan.requested} in at most {count} steps of {period_s} s (one metric period each)"
        + (f", from {plan.workers} {plan.driver} workers" if plan.driver != DRIVERS[0] else ""),
        f"stop a phase when p95 exceeds {plan.stop_factor * plan.slo_ms:.0f} ms twice, or "
        f"{plan.harm_factor * plan.slo_ms:.0f} ms once; at more than {plan.harm_failures_pct:g} % "
        "failures, silence or a backlog, and then drive nothing as high again",
        f"take about {plan.duration_s(period_s) / 60:.0f} minutes",
    ]
