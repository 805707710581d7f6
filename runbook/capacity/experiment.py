"""The load test: hold a task count, drive rising steps, repeat near the knee, go on.

Each step is exactly one metric period, so that CloudWatch's percentiles of that period are
the step's. A phase is one continuous run of the driver: a short warm-up up to the period's
boundary, then its steps back-to-back, rising, so that a backlog can only meet a step that is
meant to be worse. A phase ends early once p95 is far beyond the SLO: nothing is learnt
further up, and the service is not to be harmed. The steps saved so become repeats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from runbook.capacity import hold
from runbook.capacity.crossing import StepBlocks
from runbook.capacity.measured import FILE_NAME, LoadTest, MeasuredStep, now_utc
from runbook.capacity.phase import PhaseRunner, Stop
from runbook.capacity.placement import (
    crossing_estimate,
    rates_to_retry,
    repeat_rates,
    saturation_rps,
    share_of_steps,
    sweep_rates,
)
from runbook.capacity.plan import ExperimentPlan, forecast, kinds_of
from runbook.capacity.rig import AwsRig, Rig, look_up_facts
from runbook.capacity.sample import ALLOWED_SLOW_SHARE
from runbook.environment import Environment
from runbook.errors import InputInvalid, MeasurementVoid
from runbook.load.measurement import Progress, RawLoad
from runbook.metrics.service import service_identity

__all__ = ["ExperimentPlan", "conduct", "forecast", "kinds_of", "run_experiment"]

OnProgress = Callable[[Progress], None]
#: A sweep that ended after fewer steps began too high and is begun again lower.
_MIN_SWEEP = 3
_LOWER = 0.6
_REPEAT_ROUNDS = 2
#: So many of the busiest steps say what a request costs.
_COST_STEPS = 3


def run_experiment(
    environment: Environment,
    plan: ExperimentPlan,
    out_dir: Path,
    *,
    run_id: str,
    on_progress: OnProgress | None = None,
) -> LoadTest:
    """Run the load test and write `load_test.json` with its raw recordings to `out_dir`.

    The service's task count and scaling are as before afterwards, whatever happens; after a
    kill the next run restores them. Raises InputInvalid, StackNotFound, StackFailed,
    AwsCallFailed, LoadFailed, and MeasurementVoid when the first low-rate step fails.
    """
    identity = service_identity(environment)
    facts = look_up_facts(environment)
    plan.steps_in_all(facts.period_s)
    most = hold.max_tasks(environment, identity)
    if max(plan.task_counts) > most:
        raise InputInvalid(
            f"{max(plan.task_counts)} tasks cannot be measured",
            f"MaxTasks is {most}",
            "measure fewer, or raise MaxTasks in the scaling stack first",
        )
    out_dir.mkdir(parents=True, exist_ok=True)
    with hold.scaling_suspended(environment, identity) as held:
        rig = AwsRig(
            environment, identity, held, facts, plan.path, plan.timeout_s, plan.kinds,
            plan.accounts, plan.driver, plan.workers,
        )  # fmt: skip
        return conduct(rig, plan, out_dir, run_id=run_id, on_progress=on_progress)


def conduct(
    rig: Rig,
    plan: ExperimentPlan,
    out_dir: Path,
    *,
    run_id: str,
    on_progress: OnProgress | None = None,
) -> LoadTest:
    """The protocol itself, on any rig. Writes `load_test.json` to `out_dir`."""
    return _Experiment(rig, plan, out_dir, run_id, on_progress).run()


class _Experiment:
    """The state of one load test while it runs."""

    def __init__(
        self, rig: Rig, plan: ExperimentPlan, out_dir: Path, run_id: str, report: OnProgress | None
    ) -> None:
        self.rig, self.plan, self.out_dir, self.run_id = rig, plan, out_dir, run_id
        self.facts = rig.facts
        self.share_cores = rig.facts.task_cpu / 1024.0
        self.report = report
        self.total_s = plan.duration_s(self.facts.period_s)
        self.started = rig.now()
        self.steps_left = plan.steps_in_all(self.facts.period_s)
        self.phases = PhaseRunner(rig, plan, out_dir, self._say)
        self.phases_run = 0
        self.steps: list[MeasuredStep] = []
        self.notes: list[str] = []
        self.cost_s = 0.0
        # By task count: the lowest total rate that did harm.
        self.harm_rps: dict[int, float] = {}

    def run(self) -> LoadTest:
        counts = self.plan.task_counts
        self._hold(counts[0])
        self.cost_s = self._calibrate(counts[0])
        for number, tasks in enumerate(counts):
            if number:
                self._hold(tasks)
            self._measure(tasks, share_of_steps(counts[number:], self.steps_left))
        self._say("restore", "giving the service back as it was")
        test = self._result()
        test.save(self.out_dir / FILE_NAME)
        return test

    def _measure(self, tasks: int, allotted: int) -> None:
        """Sweep, repeat near the crossing, retry what was void."""
        reserved = self.steps_left - allotted
        saturation = saturation_rps(tasks, self.share_cores, self.cost_s)
        sweep = min(self.plan.sweep_steps, allotted - 2)
        carried = self._carried_rps(tasks)
        done = self._phase(tasks, "sweep", sweep_rates(tasks, saturation, sweep, carried))
        while len(done) < _MIN_SWEEP and self.steps_left - reserved > _MIN_SWEEP:
            self.notes.append(f"{tasks} task(s): the sweep began too high and was begun lower")
            saturation *= _LOWER
            count = min(sweep, self.steps_left - reserved)
            done += self._phase(tasks, "sweep", sweep_rates(tasks, saturation, count, carried))
        self._learn_cost(done)
        for _ in range(_REPEAT_ROUNDS):
            # A round that p95 ended early leaves steps for another one, placed anew.
            rates = repeat_rates(
                self._cuts(done),
                ALLOWED_SLOW_SHARE,
                self.steps_left - reserved,
                saturation_rps(1, self.share_cores, self.cost_s),
                self.harm_rps.get(tasks, math.inf) / tasks,
            )
            done += self._phase(tasks, "repeat", [rate * tasks for rate in rates])
        self._retry(tasks, done)

    def _carried_rps(self, tasks: int) -> float:
        """A total rate that this many tasks carry: driven, or each as much as one of fewer did.

        The calibration's rate where nothing else is known: it was answered.
        """
        kept = [
            step.rate_per_task_rps * min(step.tasks, tasks)
            for step in self.steps
            if step.undisturbed and (step.trt_p95_ms or math.inf) <= self.plan.slo_ms
        ]
        return max(kept, default=self.plan.calibrate_rps)

    def _retry(self, tasks: int, done: Sequence[MeasuredStep]) -> None:
        """Drive void and disturbed steps near the crossing once more, even beyond the budget."""
        void = [step.rate_per_task_rps for step in done if not step.undisturbed]
        crossing = crossing_estimate(self._cuts(done), ALLOWED_SLOW_SHARE)
        rates = rates_to_retry(void, crossing, self.plan.retry_steps)
        if rates:
            self.notes.append(f"{tasks} task(s): {len(rates)} void step(s) driven once more")
            self.steps_left += len(rates)
            self._phase(tasks, "retry", [rate * tasks for rate in rates])

    def _cuts(self, done: Sequence[MeasuredStep]) -> list[StepBlocks]:
        """The undisturbed steps in blocks, rates per task."""
        cuts = []
        for step in done:
            if step.undisturbed:
                raw = RawLoad.load(self.out_dir / step.raw_file)
                cuts.append(self.phases.sample(step, raw).blocks(self.plan.slo_ms))
        return cuts

    def _phase(self, tasks: int, phase: str, rates: Sequence[float]) -> list[MeasuredStep]:
        harm_rps = self.harm_rps.get(tasks, math.inf)
        rates = [rate for rate in rates if rate < harm_rps][: self.steps_left]
        if not rates:
            return []
        self.phases_run += 1
        name = f"{self.phases_run:02d}-{tasks}-{phase}"
        seed = self.plan.seed * 1000 + self.phases_run
        found = self.phases.run(name, tasks, phase, rates, seed)
        if found.stop is not None:
            self._stopped(tasks, found.stop, any_step=bool(found.steps))
        # A step that was cut short took its time too, and no service makes this go on for ever.
        self.steps_left -= max(len(found.steps), 1)
        self.steps += found.steps
        return found.steps

    def _stopped(self, tasks: int, stop: Stop, *, any_step: bool) -> None:
        """Tell why a phase ended early, where that is more than a slow step, and heed it."""
        told = (
            f"{tasks} task(s): stopped at {stop.rate_rps:.0f} requests/s, before harm: {stop.why}"
        )
        if stop.harm:
            self.harm_rps[tasks] = min(self.harm_rps.get(tasks, math.inf), stop.rate_rps)
            self.notes.append(f"{told}; nothing as high was driven again")
        elif not any_step:
            self.notes.append(told)

    # -- the CPU cost of a request, which places the steps

    def _calibrate(self, tasks: int) -> float:
        """CPU seconds a request costs, from a step at a low rate."""
        for step in self._phase(tasks, "calibrate", [self.plan.calibrate_rps]):
            if step.requests and step.cpu_pct and tasks not in self.harm_rps:
                return self._cost_of(step.cpu_pct, step.requests, tasks)
        raise MeasurementVoid(
            "The service cannot be calibrated",
            "; ".join(self.notes)
            or f"a step at {self.plan.calibrate_rps:g} requests/s brought no CPU and no requests",
            "check that the service answers: runbook run 10_deploy",
        )

    def _cost_of(self, cpu_pct: float, requests: float, tasks: int) -> float:
        return cpu_pct / 100.0 * tasks * self.share_cores * self.facts.period_s / requests

    def _learn_cost(self, done: Sequence[MeasuredStep]) -> None:
        """Busier steps tell the cost better than the calibration did: their median counts.

        Of the busiest few: what a task uses besides requests weighs on calm steps.
        """
        told = [step for step in done if step.undisturbed and step.cpu_pct and step.requests]
        told = sorted(told, key=lambda step: step.cpu_pct or 0.0)[-_COST_STEPS:]
        costs = sorted(
            self._cost_of(step.cpu_pct or 0.0, step.requests or 0.0, step.tasks) for step in told
        )
        if costs:
            self.cost_s = costs[len(costs) // 2]

    # -- telling

    def _hold(self, tasks: int) -> None:
        self._say("hold", f"holding {tasks} task(s)")
        self.rig.hold(tasks, lambda message: self._say("hold", message))

    def _say(self, phase: str, message: str) -> None:
        if self.report is not None:
            elapsed_s = self.rig.now() - self.started
            # The total is a forecast: whoever is late stays just short of it, and ends at it.
            done_s = self.total_s if phase == "restore" else min(elapsed_s, 0.99 * self.total_s)
            self.report(Progress(phase, message, done_s, self.total_s))

    def _result(self) -> LoadTest:
        return LoadTest(
            environment=self.facts.environment,
            service=self.facts.service,
            run_id=self.run_id,
            measured_at=now_utc(),
            slo_ms=self.plan.slo_ms,
            period_s=self.facts.period_s,
            task_cpu=self.facts.task_cpu,
            enforcement=self.facts.enforcement,
            host_cores=self.facts.host_cores,
            path=self.plan.path,
            cpu_s_per_request=self.cost_s,
            steps=tuple(self.steps),
            notes=tuple(self.notes),
            route_classes=self.plan.route_classes,
            folder=self.out_dir,
        )
