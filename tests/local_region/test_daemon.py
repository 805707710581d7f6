"""The region's life as a process, and what it listens on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture
def region(shared_region):
    return shared_region


def test_the_state_file_says_what_readers_rely_on(region):
    state = region.state
    assert state["pid"] == region.process.pid
    assert abs(state["process_started_at"] - psutil.Process(state["pid"]).create_time()) < 1
    assert (state["region"], state["account_id"]) == ("eu-west-1", "000000000000")
    assert state["ready"] is True
    assert state["metric_period_s"] == region.period_s
    assert state["compression"]["aws_metric_period_s"] == 60
    assert state["cpu_enforcement"]


def test_nothing_listens_beyond_loopback(region):
    # Plain sockets of every kind of the daemon and all it started.
    sockets = [c for p in region.family() for c in p.net_connections(kind="inet")]
    heard = {c.laddr.ip for c in sockets if c.laddr and not c.raddr}
    assert heard == {"127.0.0.1"}


def test_status_tells_size_and_age(region):
    status = region.status()
    assert status["pid"] == region.process.pid
    assert 20 < status["rss_mb"] < 400
    assert status["uptime_s"] > 0
    assert status["emulator"] == "ministack 1.5.33"


def test_a_taken_port_is_told_and_ends_with_2(tmp_path, start_region):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        second = start_region(tmp_path / "second", port)
        assert second.process.wait(30) == 2
    last = second.log.read_text().strip().splitlines()[-1]
    assert last.startswith(f"Port {port} is taken: process {os.getpid()} (")
    assert last.endswith("listens there; start with --port N or stop it")
    assert not (tmp_path / "second" / "state.json").exists()


def test_a_directory_in_use_is_told_and_ends_with_2(region, start_region):
    again = start_region(region.directory)
    assert again.process.wait(30) == 2
    assert f"process {region.process.pid} answers at" in region.log.read_text()
    assert region.status()["pid"] == region.process.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_within_seconds(tmp_path, start_region, number):
    made = start_region()
    made.ready()
    family = made.family()
    started_s = time.monotonic()
    assert made.stop(number) == 0
    assert time.monotonic() - started_s < 15
    assert not (tmp_path / "state.json").exists()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []


def test_a_stack_that_waits_does_not_hold_the_region_back(start_region):
    made = start_region()
    made.ready()
    container = {"Name": "a", "Image": "nowhere/none:1"}
    resources = {
        "Cluster": {"Type": "AWS::ECS::Cluster"},
        "Task": {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": {"Cpu": "256", "Memory": "512", "ContainerDefinitions": [container]},
        },
        "Service": {
            "Type": "AWS::ECS::Service",
            "Properties": {"Cluster": {"Ref": "Cluster"}, "TaskDefinition": {"Ref": "Task"}},
        },
    }
    cloudformation = made.client("cloudformation")
    template = json.dumps({"Resources": resources})
    cloudformation.create_stack(StackName="waits", TemplateBody=template)
    made.wait_for(lambda: made.status()["services"])
    started_s = time.monotonic()
    assert made.stop() == 0
    # It would wait for seven minutes.
    assert time.monotonic() - started_s < 15


def test_a_signal_during_the_start_stops_it_too(tmp_path, start_region):
    made = start_region()
    time.sleep(0.7)
    made.process.send_signal(signal.SIGTERM)
    assert made.process.wait(30) in (0, -signal.SIGTERM)
    assert not (tmp_path / "state.json").exists()


def test_after_a_kill_the_directory_and_the_port_serve_again(tmp_path, start_region):
    made = start_region()
    port = int(made.ready()["endpoint_url"].rpartition(":")[2])
    family = made.family()
    assert made.stop(signal.SIGKILL) == -signal.SIGKILL
    again = start_region(tmp_path, port)
    again.wait_for(lambda: again.ready()["pid"] == again.process.pid)
    _, alive = psutil.wait_procs(family, timeout=15)
    assert alive == []


def test_it_ends_with_the_process_it_was_started_for(tmp_path, start_region):
    owner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    try:
        made = start_region(tmp_path, 0, "--owner-pid", str(owner.pid))
        made.ready()
    finally:
        owner.kill()
    assert made.process.wait(30) == 0
    assert not (tmp_path / "state.json").exists()
    owner.wait()
