"""Requests are measured, told apart, and found again in the log."""

import io
import json
import logging
import logging.config
import time

import pytest
from sqlalchemy import event

from app import logs
from app.metrics import Metrics
from app.observed import Observed


@pytest.fixture
def lines():
    return []


@pytest.fixture
def metrics(lines):
    return Metrics("shop/test", "1", 2, lambda line: lines.append(json.loads(line)))


@pytest.fixture
def client(app, metrics):
    below = (app.extensions["store"], app.extensions["images"])
    app.wsgi_app = Observed(app.wsgi_app, metrics, *below)
    return app.test_client()


@pytest.fixture
def logged():
    """What the log holds, line by line, with the service's own configuration."""
    kept = {name: logging.getLogger(name) for name in ("", "app", "_granian")}
    before = {
        name: (logger.level, logger.handlers[:], logger.propagate) for name, logger in kept.items()
    }
    logging.config.dictConfig(logs.configuration("debug"))
    written = io.StringIO()
    console = next(iter(logging.getLogger("app").handlers))
    console.setStream(written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    for name, logger in kept.items():
        logger.setLevel(before[name][0])
        logger.handlers[:], logger.propagate = before[name][1:]


def _of(lines, kind):
    return next(line for line in lines if line.get("RequestClass") == kind)


def test_each_request_is_counted_in_its_class_once(client, metrics, lines):
    client.get("/products")
    client.get("/products")
    client.get("/health")
    client.options("/products")
    client.post("/orders")
    client.post("/user/login", json={"email": "a@b.cc", "password": "long enough"})
    metrics.flush()
    counts = {line["RequestClass"]: line["Latency"]["Count"] for line in lines[:-1]}
    assert counts == {"read": 2, "write": 1, "credential": 1}
    assert (lines[-1]["PoolInUse"], lines[-1]["PoolWaits"]) == (1, 0)


def test_a_check_beside_a_request_waits_for_no_connection(app, client, metrics, lines):
    store = app.extensions["store"]
    with store.engine.connect():
        assert client.get("/ready").status_code == 200
    metrics.flush()
    assert (lines[-1]["PoolInUse"], lines[-1]["PoolWaits"]) == (store.pool.size(), 0)


def test_who_finds_every_connection_in_use_is_counted(app, client, metrics, lines):
    store = app.extensions["store"]
    store.pool._timeout = 0.05
    with store.engine.connect(), store.engine.connect():
        assert client.get("/products").status_code == 503
    client.get("/products")
    metrics.flush()
    assert lines[-1]["PoolWaits"] == 1


def test_time_in_the_store_is_told_apart(app, client, metrics, lines):
    def wait(*_):
        time.sleep(0.03)

    # Runs between the clock's start and stop, as the statement itself does.
    event.listen(app.extensions["store"].engine, "before_cursor_execute", wait)
    client.get("/products")
    metrics.flush()
    read = _of(lines, "read")
    assert read["Latency"]["Min"] >= read["StoreTime"]["Min"] >= 30


def test_a_commit_counts_as_time_in_the_store(client, auth, app, metrics, lines, monkeypatch):
    dialect = app.extensions["store"].engine.dialect
    commit = dialect.do_commit
    monkeypatch.setattr(
        dialect, "do_commit", lambda connection: (time.sleep(0.03), commit(connection))
    )
    lines.clear()
    metrics.flush()
    lines.clear()
    answer = client.post("/products", json={"name": "Lamp", "price": 9}, headers=auth.headers)
    assert answer.status_code == 201
    metrics.flush()
    assert _of(lines, "write")["StoreTime"]["Min"] >= 30


def test_waiting_for_an_image_counts_as_time_in_the_store(client, app, metrics, lines):
    class Slow:
        def get(self, name):
            time.sleep(0.03)
            raise FileNotFoundError(name)

    app.extensions["images"]._place = Slow()
    assert client.get(f"/uploads/{'0' * 32}.png").status_code == 404
    metrics.flush()
    assert _of(lines, "read")["StoreTime"]["Min"] >= 30


def test_answers_that_are_the_services_fault_are_counted(app, client, metrics, lines):
    @app.get("/bug")
    def bug():
        raise KeyError

    client.get("/bug")
    client.get("/nope")
    metrics.flush()
    assert _of(lines, "read")["ServerErrors"] == 1


def test_an_answer_carries_the_id_of_its_request(client):
    assert client.get("/health", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == (
        "abc-1"
    )
    invented = {client.get("/health").headers["X-Request-Id"] for _ in range(2)}
    assert len(invented) == 2
    hostile = client.get("/health", headers={"X-Request-Id": 'a"} b'}).headers["X-Request-Id"]
    assert hostile.isalnum()


def test_a_log_line_names_its_request_and_the_balancers_trace(app, client, logged):
    @app.get("/bug")
    def bug():
        raise KeyError("why")

    client.get("/bug", headers={"X-Request-Id": "abc-1", "X-Amzn-Trace-Id": "Root=1-2"})
    failure, request = logged()
    assert failure["level"] == "ERROR"
    assert "KeyError: 'why'" in failure["exc_info"]
    assert (failure["request_id"], failure["trace_id"]) == ("abc-1", "Root=1-2")
    assert (request["request_id"], request["trace_id"]) == ("abc-1", "Root=1-2")
    assert (request["method"], request["path"], request["status"]) == ("GET", "/bug", 500)
    assert request["latency_ms"] > 0


def test_a_line_outside_requests_names_none(logged):
    logging.getLogger("app").warning("hello %s", "there")
    (line,) = logged()
    assert line["message"] == "hello there"
    assert "request_id" not in line
