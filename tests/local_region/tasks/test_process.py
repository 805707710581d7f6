"""The task host as a process: what it starts, what it tells, what it takes with it."""

from __future__ import annotations

import os
import signal
import sys
import time

import psutil
import pytest

from local_region.children import ChildRegistry
from local_region.errors import DataPlaneFailed
from local_region.tasks import cpu_share
from local_region.tasks.process import ProcessSpec, TaskHost

pytestmark = pytest.mark.e2e
SLEEP = "import time; time.sleep(60)"
IGNORE = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); "
    "time.sleep(60)"
)
BUSY = "import threading\ndef f():\n while True: pass\nthreading.Thread(target=f).start()\nf()"


class Session:
    def __init__(self, directory):
        self.directory, self.events = directory, []
        self.children = ChildRegistry(directory)
        self.host = TaskHost(self.children, directory / "host.log")
        self.host.subscribe(self.events.append)
        self.host.start()

    def spawn(self, name, code, **options):
        self.host.spawn(
            ProcessSpec(
                name, options.pop("argv", [sys.executable, "-c", code]), dict(os.environ),
                str(self.directory), str(self.directory / f"{name}.log"), **options,
            )
        )  # fmt: skip

    def wait(self, name, *kinds, timeout_s=30):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for event in self.events:
                if event.id == name and event.kind in kinds:
                    return event
            time.sleep(0.005)
        pytest.fail(f"no {kinds} of {name} in {self.events}")


def wait_for(what, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain"
        time.sleep(0.01)


@pytest.fixture
def session(tmp_path):
    session = Session(tmp_path)
    yield session
    session.host.stop()
    assert (tmp_path / "host.log").read_text() == ""


def test_output_and_exit_code(session):
    session.spawn("a", "print('out'); import sys; sys.exit(7)")
    assert session.wait("a", "exited").exit_code == 7
    assert (session.directory / "a.log").read_text() == "out\n"


def test_signal_is_told_as_containers_do(session):
    session.spawn("a", SLEEP)
    session.wait("a", "spawned")
    session.host.signal("a", signal.SIGTERM)
    assert session.wait("a", "exited").exit_code == 143


def test_program_that_is_not_there(session):
    session.spawn("a", "", argv=["/no/such/program"])
    assert "No such file" in session.wait("a", "failed").why


def test_children_of_an_ended_process_end_with_it(session):
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
        "print(child.pid, flush=True)\ntime.sleep(0.2)"
    )
    session.spawn("a", code)
    session.wait("a", "exited")
    child = int((session.directory / "a.log").read_text())
    wait_for(lambda: not psutil.pid_exists(child))


def test_end_of_the_pipe_ends_everything_also_the_stubborn(session):
    session.spawn("polite", SLEEP)
    session.spawn("stubborn", IGNORE)
    pids = [session.wait(name, "spawned").pid for name in ("polite", "stubborn")]
    wait_for((session.directory / "stubborn.log").read_text)  # it ignores SIGTERM now
    began = time.monotonic()
    session.host.stop(timeout_s=20)
    assert time.monotonic() - began < 15  # by itself, after three seconds at most
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_killed_host_takes_its_tasks_along_and_is_replaced(session):
    session.spawn("a", SLEEP)
    pid = session.wait("a", "spawned").pid
    first = session.host.pid
    os.kill(first, signal.SIGKILL)
    assert session.wait("a", "exited").exit_code == 137
    wait_for(lambda: not psutil.pid_exists(pid))
    wait_for(lambda: session.host.pid != first)
    session.spawn("b", "print('again')")
    assert session.wait("b", "exited").exit_code == 0


def test_children_are_registered_while_they_run(session):
    session.spawn("a", SLEEP)
    session.wait("a", "spawned")
    text = (session.directory / "children.json").read_text()
    assert '"a"' in text
    session.host.kill("a")
    session.wait("a", "exited")
    assert '"a"' not in (session.directory / "children.json").read_text()


@pytest.mark.parametrize("method", ["cgroup-v2-quota", "cgroup-v1-quota", "duty-cycle"])
def test_busy_task_is_held_to_its_share(session, method):
    try:
        shares = cpu_share.choose(session.host, method)
    except DataPlaneFailed:
        pytest.skip(f"{method} is not possible on this machine")
    terms = shares.prepare("busy", 0.2, session.directory)
    session.spawn(
        "busy", BUSY, cgroup_procs=terms.cgroup_procs, duty_cores=terms.duty_cores
    )  # fmt: skip
    pid = session.wait("busy", "spawned").pid
    time.sleep(0.4)
    before, began = shares.usage("busy", pid), time.monotonic()
    time.sleep(2)
    after, elapsed_s = shares.usage("busy", pid), time.monotonic() - began
    assert before is not None
    assert after is not None
    assert (after.usage_s - before.usage_s) / elapsed_s == pytest.approx(0.2, rel=0.2)
    assert (after.nr_throttled - before.nr_throttled) / elapsed_s == pytest.approx(10, rel=0.2)
    session.host.kill("busy")
    session.wait("busy", "exited")
    shares.release("busy")
    shares.close()
    for path in terms.cgroup_procs:
        assert not os.path.exists(os.path.dirname(path))


def test_duty_cycled_process_still_hears_sigterm(session):
    shares = cpu_share.choose(session.host, "duty-cycle")
    terms = shares.prepare("busy", 0.05, session.directory)
    session.spawn("busy", BUSY, duty_cores=terms.duty_cores)
    session.wait("busy", "spawned")
    time.sleep(0.3)
    session.host.signal("busy", signal.SIGTERM)
    assert session.wait("busy", "exited").exit_code == 143


def test_some_method_is_always_found(session):
    shares = cpu_share.choose(session.host)
    assert shares.method in cpu_share.METHODS
    shares.close()


def test_unknown_method_is_refused_with_the_known_ones(session):
    with pytest.raises(DataPlaneFailed, match="duty-cycle"):
        cpu_share.choose(session.host, "magic")


def test_in_task_bucket_reads_what_the_service_counts(session):
    shares = cpu_share.choose(session.host, "in-task-bucket")
    terms = shares.prepare("a", 0.25, session.directory)
    assert terms.environment["IN_TASK_CPU_SHARE"] == "0.25"
    file = session.directory / "cpu-stat.json"
    assert terms.environment["IN_TASK_CPU_STAT"] == str(file)
    file.write_text('{"usage_usec": 1, "nr_periods": 12, "nr_throttled": 3}')
    usage = shares.usage("a", os.getpid())
    assert usage is not None
    assert (usage.nr_periods, usage.nr_throttled) == (12, 3)
    assert usage.usage_s > 0.1
