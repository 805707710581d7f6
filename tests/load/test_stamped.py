"""The transport: bytes both ways, honest arrival times, clean ends."""

from __future__ import annotations

import asyncio
import selectors
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from runbook.load.stamped import StampedTransport, connect, stamping


class Client(asyncio.Protocol):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.data = b""
        self.arrived_s: list[float] = []
        self.lost: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.arrived_s.append(self.transport.received_at_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


def on_a_loop(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run on the selector loop that the driver uses."""
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
    ) as runner:
        runner.run(play())


async def until(said: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not said():
            await asyncio.sleep(0.005)


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def connected(listening: socket.socket, play) -> None:
    """Play with a connected client and the server's end of its connection."""

    async def run() -> None:
        client = Client()
        await connect("127.0.0.1", listening.getsockname()[1], client)
        end, _ = listening.accept()
        with end:
            await play(client, end)
        client.transport.close()
        await until(lambda: bool(client.lost))

    on_a_loop(run)


def test_much_is_sent_and_received_whole(listening) -> None:
    async def play(client: Client, end: socket.socket) -> None:
        sent = bytes(range(256)) * 40_000
        client.transport.write(sent)
        client.transport.write(b"end")
        end.setblocking(False)
        got = b""
        while len(got) < len(sent) + 3:
            got += await asyncio.get_running_loop().sock_recv(end, 1 << 20)
        assert got == sent + b"end"
        end.sendall(b"answer")
        await until(lambda: client.data == b"answer")

    connected(listening, play)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps what arrives")
def test_a_late_reader_still_tells_when_the_bytes_arrived(listening) -> None:
    async def play(client: Client, end: socket.socket) -> None:
        # The kernel begins to stamp a moment after it is first asked to.
        for _ in range(3):
            end.sendall(b".")
            await asyncio.sleep(0.1)
        client.arrived_s.clear()
        before_s = time.monotonic()
        end.sendall(b"late")
        sent_s = time.monotonic()
        time.sleep(0.5)
        await until(lambda: client.data.endswith(b"late"))
        assert before_s - 0.05 <= client.arrived_s[0] <= sent_s + 0.2

    connected(listening, play)


def test_the_other_sides_close_and_a_reset_are_heard_once(listening) -> None:
    async def closes(client: Client, end: socket.socket) -> None:
        end.close()
        await until(lambda: bool(client.lost))
        assert client.transport.is_closing()
        client.transport.write(b"to nobody")
        client.transport.abort()

    connected(listening, closes)


def test_it_closes_once(listening) -> None:
    async def play(client: Client, end: socket.socket) -> None:
        client.transport.close()
        client.transport.abort()
        await asyncio.sleep(0.02)
        assert client.lost == [None]
        assert end.recv(1) == b""

    connected(listening, play)


def test_a_port_nobody_listens_on_and_an_unknown_host_are_os_errors(listening) -> None:
    port = listening.getsockname()[1]
    listening.close()

    async def play() -> None:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(OSError, match=r".+"):
                await connect(host, port, Client())

    on_a_loop(play)


def test_without_stamps_the_moment_of_reading_counts(listening) -> None:
    """As outside of Linux: sockets that were not asked to stamp."""

    async def play() -> None:
        loop = asyncio.get_running_loop()
        sock = stamping(socket.create_connection(listening.getsockname()))
        sock.setsockopt(socket.SOL_SOCKET, 35, 0)
        client = Client()
        StampedTransport(loop, sock, client)
        end, _ = listening.accept()
        with end:
            before_s = time.monotonic()
            end.sendall(b"x")
            await until(lambda: bool(client.data))
            assert before_s <= client.arrived_s[0] <= time.monotonic()
        await until(lambda: bool(client.lost))

    on_a_loop(play)
