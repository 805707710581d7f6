import json
import subprocess
import sys

import pytest

from local_region.children import ChildRegistry

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); "
    "time.sleep(60)",
]


@pytest.fixture
def spawn():
    processes = []

    def start(command):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_later_region_ends_what_an_earlier_one_left(tmp_path, spawn):
    child = spawn(SLEEP)
    ChildRegistry(tmp_path).add(child.pid, "task 1")
    assert ChildRegistry(tmp_path).end_leftovers() == [f"task 1 (process {child.pid})"]
    child.wait(5)
    assert ChildRegistry(tmp_path).end_leftovers() == []


def test_a_process_that_only_has_the_same_pid_is_left_alone(tmp_path, spawn):
    child = spawn(SLEEP)
    (tmp_path / "children.json").write_text(json.dumps({str(child.pid): [1.0, "task 1"]}))
    assert ChildRegistry(tmp_path).end_leftovers() == []
    assert child.poll() is None


def test_one_that_ignores_sigterm_is_killed(tmp_path, spawn):
    child = spawn(STUBBORN)
    child.stdout.readline()
    registry = ChildRegistry(tmp_path)
    registry.add(child.pid, "envoy")
    assert registry.end_all(timeout_s=0.2) == [f"envoy (process {child.pid})"]
    assert child.wait(5) == -9
    assert not (tmp_path / "children.json").exists()


def test_what_has_ended_is_forgotten(tmp_path, spawn):
    child = spawn(SLEEP)
    registry = ChildRegistry(tmp_path)
    registry.add(child.pid, "task 1")
    registry.discard(child.pid)
    assert json.loads((tmp_path / "children.json").read_text()) == {}
    assert registry.end_all() == []
    assert child.poll() is None


def test_a_process_that_is_gone_already_is_not_remembered(tmp_path, spawn):
    child = spawn([sys.executable, "-c", "pass"])
    child.wait()
    registry = ChildRegistry(tmp_path)
    registry.add(child.pid, "task 1")
    assert registry.end_all() == []
