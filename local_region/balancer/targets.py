"""Who is registered in which target group, and how each target fares: a load balancer's memory.

The state machine follows Application Load Balancer: a new target is `initial` and needs one
passed check; afterwards the group's thresholds count. An initial target is looked at often, so
that its start is seen when it is done, but its failures count once an interval, and the interval
as configured: a start takes the time it takes, it is not compressed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

State = Literal["initial", "healthy", "unhealthy", "draining"]
Address = tuple[str, int]

REASON_INITIAL = ("Elb.RegistrationInProgress", "Target registration is in progress")
REASON_DRAINING = ("Target.DeregistrationInProgress", "Target deregistration is in progress")
REASON_FAILED = ("Target.FailedHealthChecks", "Health checks failed")
REASON_TIMEOUT = ("Target.Timeout", "Request timed out")


def reason_mismatch(status: int) -> tuple[str, str]:
    """Reason and description of an answer whose status the group does not accept."""
    return ("Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{status}]")


@dataclass(frozen=True)
class HealthRules:
    """A target group's health check; `interval_s` is compressed, the rest is as configured.

    Times in seconds. `initial_interval_s`: how often failures of an initial target count.
    """

    path: str = "/"
    port: int | None = None
    interval_s: float = 30.0
    initial_interval_s: float = 30.0
    timeout_s: float = 5.0
    healthy_threshold: int = 5
    unhealthy_threshold: int = 2
    matcher: str = "200"

    def accepts(self, status: int) -> bool:
        """Whether a status is in the matcher ("200", "200,202", "200-299")."""
        for part in self.matcher.split(","):
            low, _, high = part.strip().partition("-")
            if int(low) <= status <= int(high or low):
                return True
        return False


@dataclass(frozen=True)
class Target:
    """One registered address. Times are epoch seconds; `ok` and `bad` count checks in a row."""

    address: Address
    state: State
    registered_at: float
    since: float
    reason: tuple[str, str] | None = REASON_INITIAL
    ok: int = 0
    bad: int = 0
    counted_at: float = 0.0

    @property
    def healthy(self) -> bool:
        return self.state == "healthy"


def after_check(
    target: Target, rules: HealthRules, failure: tuple[str, str] | None, now: float
) -> Target:
    """The target after one health check; `failure` is None when it passed."""
    if target.state == "draining":
        return target
    return (
        _after_pass(target, rules, now)
        if failure is None
        else (_after_failure(target, rules, failure, now))
    )


def _after_pass(target: Target, rules: HealthRules, now: float) -> Target:
    passed = replace(target, ok=target.ok + 1, bad=0, counted_at=now)
    needed = 1 if target.state == "initial" else rules.healthy_threshold
    if target.state != "healthy" and passed.ok >= needed:
        return replace(passed, state="healthy", since=now, reason=None)
    return passed


def _after_failure(
    target: Target, rules: HealthRules, failure: tuple[str, str], now: float
) -> Target:
    since_counted = now - (target.counted_at or target.registered_at)
    if target.state == "initial" and since_counted < rules.initial_interval_s:
        return replace(target, ok=0)
    failed = replace(target, ok=0, bad=target.bad + 1, counted_at=now)
    if target.state == "unhealthy":
        return replace(failed, reason=failure)
    if failed.bad >= rules.unhealthy_threshold:
        return replace(failed, state="unhealthy", since=now, reason=failure)
    return failed


def routable(targets: Mapping[Address, Target]) -> set[Address]:
    """Whom requests may go to: the healthy; when there is none, the unhealthy (fail open, as in
    ALB: a wrong health check shall not take everything down). Never the initial or draining."""
    healthy = {a for a, t in targets.items() if t.state == "healthy"}
    return healthy or {a for a, t in targets.items() if t.state == "unhealthy"}


def read_rules(group: Mapping[str, Any], time_factor: float, shortest_s: float) -> HealthRules:
    """The rules of a target group's record; its interval times `time_factor`, not below
    `shortest_s`. The timeout is not compressed: answers take the time they take."""
    port = group.get("HealthCheckPort", "traffic-port")
    interval_s = float(group.get("HealthCheckIntervalSeconds", 30))
    return HealthRules(
        path=group.get("HealthCheckPath") or "/",
        port=int(port) if str(port).isdigit() else None,
        interval_s=max(shortest_s, interval_s * time_factor),
        initial_interval_s=interval_s,
        timeout_s=float(group.get("HealthCheckTimeoutSeconds", 5)),
        healthy_threshold=int(group.get("HealthyThresholdCount", 5)),
        unhealthy_threshold=int(group.get("UnhealthyThresholdCount", 2)),
        matcher=str((group.get("Matcher") or {}).get("HttpCode") or "200"),
    )


class TargetRegistry:
    """All targets of all groups, by group ARN. Thread-safe; `changed` is called after a change."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._groups: dict[str, dict[Address, Target]] = {}
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, call: Callable[[], None]) -> None:
        """Have `call` called (quickly, from any thread) after every change of a state."""
        self._listeners.append(call)

    def register(self, group: str, address: Address) -> None:
        """Add an address; one that is draining comes back as a new target."""
        now = self._clock()
        with self._lock:
            targets = self._groups.setdefault(group, {})
            known = targets.get(address)
            if known is not None and known.state != "draining":
                return
            targets[address] = Target(address, "initial", registered_at=now, since=now)
        self._notify()

    def deregister(self, group: str, address: Address) -> None:
        """Let an address drain; the balancer forgets it once its requests are answered."""
        with self._lock:
            target = self._groups.get(group, {}).get(address)
            if target is None or target.state == "draining":
                return
            self._groups[group][address] = replace(
                target, state="draining", since=self._clock(), reason=REASON_DRAINING
            )
        self._notify()

    def forget(self, group: str, address: Address) -> None:
        """Remove an address at once: its process is gone, or it has drained."""
        with self._lock:
            removed = self._groups.get(group, {}).pop(address, None)
        if removed is not None:
            self._notify()

    def forget_group(self, group: str) -> None:
        with self._lock:
            self._groups.pop(group, None)
        self._notify()

    def check(
        self, group: str, address: Address, rules: HealthRules, failure: tuple[str, str] | None
    ) -> None:
        """Book one health check."""
        with self._lock:
            target = self._groups.get(group, {}).get(address)
            if target is None:
                return
            now_is = after_check(target, rules, failure, self._clock())
            self._groups[group][address] = now_is
        if now_is.state != target.state:
            self._notify()

    def groups(self) -> list[str]:
        with self._lock:
            return list(self._groups)

    def targets(self, group: str) -> dict[Address, Target]:
        """A copy: address -> target."""
        with self._lock:
            return dict(self._groups.get(group, {}))

    def target(self, group: str, address: Address) -> Target | None:
        with self._lock:
            return self._groups.get(group, {}).get(address)

    def counts(self, group: str) -> tuple[int, int]:
        """(healthy, unhealthy) targets now; the initial are neither."""
        states = [target.state for target in self.targets(group).values()]
        return states.count("healthy"), states.count("unhealthy")

    def _notify(self) -> None:
        for call in self._listeners:
            call()
