"""Running notebooks: what is checked before, what is recorded whatever happens."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import psutil
import pytest

from runbook.errors import InputInvalid
from runbook.runs import execute, kernel, record
from runbook.runs.report import write_run_page, write_runs_page
from runbook.runs.runner import (
    RunRequest,
    Silence,
    parse_assignments,
    plan_parameters,
    read_parameter_file,
    run_notebooks,
)

#: Anything a browser would fetch: addresses in attributes that load, and in style sheets.
FETCHED = re.compile(
    r"""(?:src|href)\s*=\s*["'](?:https?:)?//|@import|url\(\s*["']?(?:https?:)?//"""
)


class Page(HTMLParser):
    """The attributes by which a page pulls in something else."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.links: list[str] = []
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag in {"script", "link", "iframe", "object"}
        for name, value in attrs:
            if name in {"src", "srcset", "data", "poster"}:
                self.sources.append(value or "")
            if name == "href":
                self.links.append(value or "")


def offline(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    assert not FETCHED.search(text)
    page = Page(text)
    assert page.scripts == 0
    assert all(source.startswith("data:") for source in page.sources)
    assert not any("://" in link for link in page.links)
    return page


def test_an_unknown_parameter_stops_before_anything_runs(project: Path) -> None:
    with pytest.raises(InputInvalid, match="did you mean times"):
        run_notebooks(RunRequest(["passes"], "local", {"tmies": "2"}))
    assert not (project / "runs").exists()


def test_an_ill_typed_parameter_stops_before_anything_runs(project: Path) -> None:
    with pytest.raises(InputInvalid, match="Parameter times of passes is not 'many'"):
        run_notebooks(RunRequest(["raises", "passes"], "local", {"times": "many"}))
    assert not (project / "runs").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["pases"], "did you mean passes"),
        (["passes", "passes"], "named twice"),
        ([], "Nothing to run"),
        (["no_parameters"], "it has 0 cells tagged"),
    ],
)
def test_notebooks_that_cannot_be_run(project: Path, names: list[str], message: str) -> None:
    with pytest.raises(InputInvalid, match=message):
        run_notebooks(RunRequest(names, "local"))


def test_a_parameter_goes_where_it_is_declared(project: Path) -> None:
    from runbook.runs.catalogue import find_all

    notebooks = find_all(project, ["passes", "says_no"])
    request = RunRequest(
        ["passes", "says_no"],
        "dev",
        {"times": "2"},
        {"passes": {"tag": "1e5"}},
        dry_run=True,
        approve="abc",
    )
    planned = plan_parameters(request, notebooks)
    assert planned["passes"] == {
        "env": "dev",
        "dry_run": True,
        "approve": "abc",
        "times": 2,
        "tag": "1e5",
    }
    assert planned["says_no"] == {"env": "dev"}


def test_parameters_from_a_file_and_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text('times: 2\ntag: "007"\n20_load_test:\n  seed: 4\n')
    assert read_parameter_file(path) == (
        {"times": 2, "tag": "007"},
        {"20_load_test": {"seed": 4}},
    )
    assert parse_assignments(["tag=a=b", "empty="]) == {"tag": "a=b", "empty": ""}
    for texts in (["tag"], ["=1"], ["tag=1", "tag=2"]):
        with pytest.raises(InputInvalid):
            parse_assignments(texts)
    path.write_text("- 1\n")
    with pytest.raises(InputInvalid, match="no mapping"):
        read_parameter_file(path)


class Ears(Silence):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def step_started(self, number, count, notebook) -> None:  # type: ignore[no-untyped-def]
        self.heard.append(f"start {number}/{count} {notebook.name}")

    def step_ended(self, number, notebook, result) -> None:  # type: ignore[no-untyped-def]
        self.heard.append(f"end {notebook.name} {result['verdict']}")


@pytest.mark.e2e
def test_a_run_leaves_its_whole_record(project: Path) -> None:
    ears = Ears()
    request = RunRequest(["passes", "says_no", "raises"], "local", {"tag": "2024.10"})
    outcome = run_notebooks(request, ears)
    assert (outcome.verdict, outcome.exit_code) == ("fail", 1)
    assert ears.heard == [
        "start 1/3 passes",
        "end passes pass",
        "start 2/3 says_no",
        "end says_no fail",
    ], "a run stops after the first that does not pass"
    passed = outcome.run_dir / "passes"
    assert {item.name for item in passed.iterdir()} == {
        "notebook.ipynb",
        "report.html",
        "result.json",
        "review.json",
        "figures",
        "tables",
    } - {"review.json"}
    result = record.read_json(passed / "result.json")
    assert result["parameters"]["tag"] == "2024.10"
    assert result["metrics"] == {"times": {"value": 1, "unit": "1"}}
    assert [item["path"] for item in result["artifacts"]] == [
        "tables/times.csv",
        "figures/line.png",
    ]
    page = offline(passed / "report.html")
    assert page.sources
    text = (passed / "report.html").read_text()
    assert "counted 1 with 2024.10" in text
    assert "It went &lt;well&gt; &amp; fine." in text
    assert 'alt="A rising line"' in text
    assert "<details" in text
    offline(outcome.run_dir / "says_no" / "report.html")
    no = (outcome.run_dir / "says_no" / "report.html").read_text()
    assert "p95 was 31 ms" in no
    assert "Traceback" not in no
    index = offline(outcome.run_dir / "index.html")
    assert "passes/report.html" in index.links
    assert all((outcome.run_dir / link).is_file() for link in index.links)
    assert json.loads((outcome.run_dir / "run.json").read_text())["exit_code"] == 1
    over_all = write_runs_page(project / "runs")
    assert f"local/{outcome.run_dir.name}/index.html" in offline(over_all).links


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("name", "verdict", "words"),
    [
        ("raises", "error", "ZeroDivisionError"),
        ("raises_own_error", "error", "The cup is empty: nobody filled it; fill it"),
        ("exits", "error", "SystemExit: 0"),
        ("forgets_result", "error", "ended without calling run.finish()"),
        ("kernel_dies", "error", "Kernel died"),
    ],
)
def test_each_failure_ends_with_a_verdict_and_a_sentence(
    project: Path, name: str, verdict: str, words: str
) -> None:
    outcome = run_notebooks(RunRequest([name], "local"))
    assert (outcome.verdict, outcome.exit_code) == (verdict, 2)
    result = record.read_json(outcome.run_dir / name / "result.json")
    assert words in result["findings"][0]["text"]
    assert words in (outcome.run_dir / name / "report.html").read_text().replace("&#39;", "'")


@pytest.mark.e2e
def test_a_cell_that_takes_too_long_is_ended_with_its_children(
    project: Path, tmp_path: Path
) -> None:
    request = RunRequest(["never_ends"], "local", {"marks": str(tmp_path)}, cell_timeout_s=10)
    outcome = run_notebooks(request)
    assert outcome.verdict == "error"
    result = record.read_json(outcome.run_dir / "never_ends" / "result.json")
    assert "CellTimeoutError" in result["findings"][0]["text"]
    assert not psutil.pid_exists(int((tmp_path / "child").read_text()))


SIGNALLED = """
import signal, sys
from runbook.errors import Stopped
from runbook.runs.runner import RunRequest, run_notebooks

