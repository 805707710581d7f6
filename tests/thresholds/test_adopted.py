"""A proposal taken over: its numbers, its origins, what numbers cannot say, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from runbook.capacity.curve import CapacityCurve
from runbook.cli import cli
from runbook.environment import Environment, load_environment
from runbook.errors import InputInvalid
from runbook.lab.policy_file import read_policy
from runbook.lab.service import service_model
from runbook.thresholds import current_thresholds, scaling_file
from runbook.thresholds.adopted import adopt
from runbook.thresholds.beside import current_additions

ROOT = Path(__file__).resolve().parents[2]
PROPOSAL = """# A proposal of the policy lab.
parameters:
  # tasks that always run
  # from: policy lab, shop until 2026-11-01
  MinTasks: 2
  # not searched
  # from: policy lab, shop until 2026-11-01
  MaxTasks: 300
  # from: policy lab, shop until 2026-11-01
  CpuTarget: 48.5
  # from: policy lab, shop until 2026-11-01
  EcsMetricPeriodS: 20
sceptre_user_data:
  policy_lab:
    cpu_steps:
      period_s: 20
      periods: 1
      cooldown_s: 40
      steps:
      - [46.5, 12]
      - [60.5, 40]
"""


@pytest.fixture
def local(tmp_path: Path) -> Environment:
    shutil.copytree(ROOT / "sceptre" / "config", tmp_path / "sceptre" / "config")
    return load_environment("local", tmp_path)


@pytest.fixture
def path(local: Environment) -> Path:
    return scaling_file(local)


@pytest.fixture
def proposal(tmp_path: Path) -> Path:
    file = tmp_path / "scaling.proposal.yaml"
    file.write_text(PROPOSAL)
    return file


def steps_of(text: str) -> list[list[float]]:
    content = yaml.safe_load(text.replace("!stack_output", ""))
    found: list[list[float]] = content["sceptre_user_data"]["policy_lab"]["cpu_steps"]["steps"]
    return found


def test_numbers_and_steps_are_written_with_their_origin(
    local: Environment, path: Path, proposal: Path
) -> None:
    before = path.read_text()
    adopted = adopt(local, proposal, dry_run=False)
    after = path.read_text()
    there = {item.name: item for item in current_thresholds(path)}
    assert (there["CpuTarget"].value, there["EcsMetricPeriodS"].value) == (48.5, 20)
    assert there["CpuTarget"].provenance == "policy lab, shop until 2026-11-01"
    assert there["MaxTasks"].value == 4
    assert "MaxTasks" not in adopted.numbers
    assert adopted.additions == ("cpu_steps",)
    assert steps_of(after) == [[46.5, 12], [60.5, 40]]
    gone = [line for line in before.split("\n") if line not in after.split("\n")]
    assert {line.split(":")[0].strip() for line in gone if "#" not in line} == {
        "MinTasks",
        "CpuTarget",
        "EcsMetricPeriodS",
    }


def test_twice_is_once_and_a_dry_run_writes_nothing(
    local: Environment, path: Path, proposal: Path
) -> None:
    before = path.read_text()
    shown = adopt(local, proposal, dry_run=True)
    assert path.read_text() == before
    assert adopt(local, proposal, dry_run=False) == shown
    assert adopt(local, proposal, dry_run=False).diff == ""


def test_another_proposal_takes_the_first_ones_place(
    local: Environment, path: Path, proposal: Path
) -> None:
    adopt(local, proposal, dry_run=False)
    once = path.read_text()
    proposal.write_text(PROPOSAL.replace("60.5, 40", "60.5, 50"))
    adopt(local, proposal, dry_run=False)
    assert path.read_text() == once.replace("[60.5, 40]", "[60.5, 50]")
    proposal.write_text(PROPOSAL[: PROPOSAL.index("sceptre_user_data")])
    adopt(local, proposal, dry_run=False)
    assert "sceptre_user_data:" not in path.read_text()
    assert path.read_text().endswith("StoreShared\n")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("CpuTarget: 48.5", "CpuTarget: 480", "CpuTarget is 480"),
        ("cpu_steps:", "cpu_step:", "did you mean cpu_steps"),
        ("[46.5", "[146.5", "above_pct is 146.5"),
        ("parameters:", "parameters: [", "cannot be read"),
        (
            "MinTasks: 2",
            "MinTasks: 8",
            r"MaxTasks is 4; tune with your own traffic as it is \(--peak-tasks 0 --max-tasks 4",
        ),
        ("policy_lab:", "policylab:", "did you mean policy_lab"),
        ("parameters:", "template: scaling.yaml\nparameters:", "this has template, parameters"),
        ("parameters:", "x: !stack_output a::b\nparameters:", "no proposal"),
        (PROPOSAL, "# nothing\n", "one has parameters or .* this has neither; make one"),
        (PROPOSAL, "[1, 2]", "no proposal"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(
    local: Environment, path: Path, proposal: Path, old: str, new: str, why: str
) -> None:
    before = path.read_text()
    proposal.write_text(PROPOSAL.replace(old, new))
    with pytest.raises(InputInvalid, match=why):
        adopt(local, proposal, dry_run=False)
    assert path.read_text() == before


def test_a_proposal_that_keeps_what_is_there_changes_nothing(
    local: Environment, path: Path, proposal: Path
) -> None:
    proposal.write_text("# keep what you have\nparameters: {}\n")
    with pytest.raises(InputInvalid, match="keep what you have"):
        adopt(local, proposal, dry_run=False)


def test_a_schedule_beyond_the_maximum_that_stays_is_refused(
    local: Environment, proposal: Path
) -> None:
    prod = load_environment("prod", local.project)
    before = scaling_file(prod).read_text()
    text = "  policy_lab:\n    schedule: [{at: '22:00', min_tasks: 2, max_tasks: 200}]\n"
    proposal.write_text(PROPOSAL[: PROPOSAL.index("  policy_lab")] + text)
    with pytest.raises(InputInvalid, match="200 tasks in its schedule"):
        adopt(prod, proposal, dry_run=False)
    assert scaling_file(prod).read_text() == before


def test_steps_alone_are_a_proposal_and_need_fast_metrics_too(
    local: Environment, path: Path, proposal: Path
) -> None:
    proposal.write_text(PROPOSAL[PROPOSAL.index("sceptre_user_data") :])
    adopted = adopt(local, proposal, dry_run=False)
    assert (dict(adopted.numbers), adopted.fast) == ({}, True)
    assert "  # from: policy lab, scaling.proposal.yaml\n  policy_lab:" in path.read_text()


def test_a_forecast_or_a_schedule_is_none_for_the_local_region(
    local: Environment, path: Path, proposal: Path
) -> None:
    before = path.read_text()
    text = "  policy_lab:\n    schedule: [{at: '22:00', min_tasks: 2}]\n"
    text += "    predictive: {requests_per_target: 2400}\n"
    proposal.write_text(PROPOSAL[: PROPOSAL.index("  policy_lab")] + text)
    with pytest.raises(InputInvalid, match="has no forecast and no schedule"):
        adopt(local, proposal, dry_run=False)
    assert path.read_text() == before
    assert adopt(load_environment("prod", local.project), proposal, dry_run=True).diff


def test_a_higher_minimum_stays_and_is_told(local: Environment, proposal: Path) -> None:
    prod = load_environment("prod", local.project)
    text = scaling_file(prod).read_text()
    scaling_file(prod).write_text(re.sub(r"MinTasks: \d+", "MinTasks: 3", text))
    adopted = adopt(prod, proposal, dry_run=False)
    assert {item.name: item.value for item in current_thresholds(prod)}["MinTasks"] == 3
    assert "MinTasks" not in adopted.numbers
    assert any(remark.startswith("MinTasks stays 3, though 2") for remark in adopted.remarks)


def test_what_is_written_is_played_as_the_proposal_was(
    local: Environment, path: Path, proposal: Path
) -> None:
    service = service_model(CapacityCurve.load(ROOT / "examples" / "capacity_curve.json"))
    cooldowns = "  ScaleOutCooldownS: 120\n  ScaleInCooldownS: 630\n"
    proposal.write_text(PROPOSAL.replace("sceptre_user_data", cooldowns + "sceptre_user_data"))
    adopted = adopt(local, proposal, dry_run=False)
    assert any("written 6 times as short" in remark for remark in adopted.remarks)
    numbers = {item.name: item.value for item in current_thresholds(path)}
    assert (numbers["ScaleOutCooldownS"], numbers["ScaleInCooldownS"]) == (20, 105)
    asked, written = (read_policy(file, service) for file in (proposal, path))
    (cpu,) = (item.policy for item in written.tracked if item.metric == "cpu")
    assert cpu == asked.tracked[-1].policy
    assert written.stepped[-1] == asked.stepped[-1]


def test_numbers_without_an_origin_get_the_proposals_name(
    local: Environment, path: Path, proposal: Path
) -> None:
    proposal.write_text("parameters: {CpuTarget: 61, P95StepThresholdS: 0.0204}\n")
    adopt(local, proposal, dry_run=False)
    there = {item.name: item for item in current_thresholds(path)}
    assert there["P95StepThresholdS"].value == 0.0204
    assert there["CpuTarget"].provenance == "policy lab, scaling.proposal.yaml"


def test_comments_within_and_keys_behind_the_block_are_kept_apart(
    local: Environment, path: Path, proposal: Path
) -> None:
    own = "\nsceptre_user_data:\n# mine\n  policy_lab: {cpu_steps: {steps: [[70, 10]]}}\n"
    path.write_text(path.read_text() + own + "# of the next key\nstack_tags:\n  a: b\n")
    adopt(local, proposal, dry_run=False)
    text = path.read_text()
    assert "# of the next key\nstack_tags:\n  a: b\n" in text
    assert steps_of(text) == [[46.5, 12], [60.5, 40]]
    assert "[[70, 10]]" not in text


def test_a_proposal_that_is_no_text_is_refused(
    local: Environment, path: Path, proposal: Path
) -> None:
    proposal.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputInvalid, match="cannot be read"):
        adopt(local, proposal, dry_run=False)


def test_data_of_ones_own_is_not_overwritten(
    local: Environment, path: Path, proposal: Path
) -> None:
    path.write_text(path.read_text() + "\nsceptre_user_data:\n  mine: 1\n")
    with pytest.raises(InputInvalid, match="by hand"):
        adopt(local, proposal, dry_run=False)


def test_the_command_says_what_comes_next(
    path: Path, proposal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_PROJECT", str(path.parents[3]))
    dry = CliRunner().invoke(
        cli, ["lab", "adopt", str(proposal), "--dry-run", "--json"], catch_exceptions=False
    )
    data = json.loads(dry.stdout)
    assert data["next"] == "runbook change local policy service scaling"
    assert data["written"] is False
    assert data["needs"].startswith("MetricResolutionS: 20 in ")
    assert f"Next: set {data['needs']}, then {data['next']}\n" in dry.stderr
    assert data["remarks"][0].startswith("MaxTasks stays 4, and the lab played up to 300")
    assert "MaxTasks stays 4" in dry.stderr


def test_what_is_adopted_is_shown_as_configured(
    local: Environment, proposal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_PROJECT", str(local.project))
    assert "cpu_steps" not in CliRunner().invoke(cli, ["thresholds", "local"]).stdout
    adopt(local, proposal, dry_run=False)
    shown = CliRunner().invoke(cli, ["thresholds", "local"], catch_exceptions=False).stdout
    assert shown.splitlines()[-1] == (
        "cpu_steps: +12 % tasks over CPU 46.5 %, +40 % tasks over CPU 60.5 % (20 s metrics);"
        " cooldown 40 s (from: policy lab, shop until 2026-11-01)"
    )
    asked = CliRunner().invoke(cli, ["thresholds", "local", "--json"], catch_exceptions=False)
    told = {item["name"]: item for item in json.loads(asked.stdout)}
    assert told["CpuTarget"]["value"] == 48.5
    assert told["cpu_steps"]["value"]["steps"] == [[46.5, 12], [60.5, 40]]
    assert told["cpu_steps"]["words"].startswith("+12 % tasks over CPU 46.5 %")


def test_a_forecast_and_a_schedule_are_shown_as_configured(local: Environment, path: Path) -> None:
    path.write_text(
        path.read_text()
        + "\nsceptre_user_data:\n  policy_lab:\n"
        + "    predictive: {requests_per_target: 2400, buffer_s: 600}\n"
        + '    schedule: [{at: "07:30", weekdays: [0, 4], min_tasks: 3}]\n'
    )
    forecast, schedule = current_additions(path)
    assert "2400 requests per task and minute" in forecast.words
    assert schedule.words == "from 07:30 UTC Mon/Fri at least 3 tasks"
    assert (forecast.name, forecast.provenance) == ("predictive", "not stated")
    path.write_text(path.read_text().replace("schedule:", "scedule:"))
    with pytest.raises(InputInvalid, match="did you mean schedule"):
        current_additions(path)
