"""Each name of the emulator that `seams.core` reaches for; one fails when an upgrade moves it."""

import asyncio
import http.client
import threading
from importlib.metadata import version
from pathlib import Path

import hypercorn.asyncio.tcp_server
import pytest

from local_region import ports
from local_region.errors import SeamMoved
from local_region.seams import cloudwatch, core
from local_region.server import Server

SCOPE = ("000000000000", "eu-west-1")


def test_the_installed_version_is_the_one_the_seams_were_made_for():
    assert version("ministack") == core.VERSION


def test_a_name_that_moved_is_told_with_what_to_install():
    with pytest.raises(SeamMoved, match=r"no nowhere in .*; install ministack==1\.5\.33"):
        core.attribute(core.module("core.router"), "nowhere")
    with pytest.raises(SeamMoved, match=r"no module ministack\.services\.nowhere"):
        core.module("services.nowhere")


def test_replace_and_wrap_give_back_what_was_there():
    class Owner:
        value = 1

    assert core.replace(Owner, "value", 2) == 1
    assert core.wrap(Owner, "value", lambda old: old + 1) == 2
    assert Owner.value == 3
    table = {"a": 1}
    core.replace(table, "a", 5)
    assert table == {"a": 5}
    with pytest.raises(SeamMoved):
        core.replace(table, "b", 1)


def test_the_environment_keeps_everything_on_loopback_and_docker_out(tmp_path):
    environment = core.launch_environment(
        port=4566, region="eu-west-1", account_id="0" * 12, directory=tmp_path
    )
    assert environment["BIND_HOST"] == "127.0.0.1"
    assert environment["IOT_MTLS_ENABLED"] == environment["SFTP_ENABLED"] == "0"
    socket = environment["DOCKER_HOST"].removeprefix("unix://")
    assert socket.startswith(str(tmp_path))
    assert environment["PERSIST_STATE"] == "0"


def test_the_variables_are_those_the_emulator_reads(tmp_path):
    package = Path(core.module("app").__file__).parent
    source = "".join(path.read_text() for path in package.rglob("*.py"))
    for name in core.launch_environment(port=1, region="r", account_id="a", directory=tmp_path):
        assert f'"{name}"' in source, f"the emulator does not read {name} any more"


def test_scopes(cw):
    assert core.current_scope() == SCOPE
    with core.request_scope("111111111111", "us-east-1"):
        cw._alarms["a"] = {}
    assert core.scopes_of(cw._alarms) == {("111111111111", "us-east-1")}
    assert cloudwatch.alarm_scopes() == {("111111111111", "us-east-1")}


def test_stores_may_be_read_while_they_change(restore):
    responses = core.module("core.responses")
    for store in (responses.AccountScopedDict, responses.AccountRegionScopedDict):
        for name in ("keys", "values", "items", "__len__", "__bool__", "__iter__"):
            restore(store, name)
    for name in ("values_scoped", "items_scoped", "all_values", "all_items"):
        restore(responses.AccountRegionScopedDict, name)
    core.tolerate_concurrent_iteration()

    class Unruly(dict):
        """Fails like a dictionary that grew under its reader, twice."""

        failures = 2

        def items(self):
            if self.failures:
                self.failures -= 1
                raise RuntimeError("dictionary changed size during iteration")
            return super().items()

    store = responses.AccountRegionScopedDict()
    store._data = Unruly()
    with core.request_scope(*SCOPE):
        store["a"] = 1
        assert store.items() == [("a", 1)]
        assert list(store) == ["a"]


def test_a_connection_closed_by_its_client_is_given_back(restore):
    restore(hypercorn.asyncio.tcp_server.TCPServer, "_read_data")
    core.give_back_closed_connections()
    waiting = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        waiting.append(sum("TCPServer" in repr(t) or "_server_callback" in repr(t)
                           for t in asyncio.all_tasks()))  # fmt: skip
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-length", b"0")]})  # fmt: skip
        await send({"type": "http.response.body", "body": b""})

    server = Server(ports.bind(0), app)
    server.start(10)
    try:
        for _ in range(10):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            threading.Event().wait(0.05)
    finally:
        server.stop(5)
    # Each may be seen closed a little late, but not all of them.
    assert waiting[-1] <= 5, f"connections pile up: {waiting}"


def test_a_service_is_routed_by_its_target(restore):
    router, app = core.module("core.router"), core.module("app")
    called = []

    def answer(operation, body):
        called.append((operation, body, core.current_scope()))
        return 200, {}, b"{}"

    try:
        core.register_service("shop-service", "ShopFrontend", answer)
        headers = {"x-amz-target": "ShopFrontend.DoIt"}
        assert router.detect_service("POST", "/", headers, {}) == "shop-service"
        with core.request_scope(*SCOPE):
            handle = app.SERVICE_HANDLERS["shop-service"]
            asyncio.run(handle("POST", "/", headers, b"{}", {}))
    finally:
        router.SERVICE_PATTERNS.pop("shop-service", None)
        app.SERVICE_HANDLERS.pop("shop-service", None)
    assert called == [("DoIt", b"{}", SCOPE)]


def test_the_emulators_application_is_there():
    assert callable(core.asgi_app())
