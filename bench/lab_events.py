"""The policy lab's rules event by event, with simpy and the objects of `runbook.scaling`.

Straightforward on purpose: every task is an object, every datapoint is published by an event of
its own, alarms and decisions are asked of `evaluate_alarm` and `decide`. The compiled loop must
give the same counts in every tick; `bench/lab.py` measures how much longer this takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import simpy

from runbook.lab.layout import LOGIT_5_PCT, P95_PER_LOGIT
from runbook.lab.policy import Policy, Stepped, Tracked
from runbook.lab.service import ServiceModel
from runbook.scaling.alarms import AlarmState, evaluate_alarm
from runbook.scaling.decision import ScalableTarget, apply_decision, decide
from runbook.scaling.semantics import DEFAULT, Semantics
from runbook.scaling.signals import Signal, StepSignal, TargetTrackingSignal
from runbook.scaling.state import ScalingState, observe
from runbook.scaling.step_scaling import aggregate
from runbook.scaling.target_tracking import alarms_for

# What happens first at one moment.
_BOUNDS, _TASKS, _OBSERVE, _PUBLISH, _DECIDE, _TRAFFIC = range(6)


@dataclass
class _Task:
    state: str  # starting, running, serving, stopped
    asked_at: int


@dataclass
class _Metric:
    """The metrics of one period: sums under way, datapoints published."""

    period: int
    delay: int
    ticks: int = 0
    requests: float = 0.0
    cpu_core_s: float = 0.0
    running: float = 0.0
    serving: float = 0.0
    slow: float = 0.0
    published: list[dict[str, float | None]] = field(default_factory=list)


@dataclass
class Events:
    """A replay of one policy. `trace` holds (desired, running, serving) per tick."""

    policy: Policy
    service: ServiceModel
    arrivals: Sequence[float]
    bounds: Sequence[tuple[int, int, int]]
    tick_s: int
    initial_tasks: int
    semantics: Semantics = DEFAULT
    trace: list[tuple[int, int, int]] = field(default_factory=list)
    violating: list[bool] = field(default_factory=list)
    task_s: float = 0.0
    judge_s: int = 60
    _wanted: int | None = None
    _newest: dict[int, float | None] = field(default_factory=dict)

    def run(self) -> Events:
        """Play all arrivals."""
        self.env = simpy.Environment()
        self.state = ScalingState(self.initial_tasks, self.initial_tasks)
        self.tasks = [_Task("serving", -1) for _ in range(self.initial_tasks)]
        self.backlog = 0.0
        self.judged = [0.0, 0.0]
        timing = self.service.timing
        self.start = max(1, math.ceil(timing.start_s / self.tick_s - 1e-9))
        self.ready = math.ceil(timing.ready_s / self.tick_s - 1e-9)
        self.metrics = {
            period_s: _Metric(
                period_s // self.tick_s, math.ceil(timing.publish_s(period_s) / self.tick_s - 1e-9)
            )
            for period_s in self.policy.periods_s or (60,)
        }
        self.alarms: dict[tuple[int, str], AlarmState] = {}
        self.due: set[int] = set()
        self.before = self.initial_tasks
        for tick, low, high in self.bounds:
            self._at(tick, _BOUNDS, lambda low=low, high=high: self._set_bounds(low, high))
        self._at(0, _OBSERVE, self._observe)
        self._at(0, _TRAFFIC, self._traffic)
        self.env.run(until=len(self.arrivals))
        return self

    def _at(self, delay: int, order: int, action: Callable[[], None]) -> None:
        event = simpy.Event(self.env)
        event._ok, event._value = True, None
        event.callbacks.append(lambda _: action())
        self.env.schedule(event, priority=order, delay=delay)

    def _count(self, *states: str) -> int:
        return sum(task.state in states for task in self.tasks)

    def _set_bounds(self, low: int, high: int) -> None:
        self.target = ScalableTarget(low, high)
        desired = max(low, min(self.state.desired, high))
        if desired != self.state.desired:
            self._wanted = desired

    def _observe(self) -> None:
        desired = self.state.desired if self._wanted is None else self._wanted
        self._wanted = None
        self.state = observe(
            self.state,
            running=self._count("running", "serving"),
            now_s=self.env.now * self.tick_s,
            desired=desired,
            semantics=self.semantics,
        )
        self._at(1, _OBSERVE, self._observe)

    # --- alarms and decisions

    def _publish(self, period_s: int, point: dict[str, float | None]) -> None:
        self.metrics[period_s].published.append(point)
        if not self.due:
            self._at(0, _DECIDE, self._decide)
        self.due.add(period_s)

    def _decide(self) -> None:
        signals: list[Signal] = []
        for index, item in enumerate(self.policy.tracked):
            signals.append(self._tracking(index, item))
        for index, step in enumerate(self.policy.stepped):
            if step.period_s in self.due:
                signals.append(self._stepping(100 + index, step))
        self.due.clear()
        now_s = self.env.now * self.tick_s
        decision = decide(self.target, signals, self.state, now_s, self.semantics)
        self.state = apply_decision(self.state, decision, now_s, self.semantics)

    def _tracking(self, index: int, item: Tracked) -> TargetTrackingSignal:
        points = self.metrics[item.alarms.period_s].published[-64:]
        values = [point[item.metric] for point in points]
        newest = None
        for spec in alarms_for(item.policy, item.alarms):
            key = (index, spec.side)
            before = self.alarms.get(key, "INSUFFICIENT_DATA")
            if item.alarms.period_s in self.due:
                verdict = evaluate_alarm(spec.rule, values, before, semantics=self.semantics)
                self.alarms[key] = verdict.state
                if spec.side == "high":
                    self._newest[index] = verdict.newest
            newest = self._newest.get(index)
        running = [p["running"] for p in points if p[item.metric] is not None]
        return TargetTrackingSignal(
            item.policy,
            self.alarms.get((index, "high"), "INSUFFICIENT_DATA"),
            None
            if item.policy.disable_scale_in
            else self.alarms.get((index, "low"), "INSUFFICIENT_DATA"),
            newest,
            running_at_datapoint=int(running[-1] or 0) if running else None,
        )

    def _stepping(self, index: int, step: Stepped) -> StepSignal:
        values: list[float | None] = []
        for point in self.metrics[step.period_s].published[-64:]:
            value, cpu = point[step.metric], point["cpu"]
            if step.cpu_floor_pct > 0:
                value = None if cpu is None else (value if cpu > step.cpu_floor_pct else 0.0)
            values.append(value)
        before = self.alarms.get((index, "step"), "INSUFFICIENT_DATA")
        verdict = evaluate_alarm(step.rule, values, before, semantics=self.semantics)
        self.alarms[index, "step"] = verdict.state
        return StepSignal(
            step.policy,
            verdict.state,
            aggregate(step.policy, verdict.evaluated, self.semantics),
            step.rule.threshold,
            step.rule.comparison,
        )

    # --- the service

    def _follow(self) -> None:
        """Start what is missing; stop what is too much, the youngest first."""
        alive = self._count("starting", "running", "serving")
        for _ in range(self.state.desired - alive):
            task = _Task("starting", int(self.env.now))
            self.tasks.append(task)
            self._at(self.start, _TASKS, lambda task=task: self._started(task))
        order = {"starting": 0, "running": 1, "serving": 2}
        young = sorted(self.tasks, key=lambda task: (order[task.state], -task.asked_at))
        for task in young[: max(0, alive - self.state.desired)]:
            if task.state == "serving":
                self.task_s += self.service.timing.drain_s
            task.state = "stopped"
        self.tasks = [task for task in self.tasks if task.state != "stopped"]

    def _started(self, task: _Task) -> None:
        if task.state == "starting":
            task.state = "running"
            if self.ready == 0:
                self._serving(task)
            else:
                self._at(self.ready, _TASKS, lambda: self._serving(task))

    def _serving(self, task: _Task) -> None:
        if task.state == "running":
            task.state = "serving"

    def _traffic(self) -> None:
        tick = int(self.env.now)
        if self.state.desired != self.before:
            self._follow()
        self.before = self.state.desired
        count = self.arrivals[tick]
        running, serving = self._count("running", "serving"), self._count("serving")
        used, slow = self._served(count, serving)
        starting_pct = (running - serving) * self.service.timing.startup_cpu_pct
        busy_pct = running * self.service.cpu_idle_pct + starting_pct
        for period_s, metric in self.metrics.items():
            metric.requests += count
            metric.cpu_core_s += used * 100.0 + busy_pct * self.service.share_cores * self.tick_s
            metric.running += running
            metric.serving += serving
            metric.slow += slow * count
            metric.ticks += 1
            if metric.ticks == metric.period:
                self._close(period_s, metric, running)
        self.trace.append((self.state.desired, running, serving))
        self.task_s += self.tick_s * self._count("starting", "running", "serving")
        self.judged[0] += count
        self.judged[1] += slow * count
        if (tick + 1) * self.tick_s % self.judge_s == 0:
            self.violating.append(self.judged[1] > 0.05 * self.judged[0] * (1.0 + 1e-12))
            self.judged = [0.0, 0.0]
        self._at(1, _TRAFFIC, self._traffic)

    def _served(self, count: float, serving: int) -> tuple[float, float]:
        """CPU seconds used and the share of slow requests."""
        if serving == 0:
            self.backlog = 0.0
            return 0.0, 1.0
        n = min(serving, len(self.service.c_slo_rps) - 1)
        able_rps = serving * self.service.most_rps[n]
        work = self.backlog + count
        done = min(work, able_rps * self.tick_s)
        left = min(work - done, able_rps * self.service.timing.queue_s)
        waited = self.backlog + left > self.service.slo_ms / 1000.0 * able_rps
        self.backlog = left
        relative = count / (self.tick_s * serving) / self.service.c_slo_rps[n] - 1.0
        logit = LOGIT_5_PCT + self.service.steepness[n] * relative
        return done * self.service.cpu_s_per_request[n], (
            1.0 if waited else 1.0 / (1.0 + math.exp(-logit))
        )

    def _close(self, period_s: int, metric: _Metric, running: int) -> None:
        """The end of a metric period: its datapoint, published after the delay."""
        cpu = requests = p95 = None
        if metric.running > 0:
            cpu = min(
                100.0, metric.cpu_core_s / (metric.running * self.service.share_cores * self.tick_s)
            )
        if metric.serving > 0 and (
            metric.requests > 0 or self.service.timing.zero_requests_reported
        ):
            requests = metric.requests * 60.0 / (metric.serving * self.tick_s)
        if metric.requests > 0:
            share = min(max(metric.slow / metric.requests, 1e-6), 1.0 - 1e-6)
            odds = math.log(share / (1.0 - share)) - LOGIT_5_PCT
            p95 = self.service.slo_ms / 1000.0 * math.exp(P95_PER_LOGIT * odds)
        point = {"cpu": cpu, "requests": requests, "p95": p95, "running": float(running)}
        self._at(1 + metric.delay, _PUBLISH, lambda: self._publish(period_s, point))
        metric.ticks = 0
        metric.requests = metric.cpu_core_s = metric.running = metric.serving = metric.slow = 0.0
