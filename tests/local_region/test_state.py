import json
import os
import time

import psutil
import pytest

from local_region import state
from local_region.errors import DirectoryOwned


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "region"


def written(pid, started_at):
    return {"pid": pid, "process_started_at": started_at, "endpoint_url": "http://127.0.0.1:1"}


def this_state(pid):
    return state.State(
        pid=pid,
        process_started_at=state.process_started_at(pid),
        endpoint_url="http://127.0.0.1:4566",
        region="eu-west-1",
        account_id="000000000000",
        started_at=state.iso(0.0),
        metric_period_s=10,
        cpu_enforcement="duty-cycle",
        log="region.log",
    )


def test_a_new_directory_is_made_with_its_places(folder):
    state.take_ownership(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["envoy", "images", "tasks", "volumes"]


def test_a_live_owner_keeps_its_directory(folder):
    folder.mkdir()
    parent = os.getppid()
    found = written(parent, psutil.Process(parent).create_time())
    (folder / "state.json").write_text(json.dumps(found))
    with pytest.raises(DirectoryOwned, match=f"process {parent} answers at http://127.0.0.1:1"):
        state.take_ownership(folder)
    assert (folder / "state.json").exists()


@pytest.mark.parametrize(
    "found",
    [
        {"pid": os.getppid(), "process_started_at": 1.0},  # its pid was given to another
        {"pid": 2**22 + 1, "process_started_at": time.time()},
        {"pid": "x"},
        {},
    ],
)
def test_what_a_dead_owner_left_is_taken_over(folder, found):
    folder.mkdir()
    (folder / "state.json").write_text(json.dumps(found))
    state.take_ownership(folder)
    assert not (folder / "state.json").exists()


def test_a_garbled_file_is_taken_over(folder):
    folder.mkdir()
    (folder / "state.json").write_text("{")
    state.take_ownership(folder)
    assert not (folder / "state.json").exists()


def test_what_is_written_is_what_readers_expect(folder):
    state.take_ownership(folder)
    state.write(folder, this_state(os.getpid()))
    content = json.loads((folder / "state.json").read_text())
    assert content["schema_version"] == 1
    assert content["ready"] is True
    assert content["started_at"] == "1970-01-01T00:00:00.000+00:00"
    assert abs(content["process_started_at"] - psutil.Process().create_time()) < 1
    assert [p.name for p in folder.glob(".state*")] == []


def test_only_ones_own_file_is_removed(folder):
    state.take_ownership(folder)
    state.write(folder, this_state(os.getppid()))
    state.remove(folder)
    assert (folder / "state.json").exists()
    state.write(folder, this_state(os.getpid()))
    state.remove(folder)
    state.remove(folder)
    assert not (folder / "state.json").exists()
