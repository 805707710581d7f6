import os
import socket

import pytest

from local_region import ports
from local_region.errors import PortTaken


def test_any_free_port():
    with ports.bind(0) as bound:
        host, port = bound.getsockname()
    assert host == "127.0.0.1"
    assert port > 0


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_names_who_has_it(address):
    with socket.socket() as other:
        other.bind((address, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken) as caught:
            ports.bind(port)
    message = str(caught.value)
    assert message.startswith(f"Port {port} is taken: process {os.getpid()} (")
    assert message.endswith(" listens there; start with --port N or stop it")


def test_a_port_just_left_is_free():
    with ports.bind(0) as first:
        first.listen()
        port = first.getsockname()[1]
    with ports.bind(port) as again:
        assert again.getsockname()[1] == port
