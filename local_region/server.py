"""The emulator's HTTP server in a thread of this process, with our own pages before it."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from local_region.errors import ServerFailed
from local_region.seams.core import AsgiApp

_log = logging.getLogger("local_region.server")
STATUS_PATH = "/_region/status"
_REFUSED_PATHS = ("/_ministack/reset",)
_KEEP_ALIVE_S = 75.0


def with_own_pages(app: AsgiApp, status: Callable[[], dict[str, Any]]) -> AsgiApp:
    """The emulator's application, with the region's status beside it.

    The emulator's reset would empty its records under running tasks: it is refused.
    """

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope.get("path")
        if scope["type"] == "http" and path == STATUS_PATH:
            await _send_json(send, 200, await asyncio.to_thread(status))
        elif scope["type"] == "http" and path in _REFUSED_PATHS:
            await _send_json(send, 405, {"message": "Restart the local region instead."})
        else:
            await app(scope, receive, send)

    return answer


async def _send_json(send: Any, code: int, content: dict[str, Any]) -> None:
    body = json.dumps(content, indent=2).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Server:
    """Serves an ASGI application on an already bound socket. Installs no signal handler."""

    def __init__(self, bound: socket.socket, app: AsgiApp) -> None:
        self.port = int(bound.getsockname()[1])
        self._bound, self._app = bound, app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shutdown: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="region-http", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()

    def start(self, timeout_s: float) -> None:
        """Serve; returns when it answers. Raises ServerFailed."""
        self._thread.start()
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            with socket.socket() as probe:
                probe.settimeout(1.0)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if not self._thread.is_alive():
                break
            time.sleep(0.02)
        why = self._failure or f"it did not answer within {timeout_s:.0f} s"
        raise ServerFailed(f"The emulator did not start: {why}; read the log above")

    def stop(self, timeout_s: float) -> None:
        """Stop serving; idempotent."""
        if self._loop is not None and self._shutdown is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._shutdown.set)
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            _log.error("the HTTP server ended: %s", error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._shutdown = asyncio.Event()
        config = Config()
        config.bind = [f"fd://{self._bound.detach()}"]
        config.keep_alive_timeout = _KEEP_ALIVE_S
        config.graceful_timeout = 1.0
        config.loglevel = "WARNING"
        await serve(self._app, config, shutdown_trigger=self._shutdown.wait, mode="asgi")  # type: ignore[arg-type]
