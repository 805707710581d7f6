"""The demo around the notebooks: its own region and copy, and nothing left however it ends."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runbook import demo
from runbook.runs import record
from runbook.runs.runner import RunOutcome, RunRequest


class World:
    """What the demo asked of region and runner; `run` may be replaced."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.request: RunRequest | None = None
        self.region_dir = ""
        self.error: BaseException | None = None
        self.verdict, self.next = "pass", ""

    def up(self, port: int, *, owner_pid: int) -> Any:
        assert owner_pid == os.getpid()
        self.happened.append("up")
        self.region_dir = os.environ["RUNBOOK_LOCAL_REGION_DIR"]
        self.endpoint = os.environ.get("AWS_ENDPOINT_URL")
        return SimpleNamespace(endpoint_url=f"http://127.0.0.1:{port}")

    def down(self) -> bool:
        self.happened.append("down")
        self.ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        return True

    def run(self, request: RunRequest, listener: Any, project: Path) -> RunOutcome:
        self.happened.append("run")
        self.request = request
        if self.error:
            raise self.error
        assert request.run_dir is not None
        tables = request.run_dir / "30_analyse" / "tables"
        tables.mkdir(parents=True)
        (tables / "thresholds.csv").write_text("threshold,before,after\nCpuTarget,70,55\n")
        scaling = Path(request.parameters["sceptre_dir"]) / "config" / "local" / "scaling.yaml"
        scaling.write_text(scaling.read_text().replace("70", "55"))
        facts = {"verdict": self.verdict, "duration_s": 3.0, "next": self.next}
        return RunOutcome(request.run_dir, self.verdict, record.summarise(request.run_dir, **facts))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    config = root / "sceptre" / "config" / "local"
    config.mkdir(parents=True)
    (config / "scaling.yaml").write_text("# why\nCpuTarget: 70\n")
    monkeypatch.setenv("RUNBOOK_PROJECT", str(root))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    return root


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(demo.region, "up", made.up)
    monkeypatch.setattr(demo.region, "down", made.down)
    monkeypatch.setattr(demo, "run_notebooks", made.run)
    return made


def test_it_works_on_a_copy_with_a_region_of_its_own(
    project: Path, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = demo.run_demo(port=45)
    assert world.happened == ["up", "run", "down"]
    assert Path(world.region_dir).parent == outcome.run_dir
    assert world.endpoint is None, "an endpoint the shell exports is not the demo's"
    assert os.environ["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert "RUNBOOK_LOCAL_REGION_DIR" not in os.environ
    assert (project / "sceptre/config/local/scaling.yaml").read_text().endswith("70\n")
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "threshold  before  after",
        "CpuTarget  70      55",
        "",
        str(outcome.run_dir / "index.html"),
    ]
    assert "-CpuTarget: 70\n+CpuTarget: 55" in captured.err
    assert "Verdict: pass." in captured.err
    assert list(outcome.summary["phases"]) == [
        "start the local region",
        "stop the local region",
        "everything",
    ]
    assert (project / "runs" / "index.html").is_file()


@pytest.mark.parametrize(
    ("following", "told"),
    [
        (
            "end what else runs, then run the load test again: runbook run 20_load_test",
            "end what else runs, then run the load test again: make demo",
        ),
        ("read the report", "read the report"),
    ],
)
def test_what_to_do_next_does_not_need_the_region_that_is_gone(
    project: Path, world: World, following: str, told: str
) -> None:
    world.verdict, world.next = "error", following
    outcome = demo.run_demo(port=45)
    assert outcome.summary["next"] == told
    assert outcome.verdict == "error"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("boom")])
def test_however_it_ends_the_region_goes(project: Path, world: World, error: BaseException) -> None:
    world.error = error
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(type(error)):
        demo.run_demo(port=45)
    assert world.happened == ["up", "run", "down"]
    assert world.ignored, "a second Ctrl-C cannot stop the stopping"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_taken_port_is_said_and_another_one_used(
    project: Path, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setattr(demo.region, "DEFAULT_PORT", taken)
        demo.run_demo()
    told = capsys.readouterr().err
    assert f"Port {taken} is taken by another program; using " in told
    assert f"answers at http://127.0.0.1:{taken}." not in told


def test_parameters_reach_the_notebooks(project: Path, world: World) -> None:
    demo.run_demo(port=45, parameters={"load_budget_s": "60"})
    assert world.request is not None
    assert world.request.parameters["load_budget_s"] == "60"
