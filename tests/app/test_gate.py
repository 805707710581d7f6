"""Few at once, in order, and none that is waited for."""

import io
import threading
import time

import pytest

from app.gate import Gate, Places
from app.images import IMAGE_LIMIT_BYTES
from app.payload import BODY_LIMIT_BYTES


class SlowBody(io.BytesIO):
    """Arrives when it is let through."""

    def __init__(self, content=b""):
        super().__init__(content)
        self.arrives = threading.Event()

    def read(self, size=-1):
        assert self.arrives.wait(10)
        return super().read(size)


class Untouched(io.BytesIO):
    def read(self, size=-1):
        raise AssertionError("read")


class Application:
    """Keeps the bodies in the order they were served, and how many ran at once."""

    def __init__(self):
        self.bodies = []
        self.running = self.most = 0

    def __call__(self, environ, start_response):
        self.running += 1
        self.most = max(self.most, self.running)
        time.sleep(0.01)
        read = environ["wsgi.input"].read if "wsgi.input" in environ else bytes
        if not isinstance(environ.get("wsgi.input"), Untouched):
            self.bodies.append(read())
        self.running -= 1
        return [b"done"]


@pytest.fixture
def application():
    return Application()


def _ask(gate, body=None, path="/products", **variables):
    environ = {"PATH_INFO": path, **variables}
    if body is not None:
        environ |= {"wsgi.input": body}
        environ.setdefault("CONTENT_LENGTH", str(len(body.getvalue())))
    return gate(environ, lambda *_: None)


def _begin(*arguments, **variables):
    thread = threading.Thread(target=_ask, args=arguments, kwargs=variables, daemon=True)
    thread.start()
    return thread


def test_a_body_that_does_not_come_keeps_nobody_out(application):
    gate = Gate(application, 1)
    slow = SlowBody(b"slow")
    waiting = _begin(gate, slow)
    assert _ask(gate) == [b"done"]
    assert _ask(gate, io.BytesIO(b"quick")) == [b"done"]
    slow.arrives.set()
    waiting.join(10)
    assert application.bodies == [b"", b"quick", b"slow"]


@pytest.mark.parametrize("places", [1, 3])
def test_so_many_run_at_once(application, places):
    gate = Gate(application, places)
    threads = [_begin(gate) for _ in range(12)]
    for thread in threads:
        thread.join(10)
    assert (len(application.bodies), application.most) == (12, places)


def test_who_waits_is_served_in_turn():
    places, served = Places(1), []

    def enter(number):
        with places:
            served.append(number)

    with places:
        threads = []
        for number in range(8):
            threads.append(threading.Thread(target=enter, args=[number]))
            threads[-1].start()
            while len(places._waiting) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join(10)
    assert served == list(range(8))


def test_a_request_that_fails_gives_its_place_back():
    def fail(_environ, _start_response):
        raise ZeroDivisionError

    gate = Gate(fail, 1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            _ask(gate)


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_checks_pass_while_all_places_are_taken(application, path):
    gate = Gate(application, 1)
    with gate._places:
        assert _ask(gate, path=path) == [b"done"]


@pytest.mark.parametrize(
    ("size", "variables"),
    [
        (BODY_LIMIT_BYTES + 1, {}),
        (IMAGE_LIMIT_BYTES + BODY_LIMIT_BYTES + 1, {"HTTP_AUTHORIZATION": "Bearer x"}),
    ],
)
def test_what_is_refused_anyway_is_read_and_forgotten_after_the_answer_is_known(
    application, size, variables
):
    body = io.BytesIO(b"x" * size)
    read_by = []

    def refuse(environ, start_response):
        read_by.append(environ["wsgi.input"].tell())
        return [b"no"]

    assert _ask(Gate(refuse, 1), body, **variables) == [b"no"]
    assert (read_by, body.tell()) == ([0], size)


@pytest.mark.parametrize(
    "variables",
    [{"HTTP_EXPECT": "100-continue"}, {"CONTENT_LENGTH": str(5 * IMAGE_LIMIT_BYTES)}],
    ids=["asked first", "far too large"],
)
def test_what_is_refused_before_it_is_sent_or_far_too_large_is_not_read(application, variables):
    body = Untouched(b"x" * (BODY_LIMIT_BYTES + 1))
    assert _ask(Gate(application, 1), body, **variables) == [b"done"]


@pytest.mark.parametrize("size", [1, BODY_LIMIT_BYTES, IMAGE_LIMIT_BYTES + BODY_LIMIT_BYTES])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_body_arrives_whole(application, size, chunked):
    variables = {"HTTP_AUTHORIZATION": "Bearer x"}
    if chunked:
        variables |= {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    body = bytes(range(256)) * (size // 256 + 1)
    _ask(Gate(application, 1), io.BytesIO(body[:size]), **variables)
    assert application.bodies == [body[:size]]


def test_a_body_without_a_length_that_is_too_large_is_refused(app):
    app.wsgi_app = Gate(app.wsgi_app, 1)
    answer = app.test_client().post(
        "/user/login",
        input_stream=io.BytesIO(b"1" * (BODY_LIMIT_BYTES + 1)),
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert (answer.status_code, answer.json["error"]["message"]) == (
        413,
        "request entity too large",
    )


def test_of_a_body_without_a_length_no_more_is_read_than_tells_that_it_is_too_large(application):
    body = io.BytesIO(b"x" * 10 * BODY_LIMIT_BYTES)
    variables = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    _ask(Gate(application, 1), body, **variables)
    assert len(application.bodies[0]) == body.tell() == BODY_LIMIT_BYTES + 1
