"""One keep-alive HTTP/1.1 connection of the driver: as little work per answer as possible."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from runbook.load.stamped import StampedTransport

#: How a request without an HTTP status ended; negative so that it cannot be one.
LOST, NOT_CONNECTED, OVERFLOW, TIMED_OUT, UNFINISHED = -1, -2, -3, -4, -5
FAILURE_NAMES = {
    LOST: "connection lost",
    NOT_CONNECTED: "not connected",
    OVERFLOW: "no connection free",
    TIMED_OUT: "timed out",
    UNFINISHED: "unfinished at the end",
}


class Owner(Protocol):
    """Who is told when an answer is complete or a connection is gone."""

    def answered(self, connection: Connection, index: int, status: int, reusable: bool) -> None:
        """Request `index` has its whole answer."""

    def lost(self, connection: Connection, index: int | None) -> None:
        """The connection is gone; `index` was waiting for an answer on it, if any."""


class Connection(asyncio.Protocol):
    """Carries one request at a time; `index` is the one in flight, or None.

    `answered_at_s` is when the end of the last answer arrived, on the monotonic clock.
    """

    __slots__ = (
        "_buffer", "_chunked", "_closing", "_needed", "_owner", "answered_at_s", "index",
        "transport",
    )  # fmt: skip

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.index: int | None = None
        self.transport: asyncio.Transport | None = None
        self._buffer = b""
        self._needed = -1
        self._chunked = False
        self._closing = False
        self.answered_at_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    @property
    def usable(self) -> bool:
        """Whether a request can be sent on it."""
        return self.transport is not None and not self.transport.is_closing()

    def send(self, index: int, request: bytes) -> None:
        """Send a request; the owner hears of its answer."""
        assert self.transport is not None
        self.index = index
        self._buffer, self._needed, self._chunked = b"", -1, False
        self.transport.write(request)

    def abort(self) -> None:
        """Close at once; the request in flight, if any, is no longer of interest."""
        self.index = None
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Collect an answer until its end is there."""
        if self.index is None:
            # Bytes that nobody asked for: the connection cannot be trusted any more.
            self.abort()
            return
        buffer = self._buffer = self._buffer + data if self._buffer else data
        if self._needed < 0 and not self._chunked and not self._read_head(buffer):
            return
        if self._chunked:
            # The last chunk is empty. Trailers are not expected from a balancer.
            if not buffer.endswith(b"\r\n0\r\n\r\n"):
                return
        elif len(buffer) < self._needed:
            return
        self._complete(int(buffer[9:12]))

    def _complete(self, status: int) -> None:
        index, self.index = self.index, None
        assert index is not None
        if isinstance(self.transport, StampedTransport):
            self.answered_at_s = self.transport.received_at_s
        else:
            self.answered_at_s = time.monotonic()
        self._owner.answered(self, index, status, not self._closing)

    def _read_head(self, buffer: bytes) -> bool:
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = buffer[:end].lower()
        self._closing = b"\r\nconnection: close" in head
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            self._needed = end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0])
        elif b"\r\ntransfer-encoding: chunked" in head:
            self._chunked = True
        elif head[9:12] in (b"204", b"304"):
            self._needed = end + 4
        else:
            # Without a length the answer ends with the connection, which cannot be reused.
            self._closing = True
            self._needed = 1 << 62
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the loss, or the end of an answer that only the close delimits."""
        if self.index is not None and self._needed == 1 << 62 and exc is None:
            self._complete(int(self._buffer[9:12]))
            return
        index, self.index = self.index, None
        self._owner.lost(self, index)
