"""A load test as recorded: every step with CloudWatch's numbers, the client's and its verdict."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from runbook.errors import InputInvalid, plainly
from runbook.load.kinds import RouteClass
from runbook.load.measurement import RawLoad, StepStats

SCHEMA_VERSION = 1
FILE_NAME = "load_test.json"
#: How the reason begins that a disturbance gives.
DISTURBED = "disturbed for "


@dataclass(frozen=True)
class MeasuredStep:
    """One step of a load test: one metric period at one rate with one task count.

    `client` is what the driver saw. `trt_*_ms` are CloudWatch's percentiles of the target
    response time in that period, which decide; None when nothing was published. `requests`
    is the balancer's count. `void_reason` is None for a step that counts. `raw_file` is the
    recording, relative to the load test's folder, which holds other steps too. `disturbance` is
    the reason to drive the step once more, "" without one; whether it counts is for the analysis
    to say, which knows how many steps are disturbed.
    """

    tasks: int
    phase: str
    seed: int
    started_at: datetime
    rate_rps: float
    client: StepStats
    raw_file: str
    trt_p50_ms: float | None
    trt_p95_ms: float | None
    trt_p99_ms: float | None
    requests: float | None
    cpu_pct: float | None
    throttled_pct: float | None
    host_busy_cores: float | None
    void_reason: str | None
    disturbance: str = ""

    @property
    def valid(self) -> bool:
        """Whether the step counts; of a disturbed one, whether it may."""
        return self.void_reason is None

    @property
    def undisturbed(self) -> bool:
        """Whether the step counts however many others are disturbed."""
        return self.valid and not self.disturbance

    @property
    def rate_per_task_rps(self) -> float:
        """The planned rate per task."""
        return self.rate_rps / self.tasks

    @property
    def offered_per_task_rps(self) -> float:
        """The arrivals that were really scheduled, per task."""
        return self.client.offered_rps / self.tasks

    @property
    def gap_p95_ms(self) -> float | None:
        """What the client's p95 has beyond CloudWatch's: balancer, wire, body, driver."""
        if self.client.p95_ms is None or self.trt_p95_ms is None:
            return None
        return self.client.p95_ms - self.trt_p95_ms

    def to_dict(self) -> dict[str, Any]:
        """The step as JSON-able values."""
        return {**asdict(self), "started_at": self.started_at.isoformat()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MeasuredStep:
        """The inverse of `to_dict`."""
        # Files of before 2026-11-27 have a disturbance among the reasons that void a step.
        if "disturbance" not in values and (values["void_reason"] or "").startswith(DISTURBED):
            values = {**values, "void_reason": None, "disturbance": values["void_reason"]}
        return cls(
            **{
                **values,
                "client": StepStats(**values["client"]),
                "started_at": datetime.fromisoformat(values["started_at"]),
            }
        )


@dataclass(frozen=True)
class LoadTest:
    """Everything one load test measured. `task_cpu` is in ECS CPU units (1024 = one vCPU).

    `cpu_s_per_request` placed the steps. `enforcement` names what holds a task to its CPU
    share. `route_classes` has the class of each kind of request by its number in the
    recordings; empty where there is one kind. `folder` is where the recordings are; it is not
    written into the file.
    """

    environment: str
    service: str
    run_id: str
    measured_at: datetime
    slo_ms: float
    period_s: int
    task_cpu: int
    enforcement: str
    host_cores: int
    path: str
    cpu_s_per_request: float
    steps: tuple[MeasuredStep, ...]
    notes: tuple[str, ...] = ()
    route_classes: tuple[RouteClass, ...] = ()
    folder: Path = field(default=Path(), compare=False)

    @property
    def share_cores(self) -> float:
        """The CPU cores one task may use."""
        return self.task_cpu / 1024.0

    @property
    def task_counts(self) -> tuple[int, ...]:
        """The task counts measured, ascending."""
        return tuple(sorted({step.tasks for step in self.steps}))

    def recording(self, step: MeasuredStep) -> RawLoad:
        """The raw requests of the phase that a step was part of. Raises InputInvalid."""
        return RawLoad.load(self.folder / step.raw_file)

    def frame(self) -> pd.DataFrame:
        """One row a step in the order they ran; units are in the column names.

        A disturbed step is void there, as it was for the load test.
        """
        rows = [
            {
                "tasks": step.tasks,
                "phase": step.phase,
                "seed": step.seed,
                "started_at": step.started_at,
                "rate_rps": step.rate_rps,
                "rate_per_task_rps": step.rate_per_task_rps,
                "offered_rps": step.client.offered_rps,
                "achieved_rps": step.client.achieved_rps,
                "trt_p50_ms": step.trt_p50_ms,
                "trt_p95_ms": step.trt_p95_ms,
                "trt_p99_ms": step.trt_p99_ms,
                "client_p50_ms": step.client.p50_ms,
                "client_p95_ms": step.client.p95_ms,
                "client_p99_ms": step.client.p99_ms,
                "gap_p95_ms": step.gap_p95_ms,
                "requests": step.requests,
                "failures": step.client.failures,
                "cpu_pct": step.cpu_pct,
                "throttled_pct": step.throttled_pct,
                "host_busy_cores": step.host_busy_cores,
                "driver_lag_p99_ms": step.client.lag_p99_ms,
                "driver_cpu_cores": step.client.driver_cpu_cores,
                "weak": step.client.weak,
                "void_reason": step.void_reason or step.disturbance or None,
            }
            for step in self.steps
        ]
        return pd.DataFrame(rows)

    def findings(self) -> list[str]:
        """What a reader must know of the run: how much counts, what is void and why, notes."""
        void = [step for step in self.steps if not step.valid]
        disturbed = [step for step in self.steps if step.valid and step.disturbance]
        lag = max((step.client.lag_p99_ms for step in self.steps), default=0.0)
        return [
            f"{len(self.steps) - len(void) - len(disturbed)} of {len(self.steps)} steps count; "
            "a request costs "
            f"{self.cpu_s_per_request * 1000:.2f} ms of CPU; CPU shares are held by "
            f"{self.enforcement}; the driver was at most {lag:.1f} ms late (p99 of a step)",
            *(
                f"void: {step.tasks} task(s) at {step.rate_rps:.0f} requests/s: {step.void_reason}"
                for step in void
            ),
            *(
                f"{step.tasks} task(s) at {step.rate_rps:.0f} requests/s: {step.disturbance}; "
                "void unless such steps recur"
                for step in disturbed
            ),
            *self.notes,
        ]

    @property
    def void(self) -> bool:
        """Whether no step counts: nothing was measured."""
        return not any(step.valid for step in self.steps)

    def warnings(self) -> list[str]:
        """What stands in the way of a capacity: that most steps are void, or all."""
        count, void = len(self.steps), sum(not step.valid for step in self.steps)
        if 2 * void <= count:
            return []
        what = "nothing was measured" if self.void else "the rest may be too little for a capacity"
        return [
            f"{void} of {count} steps are void: {what}; end what else uses this machine, "
            "then: runbook run 20_load_test"
        ]

    def save(self, path: Path) -> Path:
        """Write the test as JSON; the raw recordings stay where they are."""
        content: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "environment": self.environment,
            "service": self.service,
            "run_id": self.run_id,
            "measured_at": self.measured_at.isoformat(),
            "slo_ms": self.slo_ms,
            "period_s": self.period_s,
            "task_cpu": self.task_cpu,
            "enforcement": self.enforcement,
            "host_cores": self.host_cores,
            "path": self.path,
            "cpu_s_per_request": self.cpu_s_per_request,
            "notes": list(self.notes),
            "route_classes": list(self.route_classes),
            "steps": [step.to_dict() for step in self.steps],
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> LoadTest:
        """Read a test back. Raises InputInvalid when the file is none."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version = content.pop("schema_version")
            if version != SCHEMA_VERSION:
                raise ValueError(f"schema version {version}, this program reads {SCHEMA_VERSION}")
            content.pop("cpu_idle_pct", None)  # in files of before 2026-11-24; never steady
            content["measured_at"] = datetime.fromisoformat(content["measured_at"])
            content["notes"] = tuple(content["notes"])
            content["route_classes"] = tuple(content.get("route_classes", ()))
            content["steps"] = tuple(MeasuredStep.from_dict(item) for item in content["steps"])
            return cls(**content, folder=path.parent)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputInvalid(
                f"{path} is no load test",
                plainly(error),
                "run one: runbook run 20_load_test",
            ) from error


def now_utc() -> datetime:
    """The time a test was taken, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
