"""What a notebook's cells talk to, without a notebook: gate, inputs, results, errors."""

from pathlib import Path

import pytest

from runbook.errors import ApprovalMissing, InputInvalid
from runbook.runs import begin, record
from runbook.runs.checks import Check, group, tree
from runbook.runs.session import NotebookRun, PreflightFailed, VerdictFailed
from runbook.stacks.changesets import Change
from runbook.stacks.diff import LayerDiff
from runbook.stacks.review import LayerReview, Review

DIFF = LayerDiff("", (), ())
REVIEW = Review(
    "dev",
    (
        LayerReview(
            "data",
            "shop-dev-data",
            "update",
            (Change("Store", "AWS::S3::Bucket", "Modify", "True"),),
            DIFF,
        ),
    ),
    "a" * 64,
)


def start(project: Path, **parameters: object) -> NotebookRun:
    names = {"env": "local", "run_dir": "", "dry_run": False, "approve": "", **parameters}
    return begin("passes", names)


def content(run: NotebookRun) -> dict:
    return record.read_json(run.folder / "result.json")


def test_without_a_run_dir_a_run_is_made(project: Path) -> None:
    run = start(project)
    assert run.folder.parent.parent == project / "runs" / "local"
    run.finish("runbook list")
    assert content(run)["verdict"] == "pass"
    assert content(run)["next"] == "runbook list"
    assert record.read_json(run.dir / "run.json")["verdict"] == "pass"


def test_parameters_are_those_the_notebook_declares(project: Path) -> None:
    run = start(project, times=3, secret="not declared")
    assert run.result.parameters["times"] == 3
    assert "secret" not in run.result.parameters


def test_a_dry_run_ends_after_the_plan(project: Path) -> None:
    run = start(project, dry_run=True)
    run.plan(["send 3 requests"])
    run.gate()
    assert (run.go, run.stopped) == (False, "dry run")
    run.finish()
    assert content(run)["verdict"] == "no_change"


def test_local_opens_its_own_gate(project: Path) -> None:
    run = start(project)
    run.plan(["send 3 requests"])
    run.gate()
    assert run.go


def test_elsewhere_a_gate_stays_closed_without_the_digest(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start(project, env="dev")
    run.plan(["send 3 requests"])
    digest = capsys.readouterr().out.rpartition("Digest ")[2].strip()
    run.gate()
    assert (run.go, run.stopped) == (False, "not approved")
    with pytest.raises(VerdictFailed, match=f"--approve {digest}"):
        run.finish()
    assert content(run)["verdict"] == "fail"

    again = start(project, env="dev", approve=digest)
    again.plan(["send 3 requests"])
    again.gate()
    assert again.go
    changed = start(project, env="dev", approve=digest)
    changed.plan(["send 4 requests"])
    changed.gate()
    assert not changed.go


def test_the_command_that_goes_on_has_the_same_parameters(project: Path) -> None:
    run = start(project, env="dev", times=3, tag="a b")
    run.plan(Review("dev", REVIEW.layers, "c" * 64))
    run.gate()
    with pytest.raises(VerdictFailed):
        run.finish()
    assert content(run)["next"] == (
        f"runbook run passes --env dev -p times=3 -p 'tag=a b' --approve {'c' * 16}"
    )


def test_an_empty_review_is_no_change(project: Path) -> None:
    run = start(project, env="dev")
    run.plan(Review("dev", (), "b" * 64))
    run.gate()
    run.finish()
    assert not run.go
    assert not run.approved
    assert content(run)["verdict"] == "no_change"


def test_an_input_comes_from_this_run_or_the_latest(project: Path) -> None:
    run = start(project)
    with pytest.raises(InputInvalid, match=r"No 20_load_test/load_test\.json found"):
        run.input("20_load_test", "load_test.json")
    old = project / "runs" / "local" / "20200101T000000Z-aaaa" / "20_load_test"
    old.mkdir(parents=True)
    (old / "load_test.json").touch()
    assert run.input("20_load_test", "load_test.json").parent == old
    assert "earlier run 20200101T000000Z-aaaa" in run.result.findings[0].text
    own = run.dir / "20_load_test"
    own.mkdir()
    (own / "load_test.json").touch()
    assert run.input("20_load_test", "load_test.json").parent == own


def test_errors_leave_a_result_and_the_cell_may_be_run_again(project: Path) -> None:
    run = start(project)
    run.after_cell(ZeroDivisionError("division by zero"))
    assert content(run)["verdict"] == "error"
    assert "ZeroDivisionError: division by zero" in content(run)["findings"][0]["text"]
    run.after_cell(ApprovalMissing("It would lose data", "Store", "review again"))
    assert (content(run)["verdict"], content(run)["next"]) == ("fail", "review again")
    run.finish()
    assert content(run)["verdict"] == "pass"
    run.after_cell(ZeroDivisionError("later"))
    assert content(run)["verdict"] == "pass"


def test_preflight_stops_or_reports(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = group(
        "stacks", [Check("network", "OK", "CREATE_COMPLETE"), Check("data", "NG", "not deployed")]
    )
    run = start(project)
    run.preflight(group("machine", [Check("git", "OK")]))
    with pytest.raises(PreflightFailed, match="data: not deployed"):
        run.preflight(bad)
    assert "  [NG] data: not deployed" in capsys.readouterr().out
    run.preflight(bad, required=False)
    assert run.result.failed


def test_a_branch_of_skips_is_skipped() -> None:
    skipped = group("stacks", [Check("network", "SKIP"), Check("data", "SKIP")])
    assert skipped.mark == "SKIP"
    assert skipped.ok
    assert tree([skipped]).splitlines() == ["[SKIP] stacks", "  [SKIP] network", "  [SKIP] data"]


def test_numbers_that_are_none_do_not_spoil_the_json(project: Path) -> None:
    run = start(project)
    run.metric("p95", float("nan"), "ms")
    run.finish()
    assert content(run)["metrics"]["p95"] == {"value": None, "unit": "ms"}
