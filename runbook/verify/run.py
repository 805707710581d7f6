"""Driving the verification's load and recording what the service does about it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from botocore.exceptions import BotoCoreError, ClientError

from runbook import aws, region
from runbook.capacity.rig import host_cores
from runbook.ecs.service import wait_stable
from runbook.environment import Environment
from runbook.guard import require_writable
from runbook.load.measurement import Progress, RawLoad
from runbook.load.plan import LoadPlan
from runbook.load.recording import DriverRun
from runbook.load.run import run_driver
from runbook.metrics.cloudwatch import service_metrics
from runbook.metrics.history import read_alarm_history, read_scaling_activities
from runbook.metrics.service import ServiceIdentity, service_identity
from runbook.stacks import lock
from runbook.verify.plan import VerificationPlan
from runbook.verify.timeline import FILE_NAME, AlarmTrack, Timeline

OnProgress = Callable[[Progress], None]
_LEAD_S = 2.0
_SAMPLE_S = 1.0
_SAMPLES_PER_PERIOD = 20
#: How long alarms of an earlier load may take to calm down, in metric periods.
_QUIET_PERIODS = 12


def run_verification(
    environment: Environment,
    plan: VerificationPlan,
    out_dir: Path,
    *,
    run_id: str,
    on_progress: OnProgress | None = None,
) -> Timeline:
    """Drive the plan's load and let the service scale by itself. Writes `verification.json`.

    Begins with the minimum of tasks and no scale-out alarm on; ends early once the service
    has scaled in. Raises GuardRefused where the environment does not belong, StackNotFound
    before the first deployment, StackFailed when the minimum of tasks does not become healthy,
    LoadFailed when the driver cannot work, EnvironmentLocked when another run writes.
    """
    require_writable(environment)
    identity = service_identity(environment)
    out_dir.mkdir(parents=True, exist_ok=True)
    with lock.held(environment, what="verification"):
        _begin_at_minimum(environment, identity, plan, on_progress)
        start = math.ceil((time.time() + _LEAD_S) / plan.period_s) * plan.period_s
        with _watched(environment, identity, plan.period_s) as samples:
            follower = _Follower(plan, samples, on_progress)
            run = run_driver(_load_plan(plan, identity, start), out_dir / "raw", follower.see)
    ended = datetime.now(UTC)
    _wait_for_last_period(environment, plan, on_progress)
    timeline = _timeline(environment, identity, plan, run, ended, samples, run_id)
    timeline.save(out_dir / FILE_NAME)
    return timeline


def _begin_at_minimum(
    environment: Environment,
    identity: ServiceIdentity,
    plan: VerificationPlan,
    report: OnProgress | None,
) -> None:
    """Run the minimum of tasks, and wait until no alarm of an earlier load is on."""
    ecs, cloudwatch = aws.client(environment, "ecs"), aws.client(environment, "cloudwatch")

    def say(text: str) -> None:
        if report:
            report(Progress("hold", text, 0.0, plan.duration_s))

    names = [alarm.name for alarm in plan.alarms if alarm.direction == "out"]
    until = time.monotonic() + _QUIET_PERIODS * plan.period_s
    while time.monotonic() < until:
        found = cloudwatch.describe_alarms(AlarmNames=names, StateValue="ALARM")["MetricAlarms"]
        if not found:
            break
        say(f"waiting for {len(found)} alarm(s) of an earlier load")
        time.sleep(_SAMPLE_S)
    ecs.update_service(
        cluster=identity.cluster, service=identity.service, desiredCount=plan.min_tasks
    )
    wait_stable(
        environment,
        timeout_s=max(120.0, 10.0 * plan.period_s),
        on_wait=lambda service: say(f"{service.healthy} of {plan.min_tasks} tasks healthy"),
    )


def _load_plan(plan: VerificationPlan, identity: ServiceIdentity, start: float) -> LoadPlan:
    return LoadPlan(
        url=identity.url.rstrip("/") + plan.path,
        segments=plan.segments,
        seed=plan.seed,
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
        self.scaled_in_s = 0.0

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
        if fallen and now["running"] == now["desired"] < self.peak:
            self.scaled_in_s = self.scaled_in_s or elapsed_s
        # One whole period more shows the response time with fewer tasks.
        return self.scaled_in_s > 0 and elapsed_s > self.scaled_in_s + self.plan.period_s


@contextmanager
def _watched(
    environment: Environment, identity: ServiceIdentity, period_s: int
) -> Iterator[list[dict[str, Any]]]:
    """Samples of the service's counts, twenty a metric period, taken by a thread."""
    samples: list[dict[str, Any]] = []
    stop = threading.Event()
    ecs, elbv2 = aws.client(environment, "ecs"), aws.client(environment, "elbv2")

    def watch() -> None:
        while not stop.is_set():
            # A throttled or lost call costs one sample, not the verification.
            with suppress(ClientError, BotoCoreError):
                samples.append(_sample(ecs, elbv2, identity))
            stop.wait(period_s / _SAMPLES_PER_PERIOD)

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
    run: DriverRun,
    ended: datetime,
    samples: list[dict[str, Any]],
    run_id: str,
) -> Timeline:
    # The load began on a boundary; the clock's last digits must not cost its first period.
    started = _utc(round(run.started_at_epoch_s / plan.period_s) * plan.period_s)
    cloudwatch = aws.client(environment, "cloudwatch")
    autoscaling = aws.client(environment, "application-autoscaling")
    names = [alarm.name for alarm in plan.alarms]
    history = read_alarm_history(cloudwatch, names, started, ended)
    raw = run.raw()
    return Timeline(
        environment=environment.name,
        run_id=run_id,
        started_at=started,
        rise_at=started + timedelta(seconds=plan.rise_at_s),
        fall_at=started + timedelta(seconds=plan.fall_at_s),
        ended_at=ended,
        slo_ms=plan.slo_ms,
        period_s=plan.period_s,
        tasks_needed=plan.tasks_needed,
        peak_rps=plan.peak_rps,
        requests=len(raw),
        failures=raw.failure_kinds(),
        driver_lag_p99_ms=max((step.lag_p99_ms for step in run.steps), default=0.0),
        host_cores=host_cores(),
        tracks=tuple(_tracks(cloudwatch, plan, history)),
        compression=_compression(environment),
        traffic=_traffic(raw, started),
        metrics=service_metrics(environment, started, ended, identity=identity),
        counts=pd.DataFrame(samples).set_index("time"),
        alarms=history,
        activities=read_scaling_activities(autoscaling, identity.resource_id, started, ended),
    )


