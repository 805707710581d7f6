"""The endpoint's socket: bound before anything else starts, so that a taken port is known first."""

from __future__ import annotations

import socket

import psutil

from local_region.errors import PortTaken

HOST = "127.0.0.1"


def bind(port: int) -> socket.socket:
    """A socket bound to the port on loopback (0: any free one), not listening yet.

    Raises PortTaken with the process that listens there.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A port in TIME_WAIT is free, one that is listened on is not.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        # Some systems let a second socket bind beside a wildcard listener: ask it, too.
        if port and _answers(port):
            raise OSError
        bound.bind((HOST, port))
    except OSError as error:
        bound.close()
        raise PortTaken(
            f"Port {port} is taken: {listener(port)} listens there; start with --port N or stop it"
        ) from error
    return bound


def _answers(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def listener(port: int) -> str:
    """`process 123 (name)`; `another user's process` when it may not be looked at."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        connections = []
    for connection in connections:
        local = connection.laddr
        listening = connection.status == psutil.CONN_LISTEN
        if listening and local and local.port == port and connection.pid:
            try:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
            except psutil.Error:
                return f"process {connection.pid}"
    return "another user's process"
