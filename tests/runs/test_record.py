"""The run record: ids, folders, the latest run, the summary."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from runbook.errors import InputInvalid
from runbook.runs import record
from runbook.runs.result import Artifact, Finding, Result


def result(run_dir: Path, notebook: str, verdict: str) -> None:
    made = Result(notebook, "local", run_dir.name, "abc", {"env": "local"})
    made.findings.append(Finding("note", "seen"))
    made.artifacts.append(Artifact("figure", "figures/x.png", "X", True))
    folder = run_dir / notebook
    folder.mkdir(parents=True)
    made.write(folder, verdict, "next")


def test_run_ids_sort_by_time_and_differ() -> None:
    moment = datetime(2026, 11, 23, 19, 45, tzinfo=UTC)
    ids = {record.new_run_id(moment) for _ in range(50)}
    assert len(ids) > 45
    assert all(item.startswith("20261123T194500Z-") for item in ids)


def test_a_result_has_the_promised_fields(tmp_path: Path) -> None:
    result(tmp_path / "r", "20_load_test", "pass")
    content = record.read_json(tmp_path / "r" / "20_load_test" / "result.json")
    assert set(content) == {
        "schema_version",
        "notebook",
        "env",
        "run_id",
        "commit",
        "started_at",
        "finished_at",
        "duration_s",
        "parameters",
        "context",
        "verdict",
        "findings",
        "metrics",
        "artifacts",
        "next",
    }
    assert content["started_at"].endswith("Z")


def test_the_latest_run_with_a_file_is_found(tmp_path: Path) -> None:
    for name in ("20260101T000000Z-aaaa", "20260102T000000Z-aaaa", "20260103T000000Z-aaaa"):
        (tmp_path / "local" / name / "20_load_test").mkdir(parents=True)
    wanted = tmp_path / "local" / "20260102T000000Z-aaaa" / "20_load_test" / "load_test.json"
    wanted.touch()
    assert record.latest_with(tmp_path, "local", "20_load_test/load_test.json") == wanted
    with pytest.raises(InputInvalid, match="runbook run 20_load_test --env dev"):
        record.latest_with(tmp_path, "dev", "20_load_test/load_test.json")


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["pass", "no_change"], "pass"),
        (["no_change"], "no_change"),
        (["pass", "fail", "no_change"], "fail"),
        (["fail", "error"], "error"),
        ([], "error"),
    ],
)
def test_a_run_is_as_good_as_its_worst_notebook(verdicts: list[str], expected: str) -> None:
    assert record.worst(verdicts) == expected


def test_the_summary_gathers_results_and_keeps_facts(tmp_path: Path) -> None:
    run_dir = tmp_path / "local" / "20260101T000000Z-aaaa"
    result(run_dir, "00_preflight", "pass")
    record.summarise(run_dir, command="runbook run")
    result(run_dir, "10_deploy", "fail")
    summary = record.summarise(run_dir)
    assert summary["command"] == "runbook run"
    assert (summary["verdict"], summary["exit_code"], summary["env"]) == ("fail", 1, "local")
    assert [item["notebook"] for item in summary["notebooks"]] == ["00_preflight", "10_deploy"]
    assert record.read_json(run_dir / "run.json") == summary


def test_garbled_json_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    assert record.read_json(tmp_path / "run.json") == {}


def test_outside_of_git_there_is_no_commit(tmp_path: Path) -> None:
    assert record.commit(tmp_path) == ""
