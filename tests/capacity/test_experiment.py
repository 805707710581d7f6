"""The load-test protocol on a simulated rig: it adapts, stops, repeats, retries and records."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from runbook.capacity.experiment import ExperimentPlan, conduct, forecast, kinds_of
from runbook.capacity.fit import fit_curve
from runbook.capacity.measured import LoadTest
from runbook.capacity.rig import Facts
from runbook.capacity.sample import samples_of
from runbook.environment import Environment
from runbook.errors import InputInvalid, MeasurementVoid
from runbook.load import schedule
from runbook.load.measurement import Progress, RawLoad, step_stats
from runbook.load.plan import LoadPlan
from runbook.load.recording import DriverRun, read_results, write_results

PERIOD_S = 10
FACTS = Facts("local", "web", PERIOD_S, 256, "cgroup-v2-quota", 2, 0.0)


@dataclass
class SimulatedRig:
    """Serves load on a SimulatedService; its clock moves only by what it does.

    `busy_cores(rate)` lets a test make the host the limit; metrics of the periods in
    `unpublished` (numbers of the steps driven) never come. Half of what is asked in segments
    above `refuses_above_rps` is refused at once (503). `slow_s(number)`: for so many seconds of
    a step, from its third on, answers take 35 ms more: too slow, but no harm.
    """

    service: Any
    facts: Facts = FACTS
    busy_cores: Callable[[float, int], float] = lambda rate, number: 0.6
    unpublished: frozenset[int] = frozenset()
    refuses_above_rps: float = float("inf")
    slow_s: Callable[[int], float] = lambda number: 0.0
    clock: float = 1_700_000_000.0
    held: list[int] = field(default_factory=list)
    phases: list[list[float]] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    rows: dict[datetime, dict[str, float]] = field(default_factory=dict)

    def hold(self, tasks: int, on_wait: Callable[[str], None]) -> None:
        self.held.append(tasks)
        self.service = replace(self.service, tasks=tasks)
        self.clock += 3.0

    def now(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def metrics(self, start: datetime, end: datetime) -> pd.DataFrame:
        rows = {time: row for time, row in self.rows.items() if start <= time < end}
        columns = ["requests", "trt_p50_ms", "trt_p95_ms", "trt_p99_ms", "cpu_pct"]
        columns += ["throttled_pct", "host_busy_cores"]
        frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float)
        frame.index = pd.DatetimeIndex(frame.index, tz="UTC")
        return frame

    def drive(
        self,
        segments: Sequence[schedule.Segment],
        *,
        seed: int,
        start_at_epoch_s: float,
        folder: Path,
        on_event: Callable[[dict[str, Any]], bool | None],
    ) -> DriverRun:
        assert (start_at_epoch_s + segments[0].duration_s) % PERIOD_S == pytest.approx(0)
        self.seeds.append(seed)
        self.phases.append([segment.mean_rps for segment in segments[1:]])
        intended = schedule.arrivals(segments, seed=seed)
        done, throttled = self.service.serve(intended, seed)
        edges = np.cumsum([0.0, *(segment.duration_s for segment in segments)])
        stats, last = [], edges[-1]
        status = np.full(len(intended), 200, dtype=np.int16)
        asked = np.array([segment.mean_rps for segment in segments])
        segment = np.clip(np.searchsorted(edges, intended, "right") - 1, 0, len(asked) - 1)
        refused = (asked[segment] > self.refuses_above_rps) & (np.arange(len(intended)) % 2 == 0)
        before = sum(len(rates) for rates in self.phases[:-1])
        for number, start in enumerate(edges[1:-1], start=1):
            until = start + 2.0 + self.slow_s(before + number)
            done = done + 0.035 * ((intended >= start + 2.0) & (intended < until))
        status[refused] = 503
        done = np.where(refused, intended + 0.0005, done)
        raw = RawLoad(intended, intended + 0.0001, done + 0.0004, status)
        for number, (start, end) in enumerate(itertools.pairwise(edges.tolist())):
            stats.append(
                step_stats(
                    raw,
                    start,
                    end,
                    label="",
                    rate_rps=segments[number].mean_rps,
                    driver_cpu_cores=0.03,
                    host_busy_cores=0.5,
                )
            )
            self._publish(raw, number, start, end, start_at_epoch_s, throttled)
            if on_event({"event": "step", "step": number, **stats[-1].to_dict()}):
                last = end
                break
        self.clock = start_at_epoch_s + float(last) + 0.5
        plan = LoadPlan("http://simulated/", tuple(segments), seed=seed)
        write_results(
            folder,
            plan,
            raw.between(0, float(last)),
            stats,
            started_at_epoch_s=start_at_epoch_s,
            interrupted=bool(last < edges[-1]),
            connections_opened=8,
            cpu_s=0.1,
        )
        return read_results(folder)

    def _publish(
        self, raw: RawLoad, number: int, start: float, end: float, epoch: float, throttled: float
    ) -> None:
        steps_before = sum(len(rates) for rates in self.phases[:-1])
        if number == 0 or steps_before + number in self.unpublished:
            return
        part = raw.between(start, end)
        trt = (part.done_s - part.intended_s) * 1000 - 0.4
        p50, p95, p99 = np.percentile(trt, [50, 95, 99], method="inverted_cdf")
        served = int(((raw.done_s >= start) & (raw.done_s < end)).sum())
        cpu = served / PERIOD_S * self.service.cpu_s / self.service.tasks / self.service.share
        self.rows[datetime.fromtimestamp(epoch + start, UTC)] = {
            "requests": served,
            "trt_p50_ms": p50,
            "trt_p95_ms": p95,
            "trt_p99_ms": p99,
            "cpu_pct": 100 * cpu + 2.0,
            "throttled_pct": max(throttled, 10.0),
            "host_busy_cores": self.busy_cores(len(part) / (end - start), number),
        }


@pytest.fixture
def rig(simulated_service) -> SimulatedRig:
    return SimulatedRig(simulated_service())


def test_it_finds_the_capacity_of_both_task_counts_within_its_budget(
    rig: SimulatedRig, tmp_path: Path
) -> None:
    plan = ExperimentPlan()
    test = conduct(rig, plan, tmp_path, run_id="r1")
    assert rig.held == [1, 3]
    assert sum(len(rates) for rates in rig.phases) * PERIOD_S <= plan.load_budget_s
    assert all(step.valid for step in test.steps)
    assert LoadTest.load(tmp_path / "load_test.json") == test
    curve = fit_curve(test, resamples=200)
    assert curve.count(1).c_slo_per_task_rps == pytest.approx(74.5, rel=0.08)
    assert curve.count(3).c_slo_per_task_rps == pytest.approx(89.0, rel=0.05)
    for count in curve.counts:
        assert count.blocks >= 20


def test_every_phase_rises_and_has_its_own_seed(rig: SimulatedRig, tmp_path: Path) -> None:
    conduct(rig, ExperimentPlan(task_counts=(1,), load_budget_s=110), tmp_path, run_id="r1")
    assert all(rates == sorted(rates) for rates in rig.phases)
    assert len(set(rig.seeds)) == len(rig.seeds)


@pytest.mark.parametrize("cost", [0.0008, 0.006])
def test_it_adapts_to_what_a_request_costs(rig: SimulatedRig, tmp_path: Path, cost: float) -> None:
    rig.service = replace(rig.service, cpu_s=cost)
    plan = ExperimentPlan(task_counts=(1,), load_budget_s=110)
    test = conduct(rig, plan, tmp_path, run_id="r1")
    assert test.cpu_s_per_request == pytest.approx(cost, rel=0.15)
    count = fit_curve(test, resamples=50).count(1)
    assert 0.4 < count.knee_utilisation < 0.95
    assert not count.censored


def test_a_phase_stops_before_harm_and_the_saved_steps_become_repeats(
    rig: SimulatedRig, tmp_path: Path
) -> None:
    plan = ExperimentPlan(task_counts=(1,), load_budget_s=110, harm_factor=0.4)
    test = conduct(rig, plan, tmp_path, run_id="r1")
    sweep = [step for step in test.steps if step.phase == "sweep"]
    planned = rig.phases[1]
    assert len(sweep) < len(planned)
    # One step calibrated, five were planned for the sweep, so five were left for repeats.
    assert len(rig.phases[2]) == 5 + len(planned) - len(sweep)
    assert all((step.client.p95_ms or 0) <= 8 for step in sweep[:-1])


def test_a_rate_that_is_refused_is_not_driven_again_nor_anything_higher(
    rig: SimulatedRig, tmp_path: Path
) -> None:
    rig.refuses_above_rps = 55.0
    plan = ExperimentPlan(task_counts=(1,), load_budget_s=110)
    test = conduct(rig, plan, tmp_path, run_id="r1")
    harmful = [step.rate_rps for step in test.steps if step.client.failures]
    # What is left between calm and harm is approached once more, from below.
    assert harmful == sorted(harmful, reverse=True)
    assert len(harmful) == 2
    assert all(max(rates) < harmful[0] for rates in rig.phases[2:])
    assert all(max(rates) < harmful[1] for rates in rig.phases[3:])
    assert any("requests failed; nothing as high was driven again" in n for n in test.notes)
    with pytest.raises(MeasurementVoid, match="requests failed"):
        fit_curve(test, resamples=50)


def test_a_service_that_refuses_all_ends_the_test_at_its_first_step(
    rig: SimulatedRig, tmp_path: Path
) -> None:
    rig.refuses_above_rps = 0.0
    with pytest.raises(MeasurementVoid, match=r"stopped at 20 requests/s.*requests failed"):
        conduct(rig, ExperimentPlan(), tmp_path, run_id="r1")
    assert rig.phases == [[20.0]]


def test_one_slow_step_does_not_end_a_phase_and_a_second_one_does(
    rig: SimulatedRig, tmp_path: Path
) -> None:
    plan = ExperimentPlan(task_counts=(1,), load_budget_s=110, sweep_steps=7, stop_factor=0.3)
    test = conduct(rig, plan, tmp_path, run_id="r1")
    slow = [step for step in test.steps if step.phase == "sweep" and step.client.p95_ms > 6]
    assert len(slow) == 2
    assert len([step for step in test.steps if step.phase == "sweep"]) < 7


def test_void_steps_near_the_crossing_are_driven_once_more(
    rig: SimulatedRig, tmp_path: Path
) -> None:
    def busy(rate: float, number: int) -> float:
        # The host is disturbed during the sweep's last steps, and calm afterwards.
        return 1.6 if len(rig.phases) == 2 and rate > 68 else 0.6

    rig.busy_cores = busy
    plan = ExperimentPlan(task_counts=(1,), load_budget_s=110)
    test = conduct(rig, plan, tmp_path, run_id="r1")
    assert [step for step in test.steps if step.phase == "retry"]
    void = [step for step in test.steps if not step.valid]
    assert void
    assert all("the host was the limit" in (step.void_reason or "") for step in void)
    assert any("driven once more" in note for note in test.notes)


def test_a_step_disturbed_for_long_is_driven_once_more_and_does_not_count(
    rig: SimulatedRig, tmp_path: Path
) -> None:
    rig.slow_s = lambda number: 4.0 if number == 9 else 0.0
    plan = ExperimentPlan(task_counts=(1,), load_budget_s=110)
    test = conduct(rig, plan, tmp_path, run_id="r1")
    (disturbed,) = [step for step in test.steps if not step.undisturbed]
    assert disturbed is test.steps[8]
    assert disturbed.disturbance.startswith("disturbed for 4.0 of 10.0 s (2.0 to 6.0 s)")
    (again,) = [step for step in test.steps if step.phase == "retry"]
    assert again.rate_rps == pytest.approx(disturbed.rate_rps)
    assert [item.reason for item in fit_curve(test, resamples=50).count(1).void] == [
        disturbed.disturbance
    ]
    told = test.findings()
    assert told[0].startswith("11 of 12 steps count")
    assert told[1].endswith(f"{disturbed.disturbance}; void unless such steps recur")
    assert test.frame()["void_reason"][8] == disturbed.disturbance


def test_a_load_test_that_is_mostly_void_warns(rig: SimulatedRig, tmp_path: Path) -> None:
    test = conduct(rig, ExperimentPlan(task_counts=(1,), load_budget_s=110), tmp_path, run_id="r1")
    count = len(test.steps)
    for void in (0, count // 2, count // 2 + 1, count):
        steps = tuple(
            replace(step, void_reason="late" if number < void else None)
            for number, step in enumerate(test.steps)
        )
        voided = replace(test, steps=steps)
        assert voided.void == (void == count)
        warned = voided.warnings()
        assert [text.partition(":")[0] for text in warned] == (
            [f"{void} of {count} steps are void"] if 2 * void > count else []
        )


def test_what_disturbs_steps_for_long_and_recurs_counts(rig: SimulatedRig, tmp_path: Path) -> None:
    """The two that are disturbed for a second only would be no recurrence by themselves."""
    slow_s = {2: 4.0, 3: 1.0, 4: 4.0, 7: 4.0, 8: 4.0, 9: 1.0}
    rig.slow_s = lambda number: slow_s.get(number, 0.0)
    plan = ExperimentPlan(task_counts=(1,), load_budget_s=110)
    test = conduct(rig, plan, tmp_path, run_id="r1")
    long = [number for number, step in enumerate(test.steps, 1) if step.disturbance]
    assert long == [2, 4, 7, 8]
    found = samples_of(test)
    assert len(found) == len(test.steps) == 13
    assert not any(sample.void or sample.dropped for sample in found)
    for number in slow_s:
        note = "6 of 13 steps have slow stretches that their load does not explain: they recur"
        assert note in found[number - 1].note
    assert all((found[number - 1].latency_ms > 20).mean() > 0.3 for number in long)
    # A file of before has the reason where those are that void a step for good.
    path = tmp_path / "load_test.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for step in content["steps"]:
        step["void_reason"] = step.pop("disturbance") or step["void_reason"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert LoadTest.load(path) == test


def test_a_period_that_was_never_published_is_void(rig: SimulatedRig, tmp_path: Path) -> None:
    rig.unpublished = frozenset({3})
    plan = ExperimentPlan(task_counts=(1,), load_budget_s=110)
    test = conduct(rig, plan, tmp_path, run_id="r1")
    assert test.steps[2].void_reason == "no response time was published for this period"


def test_a_service_without_metrics_cannot_be_calibrated(rig: SimulatedRig, tmp_path: Path) -> None:
    rig.unpublished = frozenset({1})
    with pytest.raises(MeasurementVoid, match="cannot be calibrated"):
        conduct(rig, ExperimentPlan(), tmp_path, run_id="r1")


def test_progress_rises_to_its_total(rig: SimulatedRig, tmp_path: Path) -> None:
    seen: list[Progress] = []
    plan = ExperimentPlan(task_counts=(1,), load_budget_s=110)
    conduct(rig, plan, tmp_path, run_id="r1", on_progress=seen.append)
    done = [item.done_s for item in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1].total_s


def test_plans_that_cannot_work_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="at least one count"):
        ExperimentPlan(task_counts=())
    with pytest.raises(InputInvalid, match="give load_budget_s of at least 90 s"):
        ExperimentPlan(load_budget_s=60).steps_in_all(10)
    environment = Environment("local", "shop", "eu-west-1", "", 10, tmp_path, tmp_path)
    lines = forecast(environment, ExperimentPlan(load_budget_s=185))
    assert any("suspend scaling" in line for line in lines)
    assert any("at most 18 steps of 10 s" in line for line in lines)


def test_a_mix_of_requests_is_said_and_brings_its_users(tmp_path) -> None:
    (tmp_path / "mix.py").write_text(
        "KINDS = [dict(name='a', path='/a'), dict(name='b', path='/b')]"
    )
    plan = ExperimentPlan(kinds=kinds_of(str(tmp_path / "mix.py")), users=3)
    assert plan.requested == "a mix of a, b"
    assert plan.accounts.count == 3
    assert kinds_of("") == ()
    assert ExperimentPlan().requested == "GET /products"
