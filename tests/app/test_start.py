"""`python -m app` as it is run: a real process on a free port."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from app import start
from app.errors import StartError

PROJECT = Path(__file__).parents[2]
KEY = "k" * 32


def test_a_store_that_cannot_be_made_stops_the_start(config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StartError, match=r"the store cannot be used: .*; STORE_URL, and UPLOAD_DIR"
    ):
        start.prepare(replace(config, store_url=f"sqlite:///{tmp_path}/file/shop.db"))


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _environment(**variables):
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return inherited | {"PYTHONPATH": str(PROJECT), "HOST": "127.0.0.1", **variables}


def _run(cwd, **variables):
    return subprocess.run(
        [sys.executable, "-m", "app"],
        cwd=cwd,
        env=_environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def _service(cwd, port, log=None, **variables):
    """The serving process; whatever happens, none of it is left."""
    with subprocess.Popen(
        [sys.executable, "-m", "app"],
        cwd=cwd,
        env=_environment(JWT_KEY=KEY, PORT=str(port), **variables),
        stdout=log or subprocess.DEVNULL,
        stderr=log or subprocess.DEVNULL,
    ) as process:
        family = [psutil.Process(process.pid)]
        try:
            _wait_until_ready(process, port)
            family += family[0].children(recursive=True)
            yield process
        finally:
            for member in family:
                if member.is_running():
                    member.kill()


def _wait_until_ready(process, port):
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        assert process.poll() is None, "the service ended while starting"
        try:
            if _get(port, "/ready").status == 200:
                return
        except OSError:
            time.sleep(0.02)
    pytest.fail("the service did not become ready in 30 s")


def _wait_until_refused(port):
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)
    pytest.fail("the service still listens after 20 s")


def _get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.body = answer.read()
    connection.close()
    return answer


@pytest.mark.e2e
def test_serves_and_ends_with_0_on_sigterm(tmp_path):
    port = _free_port()
    with _service(tmp_path, port, CATALOGUE_SEED="7", SERVICE_VERSION="9") as process:
        listing = json.loads(_get(port, "/products").body)
        assert listing["count"] == 7
        assert listing["products"][0]["request"]["url"].startswith(f"http://127.0.0.1:{port}/")
        assert json.loads(_get(port, "/health").body)["version"] == "9"
        workers = psutil.Process(process.pid).children()
        assert len(workers) == 1
        process.terminate()
        assert process.wait(timeout=20) == 0
        assert not workers[0].is_running()
    assert (tmp_path / "data" / "shop.db").exists()


@pytest.mark.e2e
def test_a_request_in_flight_is_finished(tmp_path):
    port = _free_port()
    body = json.dumps({"email": "ada@example.com", "password": "a good password"}).encode()
    head = (
        f"POST /user/signup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    with (
        _service(tmp_path, port) as process,
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
    ):
        connection.sendall(head + body[:10])
        time.sleep(1)  # the worker has taken it long since
        process.terminate()
        _wait_until_refused(port)
        time.sleep(0.3)
        assert process.poll() is None
        connection.sendall(body[10:])
        answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert answer.endswith(b'{"message":"User created"}\n')
        assert process.wait(timeout=20) == 0


@pytest.mark.e2e
def test_bodies_that_do_not_come_stop_nobody(tmp_path):
    port = _free_port()
    head = b"POST /user/login HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
    with _service(tmp_path, port) as process, ExitStack() as stack:
        for _ in range(20):
            connection = socket.create_connection(("127.0.0.1", port), timeout=20)
            stack.enter_context(connection).sendall(head)
        time.sleep(0.2)
        assert _get(port, "/products").status == 200
        assert _get(port, "/health").status == 200
        stack.close()
        process.terminate()
        # A body of which the end was not seen yet is waited for as long as others in flight.
        assert process.wait(timeout=start._DRAIN_S + 15) == 0


@pytest.mark.e2e
def test_who_is_refused_while_sending_reads_why(tmp_path):
    port = _free_port()
    with _service(tmp_path, port):
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("POST", "/products", b"x" * 6 * 1024 * 1024)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (401, b'{"message":"Auth failed"}\n')
            connection.close()


@pytest.mark.e2e
def test_every_line_of_the_log_is_json_and_metrics_are_written_to_the_last_request(tmp_path):
    port = _free_port()
    with (
        (tmp_path / "log").open("w") as log,
        _service(tmp_path, port, log, METRICS_INTERVAL_S="3600") as process,
    ):
        for _ in range(3):
            _get(port, "/products")
        process.terminate()
        assert process.wait(timeout=20) == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert any(line.get("message", "").startswith("Listening at") for line in lines)
    assert {line["level"] for line in lines if "level" in line} == {"INFO"}
    assert [line["Latency"]["Count"] for line in lines if "Latency" in line] == [3]
    assert [line["PoolSize"] for line in lines if "PoolSize" in line] == [2]


@pytest.mark.e2e
def test_an_image_is_kept_by_the_serving_process_too(tmp_path):
    """It was forked from one that had used obstore's threads already."""
    port = _free_port()
    with _service(tmp_path, port, CATALOGUE_SEED="1"):
        image = json.loads(_get(port, "/products").body)["products"][0]["productImage"]
        assert _get(port, f"/{image}").body.startswith(b"\x89PNG")


