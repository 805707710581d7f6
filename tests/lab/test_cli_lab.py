"""`runbook lab`: the interface others script against."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from runbook.cli import cli
from runbook.cli.frame import writable
from runbook.errors import InputInvalid
from runbook.lab.proposal import write_proposal
from runbook.lab.rows import Rows
from runbook.stacks.template import parse

ROOT = Path(__file__).resolve().parents[2]
BASE = [
    "--history",
    str(ROOT / "examples" / "nasa_http_1995_07_5min.csv"),
    "--curve",
    str(ROOT / "examples" / "capacity_curve.json"),
    "--seeds",
    "1",
]


def run(*arguments: str) -> dict:
    result = CliRunner().invoke(cli, ["lab", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_replay_gives_the_promised_json():
    data = run("replay", *BASE, "--policy", "cpu-70-60s", "--policy", "static-peak", "--json")
    assert [item["name"] for item in data["policies"]] == ["cpu-70-60s", "static-peak"]
    promised = {
        "task_hours",
        "oracle_task_hours",
        "violating_requests_pct",
        "violating_periods",
        "longest_violation_s",
        "actions_per_day",
        "cost_usd",
    }
    assert promised <= set(data["policies"][0])
    assert {"gaps", "duplicates", "out_of_order", "scale"} <= set(data["history"])


def test_a_proposal_can_be_replayed_as_it_was_tuned(tmp_path: Path):
    out = tmp_path / "tuned.yaml"
    tuned = run("tune", *BASE, "--candidates", "30", "--out", str(out), "--json")
    content = yaml.safe_load(out.read_text())
    assert content["parameters"] == tuned["tuned"]["parameters"]
    assert "# from: policy lab" in out.read_text()
    again = run("replay", *BASE, "--policy", str(out), "--window", "test", "--json")
    for key in ("task_hours", "violating_requests_pct"):
        assert again["policies"][0][key] == pytest.approx(tuned["policies"][0][key])


def test_what_the_lab_tunes_the_scaling_stack_takes(tmp_path: Path):
    out = tmp_path / "tuned.yaml"
    run("tune", *BASE, "--candidates", "30", "--out", str(out), "--json")
    given = yaml.safe_load(out.read_text())["parameters"]
    template = (ROOT / "sceptre" / "templates" / "scaling.yaml").read_text()
    declared = parse(template)["Parameters"]
    assert given.keys() <= declared.keys()
    assert given["EcsMetricPeriodS"] in declared["EcsMetricPeriodS"]["AllowedValues"]


def test_a_period_of_20_s_is_read_from_a_file(tmp_path: Path):
    ends = {}
    for period_s in (60, 20):
        path = tmp_path / f"{period_s}.yaml"
        path.write_text(f"parameters: {{CpuTarget: 70, EcsMetricPeriodS: {period_s}}}")
        policies = ("--policy", str(path), "--policy", f"cpu-70-{period_s}s")
        written, builtin = run("replay", *BASE, *policies, "--json")["policies"]
        assert written["task_hours"] == pytest.approx(builtin["task_hours"])
        ends[period_s] = written["task_hours"]
    assert ends[60] != ends[20]


def test_what_the_project_configures_is_a_policy():
    path = ROOT / "sceptre" / "config" / "local" / "scaling.yaml"
    data = run("replay", *BASE, "--policy", str(path), "--max-tasks", "300", "--json")
    assert data["policies"][0]["peak_tasks"] > 4


def test_compare_draws(tmp_path: Path):
    plot = tmp_path / "compare.png"
    data = run("compare", *BASE, "--policy", "cpu-60-20s", "--plot", str(plot), "--json")
    unknowns = data["policies"][0]["unknowns"]
    assert unknowns["publish_20_s=0.0"] != unknowns["as assumed"]
    assert unknowns["publish_60_s=60.0"] == unknowns["as assumed"], "a policy of 20 s metrics"
    assert plot.stat().st_size > 10_000


def test_a_policy_named_twice_is_shown_once():
    data = run("replay", *BASE, *(2 * ["--policy", "static-peak"]), "--json")
    assert [item["name"] for item in data["policies"]] == ["static-peak"]


def test_the_figures_are_told_though_the_plot_cannot_be_written(tmp_path: Path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("runbook.plots.save", full)
    arguments = ["lab", "compare", *BASE, "--policy", "static-peak", "--plot", f"{tmp_path}/x.png"]
    result = CliRunner().invoke(cli, arguments)
    assert isinstance(result.exception, InputInvalid)
    assert "x.png cannot be written: No space left on device" in str(result.exception)
    assert "static-peak" in result.stdout


def test_a_plot_of_an_unknown_format_is_refused_before_anything_is_played(tmp_path: Path):
    arguments = ["lab", "compare", *BASE, "--plot", str(tmp_path / "x.txt")]
    with pytest.raises(InputInvalid, match=r"its ending '.txt' is none of .png"):
        CliRunner().invoke(cli, arguments, catch_exceptions=False)


@pytest.mark.parametrize("policy", ["cpu-700-60s", "nothing", "missing.yaml"])
def test_an_unknown_policy_is_an_error(policy: str):
    with pytest.raises(InputInvalid):
        CliRunner().invoke(
            cli, ["lab", "replay", *BASE, "--policy", policy], catch_exceptions=False
        )


@pytest.mark.parametrize("option", ["--days", "--history-out"])
def test_what_is_for_cloudwatch_is_refused_beside_a_file(option: str):
    with pytest.raises(InputInvalid, match=f"{option} is for cloudwatch:ENV"):
        CliRunner().invoke(cli, ["lab", "replay", *BASE, option, "3"], catch_exceptions=False)


def test_nonsense_ends_with_exit_code_2(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    result = subprocess.run(
        [sys.executable, "-m", "runbook", "lab", "replay", "--history", str(path), *BASE[2:]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr


def test_a_proposal_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputInvalid, match="cannot be written"):
        write_proposal(tmp_path / "file" / "scaling.yaml", "parameters: {}")


def test_files_of_one_name_are_told_apart_and_found_as_they_were_given():
    paths = [str(ROOT / "sceptre" / "config" / env / "scaling.yaml") for env in ("dev", "prod")]
    given = [option for path in paths for option in ("--policy", path)]
    data = run("replay", *BASE, *given, "--json")
    assert [item["name"] for item in data["policies"]] == ["dev/scaling", "prod/scaling"]
    assert [item["policy"] for item in data["policies"]] == paths
    alone = run("replay", *BASE, "--policy", paths[0], "--json")
    assert alone["policies"][0]["name"] == "scaling"


def test_a_compressed_file_is_stretched_and_it_is_told():
    path = ROOT / "sceptre" / "config" / "local" / "scaling.yaml"
    data = run("replay", *BASE, "--policy", str(path), "--json")
    assert "written for 10 s periods, played 6 times as long" in data["policies"][0]["told"]


def test_where_nothing_can_be_written_is_told_before_the_search(tmp_path, monkeypatch):
    def never(*_: object, **__: object) -> None:
        raise AssertionError("searched")

    monkeypatch.setattr("runbook.lab.tune.tune", never)
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "scaling.yaml"
    with pytest.raises(InputInvalid, match="no folder that can be written to"):
        CliRunner().invoke(cli, ["lab", "tune", *BASE, "--out", str(out)], catch_exceptions=False)


def test_looking_whether_a_file_can_be_written_leaves_nothing_behind(tmp_path: Path):
    writable(tmp_path / "new" / "newer" / "x.png")
    assert list(tmp_path.iterdir()) == []
    # Not even root can make a file there, though its permissions would allow it.
    with pytest.raises(InputInvalid, match="/proc is no folder that can be written to"):
        writable(Path("/proc/x.png"))


def test_times_memory_and_their_origins_are_in_the_answer():
    options = ("--startup-s", "40", "--publish-delay-s", "60", "--memory-gb", "1")
    data = run("replay", *BASE, *options, "--json")
    told = data["service"]["times"]
    assert told["startup_s"] == {"s": 40.0, "from": "given"}
    assert told["serve_s"]["from"].startswith("assumed")
    assert (data["service"]["memory_gb"], data["service"]["memory_from"]) == (1.0, "given")
    usual = run("replay", *BASE, "--json")
    assert usual["service"]["memory_from"] == "its environment's service.yaml"
    assert usual["policies"][0]["cost_usd"] < data["policies"][0]["cost_usd"]


def test_the_winner_is_given_a_range_over_the_unknowns():
    data = run("tune", *BASE, "--candidates", "20", "--json")
    low, high = data["policies"][0]["unknown_range"]["violating_requests_pct"]
    assert low <= data["policies"][0]["violating_requests_pct"] <= high
    assert low < high


def test_a_history_of_cloudwatch_is_kept_and_taken_as_it_is(tmp_path, monkeypatch):
    asked = []

    def answers(environment, days):
        asked.append((environment.name, days))
        at = pd.date_range("2026-11-20", periods=3 * 1440, freq="min", tz="UTC")
        return Rows(at, np.full(len(at), 6000.0), ("from CloudWatch",), 0)

    monkeypatch.setattr("runbook.lab.source.recorded_rows", answers)
    kept = tmp_path / "kept.csv"
    source = ["--history", "cloudwatch:dev", "--days", "3", "--history-out", str(kept)]
    now = run("replay", *source, *BASE[2:], "--json")
    assert asked == [("dev", 3)]
    assert now["history"]["scale"] == 1.0
    assert "from CloudWatch" in now["history"]["notes"]
    again = run("replay", "--history", str(kept), "--peak-tasks", "0", *BASE[2:], "--json")
    assert again["policies"] == now["policies"]
    run(
        "compare",
        *source[:4],
        *BASE[2:],
        "--policy",
        "static-peak",
        "--json",
        "--plot",
        str(tmp_path / "all.png"),
    )
    assert (tmp_path / "all.history.csv").read_text() == kept.read_text()


def test_a_policy_not_within_the_budget_later_ends_with_exit_code_1(tmp_path: Path):
    rows = ["timestamp,requests"]
    for minute in range(6 * 1440):
        surge = 10 if minute >= 3 * 1440 and minute % 60 < 3 else 1
        day, hour = 1 + minute // 1440, minute // 60 % 24
        rows.append(f"2026-05-{day:02d} {hour:02d}:{minute % 60:02d},{3000 * surge}")
    path = tmp_path / "surges.csv"
    path.write_text("\n".join(rows))
    options = ["--history", str(path), *BASE[2:], "--candidates", "20", "--json"]
    result = CliRunner().invoke(cli, ["lab", "tune", *options], catch_exceptions=False)
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert data["within_budget"] is False
    assert data["policies"][0]["violating_requests_pct"] > data["budget_pct"]
