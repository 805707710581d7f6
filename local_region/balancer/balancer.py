"""From the ELB API's records and the targets' health to what Envoy does."""

from __future__ import annotations

import ipaddress
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_region.balancer.envoy import ConfigFiles, Envoy
from local_region.balancer.envoy_config import Endpoint, Front, Places, Pool, documents
from local_region.balancer.health import HealthChecker
from local_region.balancer.listener_ports import ListenerPorts
from local_region.balancer.routes import make_routes, read_rules
from local_region.balancer.targets import (
    Address,
    HealthRules,
    Target,
    TargetRegistry,
    routable,
)
from local_region.balancer.targets import read_rules as read_health_rules
from local_region.context import RegionContext
from local_region.seams import elb

if TYPE_CHECKING:  # the controller needs our target registry: at run time it comes first
    from local_region.tasks.controller import Controller

DRAIN_MINIMUM_S = 0.3
"""A target that leaves gets no SIGTERM sooner: Envoy must have read its new list."""
SHORTEST_HEALTH_INTERVAL_S = 0.2
AWS_PERIOD_S = 60.0
_LOOP_S = 0.1
_DEFAULT_DEREGISTRATION_DELAY_S = 300.0
_NOT_IN_USE = (
    "Target.NotInUse",
    "Target group is not configured to receive traffic from the load balancer",
)
_log = logging.getLogger("local_region.balancer")


@dataclass(frozen=True)
class TargetGroup:
    """A target group in the words of its metrics. `full_name` is targetgroup/name/id."""

    arn: str
    full_name: str
    load_balancers: tuple[str, ...]
    """app/name/id of every load balancer that forwards to it."""