def _traffic(raw: RawLoad, started: datetime) -> pd.DataFrame:
    """Requests scheduled and well answered in each second."""
    last = float(raw.done_s.max()) if len(raw) else 0.0
    edges = np.arange(math.ceil(last) + 1)
    offered = np.histogram(raw.intended_s, edges)[0]
    served = np.histogram(raw.done_s[raw.succeeded], edges)[0]
    index = pd.Timestamp(started) + pd.to_timedelta(edges[:-1], unit="s")
    frame = pd.DataFrame({"offered_rps": offered, "served_rps": served}, index=index, dtype=float)
    frame.index.name = "time"
    return frame


def _tracks(cloudwatch: Any, plan: VerificationPlan, history: pd.DataFrame) -> Iterator[AlarmTrack]:
    """The alarms with the state each had when the load began."""
    names = [alarm.name for alarm in plan.alarms]
    now = {
        item["AlarmName"]: item["StateValue"]
        for item in aws.pages(cloudwatch.describe_alarms, "MetricAlarms", AlarmNames=names)
    }
    for alarm in plan.alarms:
        changes = history.loc[history["alarm"] == alarm.name, "from_state"]
        initial = str(changes.iloc[0]) if len(changes) else now.get(alarm.name, "OK")
        label = f"{alarm.policy.rsplit('-', 1)[-1]} {alarm.direction}"
        yield AlarmTrack(alarm.name, label, alarm.direction, initial)


def _compression(environment: Environment) -> dict[str, Any]:
    """The local region's numbers beside AWS's; nothing elsewhere."""
    state = region.running() if environment.is_local else None
    return dict(state.compression) if state else {}


def _utc(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)
