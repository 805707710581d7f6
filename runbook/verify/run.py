"""Driving the verification's load and recording what the service does about it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from botocore.exceptions import BotoCoreError, ClientError

from runbook import aws, region
from runbook.environment import Environment
from runbook.load.measurement import Progress
from runbook.load.plan import LoadPlan
from runbook.load.recording import DriverRun
from runbook.load.run import run_driver
from runbook.metrics.cloudwatch import service_metrics
from runbook.metrics.history import read_alarm_history, read_scaling_activities, scaling_alarms
from runbook.metrics.service import ServiceIdentity, service_identity
from runbook.verify.plan import VerificationPlan
from runbook.verify.timeline import FILE_NAME, Timeline

OnProgress = Callable[[Progress], None]
_LEAD_S = 2.0
_SAMPLE_S = 1.0


def run_verification(
    environment: Environment,
    plan: VerificationPlan,
    out_dir: Path,
    *,
    run_id: str,
    on_progress: OnProgress | None = None,
) -> Timeline:
    """Drive the plan's load; the service scales by itself. Writes `verification.json`.

    Ends early once the service has scaled in. Raises StackNotFound before the first
    deployment, LoadFailed when the driver cannot work.
    """
    identity = service_identity(environment)
    out_dir.mkdir(parents=True, exist_ok=True)
    start = math.ceil((time.time() + _LEAD_S) / plan.period_s) * plan.period_s
    with _watched(environment, identity) as samples:
        follower = _Follower(plan, samples, on_progress)
        load = run_driver(_load_plan(plan, identity, start), out_dir / "raw", follower.see)
    ended = _utc(time.time())
    _wait_for_last_period(environment, plan, on_progress)
    timeline = _timeline(environment, identity, plan, load, ended, samples, run_id)
    timeline.save(out_dir / FILE_NAME)
    return timeline


def _load_plan(plan: VerificationPlan, identity: ServiceIdentity, start: float) -> LoadPlan:
    return LoadPlan(
        url=identity.url.rstrip("/") + plan.path,
        segments=plan.segments,
        start_at_epoch_s=start,
        timeout_s=plan.timeout_s,
        drain_s=plan.timeout_s,
    )


class _Follower:
    """Tells the progress, and ends the load once the service has scaled in."""

    def __init__(
        self, plan: VerificationPlan, samples: list[dict[str, Any]], report: OnProgress | None
    ) -> None:
        self.plan, self.samples, self.report = plan, samples, report
        self.peak = 0

    def see(self, event: dict[str, Any]) -> bool:
        if event["event"] != "tick" or not self.samples:
            return False
        now = self.samples[-1]
        elapsed_s = float(event["elapsed_s"])
        fallen = elapsed_s > self.plan.fall_at_s
        if not fallen:
            self.peak = max(self.peak, now["desired"])
        if self.report:
            text = f"{now['healthy']} of {now['desired']} tasks healthy"
            self.report(Progress("verify", text, elapsed_s, self.plan.duration_s))
        return fallen and now["running"] == now["desired"] < self.peak


@contextmanager
def _watched(environment: Environment, identity: ServiceIdentity) -> Iterator[list[dict[str, Any]]]:
    """Samples of the service's counts, one a second, taken by a thread."""
    samples: list[dict[str, Any]] = []
    stop = threading.Event()
    ecs, elbv2 = aws.client(environment, "ecs"), aws.client(environment, "elbv2")

    def watch() -> None:
        while not stop.is_set():
            # A throttled or lost call costs one sample, not the verification.
            with suppress(ClientError, BotoCoreError):
                samples.append(_sample(ecs, elbv2, identity))
            stop.wait(_SAMPLE_S)

    thread = threading.Thread(target=watch, name="verify-watch", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def _sample(ecs: Any, elbv2: Any, identity: ServiceIdentity) -> dict[str, Any]:
    service = ecs.describe_services(cluster=identity.cluster, services=[identity.service])
    targets = elbv2.describe_target_health(TargetGroupArn=identity.target_group_arn)
    states = [item["TargetHealth"]["State"] for item in targets["TargetHealthDescriptions"]]
    found = service["services"][0]
    return {
        "time": datetime.now(UTC),
        "desired": int(found["desiredCount"]),
        "running": int(found["runningCount"]),
        "healthy": states.count("healthy"),
    }


def _wait_for_last_period(
    environment: Environment, plan: VerificationPlan, report: OnProgress | None
) -> None:
    """Let the period in which the load ended be over and published."""
    settle_s = 3.0 if environment.is_local else 60.0
    until = math.ceil(time.time() / plan.period_s) * plan.period_s + settle_s
    if report:
        report(Progress("metrics", "waiting for CloudWatch", plan.duration_s, plan.duration_s))
    time.sleep(max(0.0, until - time.time()))


def _timeline(
    environment: Environment,
    identity: ServiceIdentity,
    plan: VerificationPlan,
    load: DriverRun,
    ended: datetime,
    samples: list[dict[str, Any]],
    run_id: str,
) -> Timeline:
    started = _utc(load.started_at_epoch_s)
    cloudwatch = aws.client(environment, "cloudwatch")
    autoscaling = aws.client(environment, "application-autoscaling")
    alarms = scaling_alarms(autoscaling, cloudwatch, identity.resource_id)
    failures: dict[str, int] = {}
    for step in load.steps:
        for kind, count in step.failure_kinds.items():
            failures[kind] = failures.get(kind, 0) + count
    return Timeline(
        environment=environment.name,
        run_id=run_id,
        started_at=started,
        rise_at=_utc(load.started_at_epoch_s + plan.rise_at_s),
        fall_at=_utc(load.started_at_epoch_s + plan.fall_at_s),
        ended_at=ended,
        slo_ms=plan.slo_ms,
        period_s=plan.period_s,
        tasks_needed=plan.tasks_needed,
        highest_rps=plan.highest_rps,
        requests=sum(step.requests for step in load.steps),
        failures=sum(step.failures for step in load.steps),
        failure_kinds=failures,
        compression=compression(environment),
        directions={alarm.name: alarm.direction for alarm in alarms},
        metrics=service_metrics(environment, started, ended, identity=identity),
        counts=pd.DataFrame(samples).set_index("time"),
        alarms=read_alarm_history(cloudwatch, [alarm.name for alarm in alarms], started, ended),
        activities=read_scaling_activities(autoscaling, identity.resource_id, started, ended),
    )


def compression(environment: Environment) -> str:
    """How the environment's time differs from AWS's; empty where it does not."""
    state = region.running() if environment.is_local else None
    if state is None:
        return ""
    facts = state.compression
    return (
        f"Local time is compressed: metric periods of {facts['metric_period_s']} s instead of "
        f"{facts['aws_metric_period_s']} s, AlarmLow after {facts['alarm_low_periods']} periods "
        f"instead of the {facts['aws_alarm_low_periods']} reported of AWS, short cooldowns, and "
        "tasks that start without pulling an image. These times are not those of AWS."
    )


def _utc(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)