class Balancer:
    """Keeps Envoy in line with the records. `target_groups` and `healthy` are for metering."""

    def __init__(
        self,
        context: RegionContext,
        registry: TargetRegistry,
        envoy: Envoy,
        places: Places,
        on_stopped: Callable[[float], None],
    ) -> None:
        self._context, self._registry = context, registry
        self._envoy, self.places = envoy, places
        self._on_stopped = on_stopped
        self._store = elb.ElbStore()
        self._ports = ListenerPorts()
        self._files = ConfigFiles()
        self._rules: Mapping[str, HealthRules] = {}
        self._groups: Mapping[str, TargetGroup] = {}
        self._draining: dict[tuple[str, Address], float] = {}
        self._notes: dict[str, list[str]] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._checker = HealthChecker(registry, lambda: self._rules)
        self._thread: threading.Thread | None = None
        registry.on_change(self._wake.set)

    def start(self) -> None:
        """Write the first configuration, start Envoy, the checks and the loop.

        Raises DataPlaneFailed.
        """
        elb.install(self)
        with self._context.scope():
            self._reconcile()
        self._envoy.start()
        self._checker.start()
        self._thread = threading.Thread(target=self._loop, name="region-balancer", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the loop, the checks and Envoy. Idempotent."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        self._checker.stop(timeout_s)
        self._envoy.stop(timeout_s)
        self._ports.release_all()
        self._on_stopped(timeout_s)

    def status(self) -> dict[str, Any]:
        """Listeners, Envoy's process, and what rules could not be done."""
        with self._context.scope():
            names = {arn: record["DNSName"] for arn, record in self._store.load_balancers().items()}
            listeners = [
                {
                    "load_balancer": _tail(listener["LoadBalancerArn"], "loadbalancer/"),
                    "dns_name": names.get(listener["LoadBalancerArn"]),
                    "port": self._ports.port_of(listener["ListenerArn"]),
                    "listener_port": listener.get("Port"),
                    "notes": self._notes.get(listener["ListenerArn"], []),
                }
                for listener in self._store.listeners()
            ]
        return {"listeners": listeners, "envoy_pid": self._envoy.pid}

    def target_groups(self) -> list[TargetGroup]:
        """The target groups that load balancers forward to."""
        return [group for group in self._groups.values() if group.load_balancers]

    def counts(self, target_group_arn: str) -> tuple[int, int]:
        """(healthy, unhealthy) targets of a group now."""
        return self._registry.counts(target_group_arn)

    def reopen_access_log(self) -> bool:
        """Have Envoy open its access log anew, after it was renamed."""
        return self._envoy.reopen_logs()

    # --- what the ELB API asks (seams.elb.ElbHooks), on the emulator's event loop

    def dns_name(self, load_balancer_arn: str) -> str:
        """Host and port that stand for the load balancer's first listener."""
        return f"127.0.0.1:{self._ports.reserve(load_balancer_arn)}"

    def register(self, target_group_arn: str, targets: Sequence[Address]) -> None:
        for address in targets:
            self._registry.register(target_group_arn, address)

    def deregister(self, target_group_arn: str, targets: Sequence[Address]) -> None:
        for address in targets:
            self._registry.deregister(target_group_arn, address)

    def health(self, target_group_arn: str) -> list[elb.TargetHealth]:
        in_use = bool(self._store.load_balancers_of(target_group_arn))
        answer = []
        for address, target in self._registry.targets(target_group_arn).items():
            state, reason = (target.state, target.reason) if in_use else ("unused", _NOT_IN_USE)
            answer.append(elb.TargetHealth(*address, state, *(reason or (None, None))))
        return answer

    # --- the loop

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(_LOOP_S)
            self._wake.clear()
            try:
                with self._context.scope():
                    self._reconcile()
            except Exception:
                _log.exception("the balancer stumbled; going on")

    def _reconcile(self) -> None:
        records = self._store.target_groups()
        groups = {
            arn: TargetGroup(
                arn,
                "targetgroup/" + _tail(arn, "targetgroup/"),
                tuple(
                    _tail(balancer, "loadbalancer/")
                    for balancer in self._store.load_balancers_of(arn)
                ),
            )
            for arn in records
        }
        for arn in set(self._registry.groups()) - set(records):
            self._registry.forget_group(arn)
        factor = self._context.settings.period_s / AWS_PERIOD_S
        self._rules = {
            arn: read_health_rules(record, factor, SHORTEST_HEALTH_INTERVAL_S)
            for arn, record in records.items()
            if groups[arn].load_balancers and record.get("HealthCheckEnabled", True)
        }
        self._groups = groups
        self._finish_draining(groups)
        targets = {arn: self._registry.targets(arn) for arn in groups}
        pools = [self._pool(group, targets[group.arn]) for group in groups.values()]
        fronts = self._fronts({arn: group.full_name for arn, group in groups.items()})
        self._files.write(documents(self.places, fronts, pools))
        now = time.monotonic()
        for arn, by_address in targets.items():
            draining = {a for a, target in by_address.items() if target.state == "draining"}
            self._store.mirror_targets(arn, [a for a in by_address if a not in draining])
            for address in draining:
                self._draining.setdefault((arn, address), now)

    def _pool(self, group: TargetGroup, targets: Mapping[Address, Target]) -> Pool:
        wanted = routable(targets)
        attributes = self._store.target_group_attributes(group.arn)
        algorithm = attributes.get("load_balancing.algorithm.type", "round_robin")
        endpoints = tuple(
            # An unhealthy one stays visible: its active requests count once it drains.
            Endpoint(target.address, draining=target.address not in wanted)
            for target in sorted(targets.values(), key=lambda t: (t.registered_at, t.address))
            if target.state != "initial" and _is_ip(target.address)
        )
        return Pool(group.full_name, endpoints, algorithm == "least_outstanding_requests")

    def _finish_draining(self, groups: Mapping[str, TargetGroup]) -> None:
        """Forget the targets that have drained: 0.3 s told to Envoy, heard by it and no active
        request, or the group's deregistration delay."""
        now = time.monotonic()
        for (arn, address), since in list(self._draining.items()):
            target = self._registry.target(arn, address)
            if target is None or target.state != "draining" or arn not in groups:
                del self._draining[arn, address]
                continue
            if now - since < DRAIN_MINIMUM_S:
                continue
            undrained = self._envoy.undrained(groups[arn].full_name)
            delay_s = float(
                self._store.target_group_attributes(arn).get(
                    "deregistration_delay.timeout_seconds", _DEFAULT_DEREGISTRATION_DELAY_S
                )
            )
            drained = undrained is not None and address not in undrained
            if drained or now - since >= max(delay_s, DRAIN_MINIMUM_S):
                del self._draining[arn, address]
                self._registry.forget(arn, address)

    def _fronts(self, cluster_names: Mapping[str, str]) -> list[Front]:
        load_balancers = self._store.load_balancers()
        listeners = [
            listener
            for listener in self._store.listeners()
            if listener["LoadBalancerArn"] in load_balancers
        ]
        self._ports.keep(
            set(load_balancers),
            {listener["ListenerArn"]: listener["LoadBalancerArn"] for listener in listeners},
        )
        return [self._front(listener, cluster_names) for listener in listeners]

    def _front(self, listener: Mapping[str, Any], cluster_names: Mapping[str, str]) -> Front:
        arn, balancer = listener["ListenerArn"], listener["LoadBalancerArn"]
        attributes = self._store.load_balancer_attributes(balancer)
        idle_timeout_s = int(attributes.get("idle_timeout.timeout_seconds") or 60)
        rules = read_rules(self._store.rules(arn), listener.get("DefaultActions") or [])
        routes = make_routes(rules, cluster_names, idle_timeout_s)
        notes = list(routes.notes)
        if listener.get("Protocol") != "HTTP":
            notes.append(f"{listener.get('Protocol')} is answered as plain HTTP: no certificate")
        if notes and self._notes.get(arn) != notes:
            _log.warning("listener %s: %s", arn, "; ".join(notes))
        self._notes[arn] = notes
        return Front(
            name=_tail(arn, "listener/"),
            load_balancer=_tail(balancer, "loadbalancer/"),
            port=self._ports.listener(arn, balancer),
            idle_timeout_s=idle_timeout_s,
            routes=tuple(routes.routes),
        )


def start(context: RegionContext, controller: Controller) -> Balancer:
    """Start the load balancer. Raises DataPlaneFailed when Envoy does not start."""
    places = Places((context.directory / "envoy").resolve())
    envoy = Envoy(controller.host, places)
    places.access_log.unlink(missing_ok=True)
    # Envoy is a child of the task host, which therefore ends after it.
    balancer = Balancer(context, controller.targets, envoy, places, controller.close_host)
    balancer.start()
    return balancer


def _tail(arn: str, kind: str) -> str:
    """The part of an ELB ARN behind its kind: app/name/id, name/id."""
    return arn.partition(f":{kind}")[2]


def _is_ip(address: Address) -> bool:
    try:
        ipaddress.ip_address(address[0])
    except ValueError:
        return False
    return True
