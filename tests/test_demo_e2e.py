"""The demo as a process: stopped at any moment, nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from runbook.runs import record

PROJECT = Path(__file__).parent.parent
_MARK = "RUNBOOK_TEST_MARK"


class Demo:
    """`runbook demo` with its talk in a file, and everything it ever started."""

    def __init__(self, folder: Path) -> None:
        self.runs, self.talk, self.mark = folder / "runs", folder / "talk", str(folder)
        self.seen: set[psutil.Process] = set()
        with self.talk.open("wb") as stream, _ctrl_c_is_heard():
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runbook", "demo", "--runs", str(self.runs)],
                cwd=PROJECT,
                stdout=subprocess.DEVNULL,
                stderr=stream,
                env={**os.environ, _MARK: self.mark},
            )

    def wait_for(self, words: str, timeout_s: float = 150.0) -> None:
        deadline = time.monotonic() + timeout_s
        while words not in self.talk.read_text():
            assert self.process.poll() is None, self.talk.read_text()
            assert time.monotonic() < deadline, self.talk.read_text()
            self.look()
            time.sleep(0.1)

    def look(self) -> None:
        """Remember the family and whoever carries its mark."""
        self.seen.update(psutil.Process(self.process.pid).children(recursive=True))

    def left(self) -> list[psutil.Process]:
        """What still runs, by kinship or by mark."""
        _, alive = psutil.wait_procs(list(self.seen), timeout=15)
        marked = [item for item in psutil.process_iter() if self._is_marked(item)]
        return [*alive, *marked]

    def _is_marked(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(_MARK) == self.mark
        except psutil.Error:
            return False


@contextlib.contextmanager
def _ctrl_c_is_heard() -> Iterator[None]:
    """Tests started in the background of a shell, and their children, would ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    started = Demo(tmp_path)
    yield started
    for process in [*started.left(), started.process]:
        if process.is_running() if isinstance(process, psutil.Process) else not process.poll():
            process.kill()
    started.process.wait(10)


@pytest.mark.scenario
@pytest.mark.timeout(420)
@pytest.mark.parametrize(
    ("words", "number", "code"),
    [
        ("Run ", signal.SIGINT, 130),
        ("10_deploy", signal.SIGINT, 130),
        ("20_load_test", signal.SIGTERM, 143),
    ],
)
def test_stopped_at_any_moment_nothing_is_left(
    demo: Demo, words: str, number: int, code: int
) -> None:
    before = _status()
    demo.wait_for(words)
    if words == "20_load_test":
        # Into the load itself: driver, tasks and balancer are all at work.
        demo.wait_for("sweep:")
    demo.look()
    os.kill(demo.process.pid, number)
    assert demo.process.wait(60) == code
    assert "Stopped." in demo.talk.read_text()
    assert demo.left() == []
    assert _status() == before
    for run_dir in record.run_dirs(demo.runs):
        summary = record.read_json(run_dir / "run.json")
        assert summary.get("verdict", "error") == "error"


def _status() -> str:
    done = subprocess.run(
        ["git", "status", "--porcelain", "sceptre", "notebooks", "runs", "data"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
