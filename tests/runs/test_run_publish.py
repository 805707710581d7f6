"""`runbook run --publish`: however a run ends, its record is sent, and the exit code tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from runbook.cli import cli
from runbook.cli import runs as commands
from runbook.errors import AwsCallFailed, Stopped
from runbook.runs import publish, record
from runbook.runs.publish import Publication
from runbook.runs.runner import RunOutcome, RunRequest


@pytest.fixture
def sent(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The run folders that were published."""
    found: list[Path] = []

    def plan(environment: Any, run_dir: Path, bucket: str) -> Publication:
        found.append(run_dir)
        return Publication(run_dir.name, environment.name, bucket, ())

    monkeypatch.setenv(publish.BUCKET_VARIABLE, "reports")
    monkeypatch.setattr(publish, "plan", plan)
    monkeypatch.setattr(publish, "send", lambda environment, planned: None)
    return found


def ending(monkeypatch: pytest.MonkeyPatch, how: str | BaseException) -> None:
    """Make every run end so, with its record written."""

    def run(request: RunRequest, listener: Any, project: Path) -> RunOutcome:
        assert request.run_dir is not None
        verdict = how if isinstance(how, str) else "error"
        summary = record.summarise(request.run_dir, verdict=verdict)
        if isinstance(how, BaseException):
            raise how
        return RunOutcome(request.run_dir, verdict, summary)

    monkeypatch.setattr(commands, "run_notebooks", run)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["run", *arguments, "--env", "dev", "--publish"])


@pytest.mark.parametrize(("verdict", "code"), [("pass", 0), ("fail", 1), ("error", 2)])
def test_every_verdict_is_published(
    sent: list[Path], monkeypatch: pytest.MonkeyPatch, verdict: str, code: int
) -> None:
    ending(monkeypatch, verdict)
    done = run("passes")
    assert done.exit_code == code
    assert [path.parent.name for path in sent] == ["dev"]
    assert f"s3://reports/dev/{sent[0].name}/whole.html" in done.stderr
    assert "X-Amz" not in done.output


def test_a_run_that_is_stopped_is_published(
    sent: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ending(monkeypatch, Stopped())
    with pytest.raises(Stopped):
        run("passes")
    assert len(sent) == 1


def test_what_cannot_be_published_is_an_error(
    sent: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(environment: Any, planned: Any) -> None:
        raise AwsCallFailed("The bucket reports refused", "AccessDenied", "ask for rights")

    monkeypatch.setattr(publish, "send", refuse)
    ending(monkeypatch, "pass")
    done = run("passes")
    assert done.exit_code == 2
    assert "the run is not published: The bucket reports refused" in done.stderr


def test_what_never_ran_leaves_nothing(sent: list[Path], project: Path) -> None:
    assert run("passes", "-p", "no_such_parameter=1").exception is not None
    assert sent == []
    assert list((project / "runs").glob("dev/*")) == []
