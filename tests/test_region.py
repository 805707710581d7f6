"""The local region's handle: live, stale, garbled and failing states."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from runbook import region
from runbook.errors import LocalRegionFailed, LocalRegionNotRunning


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNBOOK_LOCAL_REGION_DIR", str(tmp_path))
    return tmp_path


def write_state(folder: Path, **changes: object) -> None:
    content = {
        "schema_version": 1,
        "pid": os.getpid(),
        "process_started_at": psutil.Process().create_time(),
        "endpoint_url": "http://127.0.0.1:9",
        "region": "eu-west-1",
        "account_id": "000000000000",
        "ready": True,
        "metric_period_s": 10,
        "cpu_enforcement": "duty-cycle",
        **changes,
    }
    (folder / "state.json").write_text(json.dumps(content))


def test_a_live_region_is_recognised(folder: Path) -> None:
    write_state(folder)
    state = region.require_running()
    assert state.endpoint_url == "http://127.0.0.1:9"
    assert region.environment_variables()["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9"


def test_a_pid_given_to_another_process_is_stale(folder: Path) -> None:
    write_state(folder, process_started_at=1.0)
    with pytest.raises(LocalRegionNotRunning, match="is gone; start it: runbook local up"):
        region.require_running()
    assert region.down() is False


def test_a_region_still_starting_is_not_running(folder: Path) -> None:
    write_state(folder, ready=False)
    with pytest.raises(LocalRegionNotRunning, match="still starting"):
        region.require_running()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"pid": 1}'])
def test_a_garbled_state_file_counts_as_none(folder: Path, content: str) -> None:
    (folder / "state.json").write_text(content)
    assert region.read_state() is None
    with pytest.raises(LocalRegionNotRunning, match="holds no state"):
        region.require_running()


def test_status_of_a_region_that_does_not_answer(folder: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        write_state(folder, endpoint_url=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(LocalRegionNotRunning, match="does not answer"):
            region.status()


def test_down_ends_exactly_that_process(folder: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    write_state(folder, pid=child.pid, process_started_at=psutil.Process(child.pid).create_time())
    assert region.down() is True
    child.poll()
    assert not psutil.pid_exists(child.pid)


def test_a_region_that_cannot_start_says_why_and_leaves_nothing(folder: Path) -> None:
    before = set(psutil.Process().children())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalRegionFailed, match=rf"Port {port} is taken"):
            region.up(port, timeout_s=30)
    left = set(psutil.Process().children()) - before
    assert not [child for child in left if child.status() != psutil.STATUS_ZOMBIE]
