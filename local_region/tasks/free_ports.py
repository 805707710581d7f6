"""Ports for tasks and listeners, outside the range the system hands to outgoing connections.

A port from that range could be taken by any client of the balancer between the moment it is
chosen and the moment the task binds it.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections import deque
from pathlib import Path

from local_region.errors import DataPlaneFailed

HOST = "127.0.0.1"
LOWEST_PORT = 20_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DEFAULT_FIRST_EPHEMERAL = 32_768
_ATTEMPTS = 200
_REMEMBERED = 1000


class FreePorts:
    """Chooses ports at random and does not choose one again soon. Thread-safe."""

    def __init__(self, generator: random.Random | None = None) -> None:
        self._random = generator or random.Random()
        self._lock = threading.Lock()
        self._recent: deque[int] = deque(maxlen=_REMEMBERED)

    def take(self) -> int:
        """A port nobody listens on now. Raises DataPlaneFailed."""
        with self._lock:
            for _ in range(_ATTEMPTS):
                port = self._random.randrange(LOWEST_PORT, first_ephemeral_port())
                if port not in self._recent and _can_bind(port):
                    self._recent.append(port)
                    return port
        raise DataPlaneFailed(
            f"No free port on {HOST}: {_ATTEMPTS} between {LOWEST_PORT} and "
            f"{first_ephemeral_port()} are in use; end what listens there"
        )


class HeldPort:
    """A port kept for a listener that may not exist yet.

    The socket is bound, with SO_REUSEPORT, but does not listen: nobody else gets the port, the
    balancer (which binds with SO_REUSEPORT as well) does, and until then connections are refused.
    """

    def __init__(self, ports: FreePorts) -> None:
        self.port = ports.take()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            self._socket.bind((HOST, self.port))
        except OSError as error:
            self._socket.close()
            raise DataPlaneFailed(
                f"Port {self.port} was taken in the moment it was chosen: {error}; try again"
            ) from error

    def release(self) -> None:
        """Give the port up. Idempotent."""
        self._socket.close()


def first_ephemeral_port() -> int:
    """Where the system's range for outgoing connections begins."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        first = int(_EPHEMERAL_RANGE.read_text(encoding="ascii").split()[0])
        if first > LOWEST_PORT + 1000:
            return first
    return _DEFAULT_FIRST_EPHEMERAL


def _can_bind(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
