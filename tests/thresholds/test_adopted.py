"""A proposal taken over: its numbers, its origins, what numbers cannot say, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from runbook.cli import cli
from runbook.errors import InputInvalid
from runbook.thresholds import current_thresholds
from runbook.thresholds.adopted import adopt

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
def path(tmp_path: Path) -> Path:
    file = tmp_path / "sceptre" / "config" / "local" / "scaling.yaml"
    file.parent.mkdir(parents=True)
    shutil.copy(ROOT / "sceptre" / "config" / "local" / "scaling.yaml", file)
    return file


@pytest.fixture
def proposal(tmp_path: Path) -> Path:
    file = tmp_path / "scaling.proposal.yaml"
    file.write_text(PROPOSAL)
    return file


def steps_of(text: str) -> list[list[float]]:
    content = yaml.safe_load(text.replace("!stack_output", ""))
    found: list[list[float]] = content["sceptre_user_data"]["policy_lab"]["cpu_steps"]["steps"]
    return found


def test_numbers_and_steps_are_written_with_their_origin(path: Path, proposal: Path) -> None:
    before = path.read_text()
    adopted = adopt(path, proposal, dry_run=False)
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


def test_twice_is_once_and_a_dry_run_writes_nothing(path: Path, proposal: Path) -> None:
    before = path.read_text()
    shown = adopt(path, proposal, dry_run=True)
    assert path.read_text() == before
    assert adopt(path, proposal, dry_run=False) == shown
    assert adopt(path, proposal, dry_run=False).diff == ""


def test_another_proposal_takes_the_first_ones_place(path: Path, proposal: Path) -> None:
    adopt(path, proposal, dry_run=False)
    once = path.read_text()
    proposal.write_text(PROPOSAL.replace("60.5, 40", "60.5, 50"))
    adopt(path, proposal, dry_run=False)
    assert path.read_text() == once.replace("[60.5, 40]", "[60.5, 50]")
    proposal.write_text(PROPOSAL[: PROPOSAL.index("sceptre_user_data")])
    adopt(path, proposal, dry_run=False)
    assert "sceptre_user_data:" not in path.read_text()
    assert path.read_text().endswith("StoreShared\n")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("CpuTarget: 48.5", "CpuTarget: 480", "CpuTarget is 480"),
        ("cpu_steps:", "cpu_step:", "did you mean cpu_steps"),
        ("[46.5", "[146.5", "above_pct is 146.5"),
        ("parameters:", "parameters: [", "no proposal"),
        ("MinTasks: 2", "MinTasks: 8", "its MaxTasks is 4; tune with your own traffic"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(
    path: Path, proposal: Path, old: str, new: str, why: str
) -> None:
    before = path.read_text()
    proposal.write_text(PROPOSAL.replace(old, new))
    with pytest.raises(InputInvalid, match=why):
        adopt(path, proposal, dry_run=False)
    assert path.read_text() == before


def test_a_proposal_that_keeps_what_is_there_changes_nothing(path: Path, proposal: Path) -> None:
    proposal.write_text("# keep what you have\nparameters: {}\n")
    with pytest.raises(InputInvalid, match="keep what you have"):
        adopt(path, proposal, dry_run=False)


def test_a_schedule_beyond_the_maximum_that_stays_is_refused(path: Path, proposal: Path) -> None:
    before = path.read_text()
    text = "  policy_lab:\n    schedule: [{at: '22:00', min_tasks: 2, max_tasks: 200}]\n"
    proposal.write_text(PROPOSAL[: PROPOSAL.index("  policy_lab")] + text)
    with pytest.raises(InputInvalid, match="200 tasks in its schedule"):
        adopt(path, proposal, dry_run=False)
    assert path.read_text() == before


def test_steps_alone_are_a_proposal_and_need_fast_metrics_too(path: Path, proposal: Path) -> None:
    proposal.write_text(PROPOSAL[PROPOSAL.index("sceptre_user_data") :])
    adopted = adopt(path, proposal, dry_run=False)
    assert (dict(adopted.numbers), adopted.fast) == ({}, True)
    assert "  # from: policy lab, scaling.proposal.yaml\n  policy_lab:" in path.read_text()


def test_numbers_without_an_origin_get_the_proposals_name(path: Path, proposal: Path) -> None:
    proposal.write_text("parameters: {P95StepThresholdS: 0.0204, CpuTarget: 61}\n")
    adopt(path, proposal, dry_run=False)
    there = {item.name: item for item in current_thresholds(path)}
    assert there["P95StepThresholdS"].value == 0.0204
    assert there["CpuTarget"].provenance == "policy lab, scaling.proposal.yaml"


def test_comments_within_and_keys_behind_the_block_are_kept_apart(
    path: Path, proposal: Path
) -> None:
    own = "\nsceptre_user_data:\n# mine\n  policy_lab: {cpu_steps: {steps: [[70, 10]]}}\n"
    path.write_text(path.read_text() + own + "# of the next key\nstack_tags:\n  a: b\n")
    adopt(path, proposal, dry_run=False)
    text = path.read_text()
    assert "# of the next key\nstack_tags:\n  a: b\n" in text
    assert steps_of(text) == [[46.5, 12], [60.5, 40]]
    assert "[[70, 10]]" not in text


def test_a_proposal_that_is_no_text_is_refused(path: Path, proposal: Path) -> None:
    proposal.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputInvalid, match="cannot be read"):
        adopt(path, proposal, dry_run=False)


def test_data_of_ones_own_is_not_overwritten(path: Path, proposal: Path) -> None:
    path.write_text(path.read_text() + "\nsceptre_user_data:\n  mine: 1\n")
    with pytest.raises(InputInvalid, match="by hand"):
        adopt(path, proposal, dry_run=False)


def test_the_command_says_what_comes_next(
    path: Path, proposal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = path.parents[1]
    shutil.copytree(ROOT / "sceptre" / "config", config, dirs_exist_ok=True)
    monkeypatch.setenv("RUNBOOK_PROJECT", str(config.parents[1]))
    dry = CliRunner().invoke(
        cli, ["lab", "adopt", str(proposal), "--dry-run", "--json"], catch_exceptions=False
    )
    data = json.loads(dry.stdout)
    assert data["next"] == "runbook change local metrics service"
    assert data["written"] is False
    assert "set MetricResolutionS: 20" in dry.stderr
