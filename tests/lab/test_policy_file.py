"""Policies in files: what is read, what is refused and how it is said."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from runbook.capacity.curve import CapacityCurve
from runbook.errors import InputInvalid
from runbook.lab.history import History
from runbook.lab.policy_file import read_policy
from runbook.lab.policy_numbers import METRIC_PERIODS_S, NUMBERS, UNPLAYED
from runbook.lab.replay import replay
from runbook.lab.service import ServiceModel, service_model
from runbook.stacks.template import parse

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, parameters: str, extra: str = "{}") -> Path:
    path = folder / "mine.yaml"
    path.write_text(f"parameters: {parameters}\nsceptre_user_data: {{policy_lab: {extra}}}\n")
    return path


def test_names_and_ranges_are_those_of_the_scaling_stack() -> None:
    declared = parse((ROOT / "sceptre/templates/scaling.yaml").read_text())["Parameters"]
    assert {*NUMBERS, *UNPLAYED} == set(declared)
    assert declared["MetricPeriodS"]["AllowedValues"] == [*METRIC_PERIODS_S]
    for name, (low, high) in NUMBERS.items():
        given = declared[name]
        if "AllowedValues" in given:
            assert (low, high) == (min(given["AllowedValues"]), max(given["AllowedValues"]))
        elif name != "MinTasks":  # the stack can have no task at all, the lab cannot
            assert low == given.get("MinValue")
            assert high == given.get("MaxValue", float("inf"))


@pytest.mark.parametrize(
    ("parameters", "extra", "why"),
    [
        ("{CpuTarget: 70, MinTasks: .inf}", "{}", "MinTasks is inf"),
        ("{CpuTarget: 70, MinTasks: 1.5}", "{}", "MinTasks is 1.5; give a whole number"),
        ("{CpuTarget: 300}", "{}", "CpuTarget is 300; give a number from 1 to 100"),
        ("{CpuTarget: true}", "{}", "CpuTarget is True"),
        ("{CpuTarget: }", "{}", "CpuTarget is None"),
        ("{CpuTarget: 70, StepAdjustment: 0}", "{}", "StepAdjustment is 0"),
        ("{CpuTarget: 70, StepDatapointsToAlarm: 4, StepAdjustment: 1}", "{}", "refused"),
        ("{CpuTargt: 70}", "{}", "unknown 'CpuTargt'; did you mean CpuTarget?"),
        ("[1]", "{}", "parameters is no mapping"),
        ("{MinTasks: 2}", "{}", "it has no CpuTarget, RequestsPerTarget or StepAdjustment"),
        ("{CpuTarget: 70}", "{predictve: {}}", "did you mean predictive?"),
        ("{CpuTarget: 70, StepCooldownS: 60.5}", "{}", "StepCooldownS is 60.5; give a whole"),
        ("{CpuTarget: 70}", "{cpu_steps: {steps: []}}", "steps is \\[\\]; give 1 to 20 pairs"),
        ("{CpuTarget: 70}", "{cpu_steps: {steps: [[70, 0]]}}", "add_pct is 0"),
        ("{CpuTarget: 70}", "{cpu_steps: {stps: [[70, 1]]}}", "did you mean steps?"),
        ("{CpuTarget: 70}", "{cpu_steps_in: {steps: [[40, 101]]}}", "remove_pct is 101"),
        ("{CpuTarget: 70}", "{cpu_steps_in: {steps: [40]}}", "pairs \\[below_pct, remove_pct\\]"),
        ("{CpuTarget: 70}", "{predictive: {utilisation: 0.8}}", "unknown 'utilisation'"),
        (
            "{CpuTarget: 70}",
            "{predictive: {requests_per_target: 0}}",
            "predictive.requests_per_target is 0; give a number of 1 or more",
        ),
        (
            "{CpuTarget: 70}",
            "{predictive: {requests_per_target: 3000, buffer_s: 1e9}}",
            "buffer_s is '1e9'; give a whole number from 0 to 3599",
        ),
        ("{CpuTarget: 70}", "{schedule: [{at: '7', min_tasks: 1}]}", "at is '7'"),
        (
            "{CpuTarget: 70}",
            "{schedule: [{at: '07:00', min_tasks: abc}]}",
            "schedule: min_tasks is 'abc'",
        ),
        (
            "{CpuTarget: 70}",
            "{schedule: [{at: '07:00', weekdays: 7, max_tasks: 3}]}",
            "weekdays is 7",
        ),
        ("{CpuTarget: 70}", "{schedule: 7}", "schedule is no list"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    tmp_path: Path, service: ServiceModel, parameters: str, extra: str, why: str
) -> None:
    with pytest.raises(InputInvalid, match=why):
        read_policy(write(tmp_path, parameters, extra), service)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("policy_lab", "policylab"),
        ("policy_lab", "policy-lab"),
        ("sceptre_user_data", "sceptre_userdata"),
        ("parameters", "parameter"),
    ],
)
def test_a_misspelt_section_is_not_ignored(
    tmp_path: Path, service: ServiceModel, old: str, new: str
) -> None:
    path = write(tmp_path, "{CpuTarget: 70}", "{predictive: {requests_per_target: 3000}}")
    path.write_text(path.read_text().replace(f"{old}:", f"{new}:"))
    with pytest.raises(InputInvalid, match=f"the unknown '{new}'; did you mean {old}?"):
        read_policy(path, service)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("policy_lab: {cpu_steps: {}}", "policy_lab stands at the top; let it stand below"),
        ("user_data: {policy_lab: {}}", "policy_lab stands below user_data; let it"),
        ("sceptre_user_data: {lab: {cpu_steps: {}}}", "'lab'; did you mean policy_lab"),
    ],
)
def test_a_misplaced_one_neither(
    tmp_path: Path, service: ServiceModel, text: str, why: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"parameters: {{CpuTarget: 70}}\n{text}\n")
    with pytest.raises(InputInvalid, match=why):
        read_policy(path, service)


def test_data_of_ones_own_may_stand_beside_it(tmp_path: Path, service: ServiceModel) -> None:
    path = tmp_path / "mine.yaml"
    data = "{policy: gold, policy_label: x, lambda: {schedules: []}}"
    path.write_text(f"parameters: {{CpuTarget: 70}}\nsceptre_user_data: {data}\n")
    assert read_policy(path, service).stepped == ()


def test_a_metric_period_is_one_that_the_stack_takes(tmp_path: Path, service: ServiceModel) -> None:
    for wrong in (0, -5, 61):
        path = write(tmp_path, f"{{CpuTarget: 70, MetricPeriodS: {wrong}}}")
        with pytest.raises(InputInvalid, match=f"MetricPeriodS is {wrong}; give one of 10, 20"):
            read_policy(path, service)


def test_numbers_that_yaml_reads_as_text_are_numbers(tmp_path: Path, service: ServiceModel) -> None:
    path = write(tmp_path, "{CpuTarget: '70', MaxTasks: 3e1}", "{}")
    policy = read_policy(path, service)
    assert (policy.tracked[0].policy.target, policy.max_tasks) == (70.0, 30)


def test_steps_or_a_forecast_alone_are_a_policy(
    tmp_path: Path, service: ServiceModel, days: History
) -> None:
    stepped = read_policy(write(tmp_path, "{StepAdjustment: 2, MaxTasks: 40}"), service)
    forecast = read_policy(
        write(tmp_path, "{MaxTasks: 40}", "{predictive: {requests_per_target: 2500}}"), service
    )
    assert (stepped.tracked, forecast.tracked) == ((), ())
    only_out, from_forecast = replay([stepped, forecast], days, service, seeds=1)
    assert only_out.peak_tasks > 5
    assert only_out.actions_per_day > 0
    assert from_forecast.peak_tasks > 5


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"c_slo_per_task_rps": "80"}, "c_slo_per_task_rps is '80', not above 0"),
        ({"c_slo_per_task_rps": float("inf")}, "c_slo_per_task_rps is inf"),
        ({"lo_per_task_rps": None}, "lo_per_task_rps is None"),
        ({"cpu_s_per_request": 0.0}, "cpu_s_per_request is 0.0"),
        ({"cpu_idle_pct": "a"}, "cpu_idle_pct is 'a'"),
    ],
)
def test_a_curve_that_cannot_be_is_refused(
    curve: CapacityCurve, change: dict[str, Any], why: str
) -> None:
    first = dataclasses.replace(curve.counts[0], **change)
    with pytest.raises(InputInvalid, match=why):
        service_model(dataclasses.replace(curve, counts=(first, *curve.counts[1:])))


def test_a_curve_needs_an_slo_and_each_count_once(curve: CapacityCurve) -> None:
    with pytest.raises(InputInvalid, match="slo_ms 0"):
        service_model(dataclasses.replace(curve, slo_ms=0))
    with pytest.raises(InputInvalid, match="comes twice"):
        service_model(dataclasses.replace(curve, counts=curve.counts[:1] * 2))