@pytest.mark.e2e
def test_the_whole_service_on_postgresql(tmp_path, postgresql):
    """The address is empty: libpq takes the parts from its own variables, as in AWS."""
    port = _free_port()
    database = postgresql.new_database().rpartition("/")[2]
    variables = {"PGHOST": "127.0.0.1", "PGPORT": str(postgresql.port), "PGUSER": "shop"}
    variables |= {"PGDATABASE": database, "STORE_URL": "postgresql+psycopg://", "THREADS": "2"}
    with _service(tmp_path, port, **variables) as process:
        assert json.loads(_get(port, "/products").body)["count"] == 100
        process.terminate()
        assert process.wait(timeout=20) == 0
    assert not (tmp_path / "data" / "shop.db").exists()


@pytest.mark.e2e
def test_a_killed_main_process_takes_its_worker_along(tmp_path):
    port = _free_port()
    with _service(tmp_path, port) as process:
        worker = psutil.Process(process.pid).children()[0]
        process.kill()
        psutil.wait_procs([worker], timeout=10)
        assert not worker.is_running()


@pytest.mark.e2e
def test_a_dead_worker_ends_the_task(tmp_path):
    with _service(tmp_path, _free_port()) as process:
        psutil.Process(process.pid).children()[0].send_signal(signal.SIGKILL)
        assert process.wait(timeout=20) == 1


@pytest.mark.e2e
def test_the_share_is_held_and_counted(tmp_path):
    port = _free_port()
    stat = tmp_path / "cpu.json"
    with _service(tmp_path, port, IN_TASK_CPU_SHARE="0.05", IN_TASK_CPU_STAT=str(stat)):
        # Counting starts after start-up's own work is paid off.
        _get(port, "/products")
        time.sleep(1.1)
        _get(port, "/ready")
        before = json.loads(stat.read_text())
        began_s = time.monotonic()
        while time.monotonic() < began_s + 2:
            _get(port, "/products")
        _get(port, "/ready")
        elapsed_s = time.monotonic() - began_s
        time.sleep(1.1)
        _get(port, "/ready")
        after = json.loads(stat.read_text())
    used_s = (after["usage_usec"] - before["usage_usec"]) / 1e6
    assert used_s / elapsed_s < 0.08
    assert after["nr_throttled"] - before["nr_throttled"] >= 5


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "app: no signing key: JWT_KEY is not set; set it"),
        ({"JWT_KEY": KEY, "PORT": "x"}, "app: PORT is wrong: 'x'; give"),
    ],
)
def test_a_wrong_configuration_ends_with_2(tmp_path, variables, message):
    outcome = _run(tmp_path, **variables)
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(message)
    assert outcome.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.e2e
def test_a_taken_port_ends_with_2(tmp_path):
    with socket.socket() as taken:
        # As granian listens: without a check of our own, the two would share the port.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        outcome = _run(tmp_path, JWT_KEY=KEY, PORT=str(taken.getsockname()[1]))
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("app: cannot listen on 127.0.0.1 port ")