def stop(*_):
    raise Stopped

signal.signal(signal.SIGTERM, stop)
# Started in the background of a shell, the test inherits an ignored SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    run_notebooks(RunRequest(["never_ends"], "local", {"marks": sys.argv[1]}))
except (Stopped, KeyboardInterrupt):
    sys.exit(7)
"""


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_kernel_and_children_and_leaves_a_record(
    project: Path, tmp_path: Path, number: int
) -> None:
    process = subprocess.Popen([sys.executable, "-c", SIGNALLED, str(tmp_path)])
    deadline = time.monotonic() + 60
    while not (tmp_path / "waits").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2
    os.kill(process.pid, number)
    assert process.wait(40) == 7
    assert (tmp_path / "tidied").exists(), "the cell's finally block ran"
    _, alive = psutil.wait_procs(family, timeout=15)
    assert not alive
    (run_dir,) = record.run_dirs(project / "runs")
    assert record.read_json(run_dir / "run.json")["verdict"] == "error"
    assert (run_dir / "index.html").is_file()


@pytest.mark.parametrize("when", ["before it starts", "while it starts"])
def test_a_kernel_that_had_not_started_when_the_run_was_stopped_executes_nothing(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def stop(*_: object) -> None:
        if when == "while it starts":
            while not kernel.OwnKernelManager.running:
                time.sleep(0.01)
        raise execute.Stopped

    monkeypatch.setattr(execute, "_note_family", stop)
    with pytest.raises(execute.Stopped):
        run_notebooks(RunRequest(["never_ends"], "local", {"marks": str(tmp_path)}))
    assert not (tmp_path / "child").exists()
    assert kernel.OwnKernelManager.running == []
    commands = [" ".join(item.cmdline()) for item in psutil.Process().children(recursive=True)]
    assert not any("ipykernel" in command for command in commands)
    (run_dir,) = record.run_dirs(project / "runs")
    assert record.read_json(run_dir / "run.json")["verdict"] == "error"


@pytest.mark.e2e
def test_plain_papermill_gives_the_same_result(project: Path, tmp_path: Path) -> None:
    def papermill(name: str) -> int:
        command = [sys.executable, "-m", "papermill", f"notebooks/{name}.ipynb"]
        return subprocess.run(
            [*command, str(tmp_path / "out.ipynb"), "-p", "env", "local", "--no-progress-bar"],
            cwd=project,
            check=False,
            capture_output=True,
        ).returncode

    assert papermill("passes") == 0
    assert papermill("says_no") == 1
    verdicts = [
        record.read_json(path)["verdict"]
        for run_dir in reversed(record.run_dirs(project / "runs"))
        for path in run_dir.glob("*/result.json")
    ]
    assert sorted(verdicts) == ["fail", "pass"]
    write_run_page(record.run_dirs(project / "runs")[0])
