import http.client
import json

import pytest

from local_region import ports
from local_region.server import Server, with_own_pages


async def echo(scope, receive, send):
    """An application that answers lifespan and says which path it was asked for."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = scope["path"].encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def server():
    made = Server(ports.bind(0), with_own_pages(echo, lambda: {"uptime_s": 1}))
    made.start(10)
    yield made
    made.stop(5)


def ask(server, method, path):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_the_status_page_and_the_application_behind_it(server):
    code, body = ask(server, "GET", "/_region/status")
    assert (code, json.loads(body)) == (200, {"uptime_s": 1})
    assert ask(server, "GET", "/anything") == (200, b"/anything")


def test_the_emulators_reset_is_refused(server):
    assert ask(server, "POST", "/_ministack/reset")[0] == 405


def test_it_stops_with_a_client_still_connected(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/")
    connection.getresponse().read()
    assert server.is_alive
    server.stop(5)
    assert not server.is_alive
    server.stop(5)
    connection.close()
