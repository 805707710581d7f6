"""Ports nobody takes in between."""

from __future__ import annotations

import random
import socket

import pytest

from local_region.errors import DataPlaneFailed
from local_region.tasks import free_ports
from local_region.tasks.free_ports import FreePorts, HeldPort, first_ephemeral_port


def test_port_is_outside_the_ephemeral_range():
    ports = FreePorts()
    for _ in range(20):
        assert free_ports.LOWEST_PORT <= ports.take() < first_ephemeral_port()


def test_port_is_not_given_twice_in_a_row():
    ports = FreePorts(random.Random(1))
    assert len({ports.take() for _ in range(200)}) == 200


def test_taken_port_is_passed_over(monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        monkeypatch.setattr(free_ports, "LOWEST_PORT", taken)
        monkeypatch.setattr(free_ports, "first_ephemeral_port", lambda: taken + 1)
        with pytest.raises(DataPlaneFailed, match="No free port"):
            FreePorts().take()


def test_held_port_refuses_until_somebody_listens_with_it():
    held = HeldPort(FreePorts())
    try:
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", held.port)) != 0
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", held.port))
        with socket.socket() as balancer, socket.socket() as client:
            balancer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            balancer.bind(("127.0.0.1", held.port))
            balancer.listen()
            client.connect(("127.0.0.1", held.port))
    finally:
        held.release()


@pytest.mark.parametrize("text", ["", "garbage", "1024 65000"])
def test_strange_ephemeral_range_falls_back(tmp_path, monkeypatch, text):
    file = tmp_path / "range"
    file.write_text(text)
    monkeypatch.setattr(free_ports, "_EPHEMERAL_RANGE", file)
    assert first_ephemeral_port() == 32_768
