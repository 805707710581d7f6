"""A run told on the terminal: steps, time left, findings; quiet where nobody watches."""

import io
from pathlib import Path

import pytest

from runbook.runs import console, record
from runbook.runs.catalogue import Notebook
from runbook.runs.console import Console, expected_durations
from runbook.runs.progress import Report
from runbook.runs.result import Result

FIRST = Notebook("20_load_test", Path("x"), "Load test", {}, ())
SECOND = Notebook("30_analyse", Path("x"), "Analyse", {}, ())
NAMES = [FIRST.name, SECOND.name]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_steps_say_which_of_how_many_and_how_long() -> None:
    stream = io.StringIO()
    told = Console(NAMES, {"20_load_test": 240.0, "30_analyse": 60.0}, stream)
    told.step_started(1, 2, FIRST)
    told.step_ended(1, FIRST, {"verdict": "pass", "findings": []})
    told.step_started(2, 2, SECOND)
    findings = [{"level": "fail", "text": "too slow"}, {"level": "ok", "text": "fine"}]
    told.step_ended(2, SECOND, {"verdict": "fail", "findings": findings})
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[1/2] 20_load_test: Load test (about 5 min left)"
    assert lines[1].startswith("      ok after 0.0 s")
    assert lines[2] == "[2/2] 30_analyse: Analyse (about 60 s left)"
    assert lines[3].startswith("      FAILED after")
    assert lines[4:] == ["      fail: too slow"]


def test_on_a_terminal_progress_overwrites_its_line() -> None:
    stream = Terminal()
    told = Console(NAMES, {"30_analyse": 60.0}, stream)
    told.step_started(1, 2, FIRST)
    told.step_progressed(1, FIRST, Report("45 rps on 3 tasks", 60.0, 240.0))
    assert stream.getvalue().endswith("\r\x1b[2K      45 rps on 3 tasks (about 4 min left)")


def test_without_a_terminal_progress_is_told_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    told = Console(NAMES, {}, stream)
    told.step_started(1, 2, FIRST)
    for second in range(60):
        clock[0] = float(second)
        told.step_progressed(1, FIRST, Report(f"step {second // 15}"))
    lines = stream.getvalue().splitlines()[1:]
    assert lines == ["      step 1", "      step 2"]


def test_durations_of_passed_notebooks_are_expected_again(tmp_path: Path) -> None:
    for name, verdict in (("20260101T000000Z-aaaa", "pass"), ("20260102T000000Z-aaaa", "fail")):
        folder = tmp_path / "local" / name / FIRST.name
        folder.mkdir(parents=True)
        Result(FIRST.name, "local", name, "", {}).write(folder, verdict, "")
        record.summarise(folder.parent)
    assert list(expected_durations(tmp_path, "local")) == [FIRST.name]
    assert expected_durations(tmp_path, "dev") == {}
