"""Ports of load balancers and listeners."""

from __future__ import annotations

import pytest

from local_region.balancer.listener_ports import ListenerPorts


@pytest.fixture
def ports():
    ports = ListenerPorts()
    yield ports
    ports.release_all()


def test_first_listener_gets_the_port_the_name_promised(ports):
    promised = ports.reserve("lb")
    assert ports.listener("http", "lb") == promised
    other = ports.listener("https", "lb")
    assert other != promised
    assert (ports.port_of("http"), ports.port_of("https")) == (promised, other)


def test_ports_do_not_change(ports):
    assert ports.reserve("lb") == ports.reserve("lb")
    assert ports.listener("http", "lb") == ports.listener("http", "lb")


def test_listener_that_is_made_again_gets_the_promised_port(ports):
    promised = ports.reserve("lb")
    ports.listener("one", "lb")
    ports.keep({"lb"}, {})
    assert ports.port_of("one") is None
    assert ports.listener("two", "lb") == promised


def test_two_load_balancers(ports):
    assert ports.reserve("a") != ports.reserve("b")


def test_load_balancer_made_while_others_looked_keeps_its_port(ports):
    promised = ports.reserve("new")
    ports.keep(set(), {})
    assert ports.reserve("new") == promised
    ports.keep({"new"}, {})
    ports.keep(set(), {})
    assert ports.reserve("new") == promised


def test_deleted_load_balancer_gives_its_port_back(ports):
    promised = ports.reserve("old")
    ports.keep(set(), {})
    ports.keep(set(), {})
    assert ports.reserve("old") != promised
