"""Health checks of all targets, on one thread."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping

from local_region.balancer.targets import (
    REASON_FAILED,
    REASON_TIMEOUT,
    Address,
    HealthRules,
    Target,
    TargetRegistry,
    reason_mismatch,
)

INITIAL_INTERVAL_S = 0.1
"""How often a target that has never passed is looked at: a start shall be seen when it is done."""
_TICK_S = 0.05
_Key = tuple[str, Address, float]
"""Target group, address, when it was registered."""
_log = logging.getLogger("local_region.balancer.health")


class HealthChecker:
    """Checks every target of every group at its group's interval.

    `rules()` gives the groups to check: ARN -> rules. Groups without a load balancer are absent.
    """

    def __init__(
        self, registry: TargetRegistry, rules: Callable[[], Mapping[str, HealthRules]]
    ) -> None:
        self._registry, self._rules = registry, rules
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._due: dict[_Key, float] = {}
        self._running: set[_Key] = set()

    def start(self) -> None:
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._loop()), name="region-health-checks", daemon=True
        )
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread. Idempotent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    async def _loop(self) -> None:
        checks: set[asyncio.Task[None]] = set()
        while not self._stopping.is_set():
            try:
                known: dict[_Key, float] = {}
                for group, rules in self._rules().items():
                    for address, target in self._registry.targets(group).items():
                        # A port may come back with another process: its registration tells.
                        key = (group, address, target.registered_at)
                        if self._is_due(key, target, rules):
                            check = asyncio.create_task(self._check(key, rules))
                            checks.add(check)
                            check.add_done_callback(checks.discard)
                        known[key] = self._due.get(key, 0.0)
                self._due = known
            except Exception:
                _log.exception("health checks stumbled; going on")
            await asyncio.sleep(_TICK_S)
        for check in checks:
            check.cancel()
        await asyncio.gather(*checks, return_exceptions=True)

    def _is_due(self, key: _Key, target: Target, rules: HealthRules) -> bool:
        now = time.monotonic()
        if target.state == "draining" or key in self._running or now < self._due.get(key, 0.0):
            return False
        initial = target.state == "initial"
        interval_s = min(INITIAL_INTERVAL_S, rules.interval_s) if initial else rules.interval_s
        self._due[key] = now + interval_s
        self._running.add(key)
        return True

    async def _check(self, key: _Key, rules: HealthRules) -> None:
        group, address, registered_at = key
        try:
            failure = await check_once(address, rules)
            target = self._registry.target(group, address)
            if target is not None and target.registered_at == registered_at:
                self._registry.check(group, address, rules, failure)
        finally:
            self._running.discard(key)


async def check_once(address: Address, rules: HealthRules) -> tuple[str, str] | None:
    """One HTTP health check; None when it passed, else reason and description."""
    host, port = address[0], rules.port or address[1]
    try:
        status = await asyncio.wait_for(_status(host, port, rules.path), rules.timeout_s)
    except TimeoutError:
        return REASON_TIMEOUT
    except (OSError, ValueError, IndexError, EOFError):
        return REASON_FAILED
    return None if rules.accepts(status) else reason_mismatch(status)


async def _status(host: str, port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: ELB-HealthChecker/2.0\r\n"
            "Accept-Encoding: gzip, compressed\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        return int((await reader.readline()).split(b" ", 2)[1])
    finally:
        writer.close()
