"""A TCP transport that knows when bytes arrived, not when this process got round to them.

Between an answer's arrival at this machine and the moment Python reads it lie a wake-up and the
event loop, on a busy machine milliseconds. They are the driver's and no part of a response time.
Linux stamps every segment as it comes in (SO_TIMESTAMPNS, socket(7); for TCP since 4.14).
Elsewhere, and under TLS, the moment of reading counts, as in any other client.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
import time

_READ_BYTES = 1 << 18
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
_STAMP = struct.Struct("@ll")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_STAMP.size) if sys.platform == "linux" else 0
#: An arrival longer ago than this was stamped by a clock that has been set since.
_MOST_AGE_S = 60.0


class StampedTransport(asyncio.Transport):
    """`received_at_s` is when the bytes last handed on arrived, on the monotonic clock."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: asyncio.Protocol
    ) -> None:
        super().__init__()
        self._loop, self._sock, self._protocol = loop, sock, protocol
        self._unsent = b""
        self._closed = False
        self.received_at_s = 0.0
        protocol.connection_made(self)
        loop.add_reader(sock, self._readable)

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._closed

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send now what the kernel takes, the rest when it takes more."""
        if self._closed:
            return
        if self._unsent:
            self._unsent += bytes(data)
            return
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._end(error)
            return
        if sent < len(data):
            self._unsent = bytes(data)[sent:]
            self._loop.add_writer(self._sock, self._writable)

    def close(self) -> None:
        """Close; the protocol hears of it soon."""
        self._end(None)

    def abort(self) -> None:
        """The same: nothing that was not sent is worth waiting for."""
        self._end(None)

    def _writable(self) -> None:
        unsent, self._unsent = self._unsent, b""
        self._loop.remove_writer(self._sock)
        self.write(unsent)

    def _readable(self) -> None:
        if self._closed:
            return
        try:
            data, ancillary, _, _ = self._sock.recvmsg(_READ_BYTES, _ANCILLARY_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        if not data:
            self._end(None)
            return
        self.received_at_s = _arrived_at_s(ancillary)
        self._protocol.data_received(data)

    def _end(self, error: Exception | None) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._loop.call_soon(self._gone, error)

    def _gone(self, error: Exception | None) -> None:
        self._sock.close()
        self._protocol.connection_lost(error)


def stamping(sock: socket.socket) -> socket.socket:
    """The socket, ready for a StampedTransport: does not block, stamps, sends at once."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    return sock


async def connect(host: str, port: int, protocol: asyncio.Protocol) -> None:
    """Connect `protocol` over TCP. Raises OSError when no address of the host answers."""
    loop = asyncio.get_running_loop()
    failed = OSError(f"{host} has no address")
    for family, kind, number, _, address in await _addresses(loop, host, port):
        sock = stamping(socket.socket(family, kind, number))
        try:
            await loop.sock_connect(sock, address)
        except OSError as error:
            failed = error
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            StampedTransport(loop, sock, protocol)
            return
    raise failed


async def _addresses(
    loop: asyncio.AbstractEventLoop, host: str, port: int
) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    with contextlib.suppress(OSError):
        socket.inet_pton(socket.AF_INET, host)
        # Asking a resolver for what is an address already costs a thread.
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(int(item[0]), int(item[1]), item[2], item[3], item[4]) for item in found]


def _arrived_at_s(ancillary: list[tuple[int, int, bytes]]) -> float:
    """The kernel's stamp as a moment of the monotonic clock; now where there is none."""
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = _STAMP.unpack_from(content)
            age_s: float = time.time() - seconds - nanoseconds * 1e-9
            if 0.0 <= age_s < _MOST_AGE_S:
                return time.monotonic() - age_s
    return time.monotonic()
