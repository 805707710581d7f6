"""A tiny HTTP server in a thread: a target whose behaviour a test decides."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest


@dataclass
class FakeTarget:
    """Answers every request with 200 and a short body; records when each was answered.

    `stall_from_s`/`stall_s` freeze the whole server once, counted from the first request.
    With `login` a POST to /user/login is answered with a token; tokens and bodies are kept.
    With `token_life_s` logging in takes 0.3 s, and a token is refused (401) after that long.
    `fail_every` answers each n-th request with 503; `hang` never answers; `drop` closes.
    """

    stall_from_s: float | None = None
    stall_s: float = 0.0
    fail_every: int = 0
    hang: bool = False
    drop_every: int = 0
    chunked: bool = False
    close_each: bool = False
    login: bool = False
    token_life_s: float | None = None
    opaque: bool = False
    logins: int = 0
    port: int = 0
    authorizations: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    ends: dict[str, float] = field(default_factory=dict)
    served: list[float] = field(default_factory=list)
    connections: int = 0
    _first: float | None = None
    _stalled: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/products?limit=1"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await self._body(reader, head)
                if self.login and head.startswith(b"POST /user/"):
                    if self.token_life_s is not None and b"/user/login" in head:
                        await asyncio.sleep(0.3)
                    self._log_in(writer, body)
                elif self._outdated():
                    writer.write(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
                elif not self._answer(writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _body(self, reader: asyncio.StreamReader, head: bytes) -> bytes:
        headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        self.authorizations.append(headers.get(b"Authorization", b"").decode())
        body = await reader.readexactly(int(headers.get(b"Content-Length", 0)))
        if body and not head.startswith(b"POST /user/"):
            self.bodies.append(body)
        return body

    def _log_in(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        user = json.loads(body)["email"].split("@")[0].removeprefix("load-")
        token = f"token-{user}"
        if self.token_life_s is not None:
            self.logins += 1
            ends = time.time() + self.token_life_s
            claims = base64.urlsafe_b64encode(json.dumps({"exp": ends}).encode()).decode()
            token = f"opaque-{user}-{ends}" if self.opaque else f"head.{claims}.{user}"
            self.ends[token] = ends
        answer = json.dumps({"token": token}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)

    def _outdated(self) -> bool:
        if self.token_life_s is None:
            return False
        return self.ends[self.authorizations[-1].removeprefix("Bearer ")] < time.time()

    def _answer(self, writer: asyncio.StreamWriter) -> bool:
        now = time.monotonic()
        self._first = self._first or now
        stall_at = None if self.stall_from_s is None else self._first + self.stall_from_s
        if stall_at is not None and now >= stall_at and not self._stalled:
            self._stalled = True
            time.sleep(self.stall_s)  # The whole server stands still, as a paused process would.
        if self.hang:
            return True
        self.served.append(time.monotonic())
        count = len(self.served)
        if self.drop_every and count % self.drop_every == 0:
            return False
        status = b"503 No" if self.fail_every and count % self.fail_every == 0 else b"200 OK"
        if self.chunked:
            head = b"HTTP/1.1 %s\r\nTransfer-Encoding: chunked\r\n\r\n" % status
            writer.write(head + b"5\r\nhello\r\n0\r\n\r\n")
        else:
            close = b"Connection: close\r\n" if self.close_each else b""
            writer.write(b"HTTP/1.1 %s\r\n%sContent-Length: 5\r\n\r\nhello" % (status, close))
        return not self.close_each


class _Server(threading.Thread):
    def __init__(self, target: FakeTarget) -> None:
        super().__init__(daemon=True)
        self.target = target
        self.ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.stopping = asyncio.Event()

    def run(self) -> None:
        self.loop.run_until_complete(self._serve())
        self.loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self.target.handle, "127.0.0.1", 0, backlog=1024)
        self.target.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await self.stopping.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@pytest.fixture
def serve() -> Iterator:
    """Start a FakeTarget; every server started is stopped after the test."""
    servers: list[_Server] = []

    def start(target: FakeTarget) -> FakeTarget:
        server = _Server(target)
        servers.append(server)
        server.start()
        assert server.ready.wait(5)
        return target

    yield start
    for server in servers:
        server.loop.call_soon_threadsafe(server.stopping.set)
        server.join(5)


@pytest.fixture
def fake_target() -> type[FakeTarget]:
    """The class, for tests to set up."""
    return FakeTarget
