"""The notebook's study: thresholds recommended and configured beside what the search found."""

from pathlib import Path

import pytest

from runbook.capacity.curve import CapacityCurve
from runbook.errors import InputInvalid
from runbook.lab.builtin import builtin
from runbook.lab.history import read_history
from runbook.lab.policy_file import read_policy
from runbook.lab.service import ServiceModel
from runbook.lab.study import CONFIGURED, RECOMMENDED, study
from runbook.lab.words import words

ROOT = Path(__file__).resolve().parents[2]
NASA = ROOT / "examples" / "nasa_http_1995_07_5min.csv"
LOCAL = ROOT / "sceptre" / "config" / "local" / "scaling.yaml"


def test_recommended_thresholds_replace_those_configured_and_both_are_reported(
    curve: CapacityCurve,
) -> None:
    found = study(
        curve,
        read_history(NASA),
        current=LOCAL,
        recommended={"CpuTarget": 31.0, "RequestsPerTarget": 4321.0},
        candidates=20,
        baselines=("cpu-50-60s",),
    )
    rows = found.table().set_index("policy")
    assert {RECOMMENDED, CONFIGURED, "cpu-50-60s"} <= set(rows.index)
    meaning = found.meanings().set_index("policy")["what it does"]
    assert "4321 requests per task and minute" in meaning[RECOMMENDED]
    assert "CPU 31 %" in meaning[RECOMMENDED]
    assert "4321" not in meaning[CONFIGURED]
    assert rows["task-hours"][RECOMMENDED] > rows["task-hours"][CONFIGURED]
    assert [policy.name for policy in found.policies] == list(rows.index)
    ranges = found.ranges().set_index("policy")
    assert set(ranges.index) == {found.policies[0].name, RECOMMENDED, CONFIGURED}
    shown = rows["violating requests %"][RECOMMENDED]
    assert ranges["violating requests %, least"][RECOMMENDED] <= shown + 0.01
    assert ranges["violating requests %, most"][RECOMMENDED] >= shown - 0.01
    assert set(found.unknowns().columns) == {"unknown at another value", *ranges.index}
    assert found.verdicts()[0].startswith(f"the thresholds {RECOMMENDED} would have had")


def test_compressed_cooldowns_are_played_as_long_as_in_aws(
    service: ServiceModel, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "scaling.yaml"
    elsewhere.write_text(LOCAL.read_text())
    (as_written,) = {t.policy.scale_out_cooldown_s for t in read_policy(elsewhere, service).tracked}
    compressed = read_policy(LOCAL, service)
    assert {t.policy.scale_out_cooldown_s for t in compressed.tracked} == {6.0 * as_written}
    assert {t.alarms.period_s for t in compressed.tracked} == {60}
    assert "written for 10 s periods, played 6 times as long" in words(compressed)
    elsewhere.write_text("parameters: {CpuTarget: 70, ScaleOutCooldownS: 20, MetricPeriodS: 10}")
    alone = read_policy(elsewhere, service).tracked[0]
    assert (alone.policy.scale_out_cooldown_s, alone.alarms.period_s) == (120.0, 60)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cpu-70-20s", "holds CPU 70 %, 20 s metrics; cooldowns 300 s out, 300 s in"),
        ("static-peak", "always 30 tasks"),
    ],
)
def test_policies_are_said_in_words(service: ServiceModel, name: str, said: str) -> None:
    assert words(builtin(name, service, peak_tasks=30, max_tasks=300)) == said


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cpu70-60s", "did you mean cpu-70-60s?"),
        ("cpu-70", "did you mean cpu-70-60s?"),
        ("cpu-700-60s", "give a percentage of CPU from 1 to 100"),
        ("cpu-0-60s", "give a percentage of CPU from 1 to 100"),
        ("predictiv", "did you mean predictive?"),
        ("static.yaml", "name one of them, or give a scaling.yaml"),
        ("nothing", "name one of them, or give a scaling.yaml"),
    ],
)
def test_a_name_that_is_none_is_told_what_may_be_meant(
    service: ServiceModel, name: str, hint: str
) -> None:
    with pytest.raises(InputInvalid) as caught:
        builtin(name, service, peak_tasks=30, max_tasks=300)
    assert caught.value.next_step == hint


def test_what_adds_to_target_tracking_is_said_too(service: ServiceModel) -> None:
    for name, said in (
        ("step-p95", "+10 % tasks over p95"),
        ("scheduled", "from 07:00 UTC at least 18 tasks"),
        ("predictive", "never under what an hourly forecast needs"),
    ):
        assert said in words(builtin(name, service, peak_tasks=30, max_tasks=300))
