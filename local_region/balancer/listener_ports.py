"""Which port of this machine stands for which listener."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from local_region.tasks.free_ports import FreePorts, HeldPort


class ListenerPorts:
    """A load balancer's port is reserved when it is created and goes to its first listener, so
    that its DNS name is true from the start; further listeners get ports of their own.
    Thread-safe."""

    def __init__(self) -> None:
        self._ports = FreePorts()
        self._lock = threading.Lock()
        self._balancers: dict[str, HeldPort] = {}
        self._listeners: dict[str, HeldPort] = {}
        self._missing: set[str] = set()

    def reserve(self, load_balancer: str) -> int:
        """The port of a load balancer. Raises DataPlaneFailed."""
        with self._lock:
            if load_balancer not in self._balancers:
                self._balancers[load_balancer] = HeldPort(self._ports)
            return self._balancers[load_balancer].port

    def listener(self, listener: str, load_balancer: str) -> int:
        """The port of a listener. Raises DataPlaneFailed."""
        main = self.reserve(load_balancer)
        with self._lock:
            if listener not in self._listeners:
                first = all(held.port != main for held in self._listeners.values())
                self._listeners[listener] = (
                    self._balancers[load_balancer] if first else HeldPort(self._ports)
                )
            return self._listeners[listener].port

    def port_of(self, listener: str) -> int | None:
        with self._lock:
            held = self._listeners.get(listener)
            return held.port if held else None

    def keep(self, load_balancers: set[str], listeners: Mapping[str, str]) -> None:
        """Give up the ports of everything else.

        A load balancer must be missing twice: it may have been created after the caller looked.
        """
        with self._lock:
            for listener in set(self._listeners) - set(listeners):
                held = self._listeners.pop(listener)
                if held not in self._balancers.values():
                    held.release()
            missing = set(self._balancers) - load_balancers
            for balancer in missing & self._missing:
                self._balancers.pop(balancer).release()
            self._missing = missing

    def release_all(self) -> None:
        """Give up every port. Idempotent."""
        with self._lock:
            for held in (*self._listeners.values(), *self._balancers.values()):
                held.release()
            self._listeners.clear()
            self._balancers.clear()
