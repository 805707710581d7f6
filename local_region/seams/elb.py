"""The emulator's load balancers: its records stay, their names and targets' health become true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from xml.sax.saxutils import escape

from local_region.seams import core

Record = dict[str, Any]
_Parameters = Mapping[str, Any]
_LOAD_BALANCER_TYPE = "AWS::ElasticLoadBalancingV2::LoadBalancer"


@dataclass(frozen=True)
class TargetHealth:
    """A target's health as DescribeTargetHealth shows it."""

    id: str
    port: int
    state: str
    reason: str | None = None
    description: str | None = None


class ElbHooks(Protocol):
    """What the balancer does when the API is called, on the emulator's event loop: be quick."""

    def dns_name(self, load_balancer_arn: str) -> str:
        """What a new load balancer is reached by: host and port."""

    def register(self, target_group_arn: str, targets: Sequence[tuple[str, int]]) -> None: ...

    def deregister(self, target_group_arn: str, targets: Sequence[tuple[str, int]]) -> None: ...

    def health(self, target_group_arn: str) -> list[TargetHealth]: ...


class ElbStore:
    """The records of one account and region. Every call needs them pinned."""

    def load_balancers(self) -> dict[str, Record]:
        return dict(_module()._lbs.items())

    def listeners(self) -> list[Record]:
        return list(_module()._listeners.values())

    def rules(self, listener_arn: str) -> list[Record]:
        return [r for r in _module()._rules.values() if r.get("ListenerArn") == listener_arn]

    def target_groups(self) -> dict[str, Record]:
        return dict(_module()._tgs.items())

    def load_balancer_attributes(self, arn: str) -> dict[str, str]:
        return _attributes(_module()._lb_attrs.get(arn))

    def target_group_attributes(self, arn: str) -> dict[str, str]:
        return _attributes(_module()._tg_attrs.get(arn))

    def load_balancers_of(self, target_group_arn: str) -> list[str]:
        """ARNs of the load balancers whose listeners or rules forward to a target group."""
        alb = _module()
        found = []
        for listener in alb._listeners.values():
            rules = self.rules(listener["ListenerArn"])
            actions = [a for rule in rules for a in rule.get("Actions") or []]
            actions += listener.get("DefaultActions") or []
            if any(target_group_arn in target_groups_of(action) for action in actions):
                found.append(listener["LoadBalancerArn"])
        return list(dict.fromkeys(found))

    def mirror_targets(self, target_group_arn: str, targets: Sequence[tuple[str, int]]) -> None:
        """Write who is registered into the emulator's record."""
        _module()._targets[target_group_arn] = [{"Id": i, "Port": p} for i, p in targets]


def target_groups_of(action: Mapping[str, Any]) -> list[str]:
    """ARNs an action forwards to."""
    groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or []
    named = [action.get("TargetGroupArn"), *(g.get("TargetGroupArn") for g in groups)]
    return list(dict.fromkeys(arn for arn in named if arn))


def install(hooks: ElbHooks) -> None:
    """Give load balancers an address that answers and targets their true health.

    Raises SeamMoved.
    """
    alb = _module()
    for name in (
        "_lbs", "_tgs", "_listeners", "_rules", "_targets", "_lb_attrs", "_tg_attrs", "_p",
        "_parse_targets_param", "_xml", "_empty", "_error", "_lb_xml",
    ):  # fmt: skip
        core.attribute(alb, name)
    actions = core.attribute(alb, "_ACTION_MAP")

    def put(action: str, function: str, handler: Callable[[_Parameters], Any]) -> None:
        core.replace(alb, function, handler)
        core.replace(actions, action, handler)

    put("CreateLoadBalancer", "_create_lb", _naming(alb, hooks, alb._create_lb))
    put(
        "RegisterTargets", "_register_targets", _registering(alb, "RegisterTargets", hooks.register)
    )
    put(
        "DeregisterTargets", "_deregister_targets",
        _registering(alb, "DeregisterTargets", hooks.deregister),
    )  # fmt: skip
    put("DescribeTargetHealth", "_describe_target_health", _describing(alb, hooks))
    # Its own proxy answers by Host header, in Python, in this process: nobody shall measure that.
    core.replace(alb, "find_lb_for_host", lambda host: None)

    provisioners = core.module("services.cloudformation.provisioners")
    handlers = core.attribute(provisioners, "_RESOURCE_HANDLERS")[_LOAD_BALANCER_TYPE]
    create = _naming_resource(alb, hooks, core.attribute(handlers, "create"))
    core.replace(handlers, "create", create)
    core.replace(provisioners, "_elbv2_load_balancer_create", create)


def _module() -> Any:
    return core.module("services.alb")


def _attributes(pairs: Any) -> dict[str, str]:
    return {pair["Key"]: str(pair["Value"]) for pair in pairs or []}


def _naming(
    alb: Any, hooks: ElbHooks, create: Callable[[_Parameters], Any]
) -> Callable[[_Parameters], Any]:
    def answer(parameters: _Parameters) -> Any:
        before = set(alb._lbs.keys())
        result = create(parameters)
        for arn in set(alb._lbs.keys()) - before:
            record = alb._lbs[arn]
            record["DNSName"] = hooks.dns_name(arn)
            balancers = f"<LoadBalancers>{alb._lb_xml(record)}</LoadBalancers>"
            return alb._xml(200, "CreateLoadBalancer", balancers)
        return result

    return answer


def _naming_resource(alb: Any, hooks: ElbHooks, create: Callable[..., Any]) -> Callable[..., Any]:
    def create_named(logical_id: str, properties: Record, stack_name: str) -> Any:
        arn, attributes = create(logical_id, properties, stack_name)
        name = hooks.dns_name(arn)
        alb._lbs[arn]["DNSName"] = name
        return arn, {**attributes, "DNSName": name}

    return create_named


def _registering(
    alb: Any, action: str, act: Callable[[str, Sequence[tuple[str, int]]], None]
) -> Callable[[_Parameters], Any]:
    def answer(parameters: _Parameters) -> Any:
        arn = alb._p(parameters, "TargetGroupArn")
        group = alb._tgs.get(arn)
        if not group:
            return alb._error("TargetGroupNotFound", f"Target groups '{arn}' not found")
        act(arn, _targets(alb, parameters, group))
        return alb._empty(action)

    return answer


def _describing(alb: Any, hooks: ElbHooks) -> Callable[[_Parameters], Any]:
    def answer(parameters: _Parameters) -> Any:
        arn = alb._p(parameters, "TargetGroupArn")
        group = alb._tgs.get(arn)
        if not group:
            return alb._error("TargetGroupNotFound", f"Target groups '{arn}' not found")
        found = {(health.id, health.port): health for health in hooks.health(arn)}
        asked = _targets(alb, parameters, group)
        if asked:
            found = {target: found.get(target) or _unknown(*target) for target in asked}
        port = group.get("HealthCheckPort", "traffic-port")
        descriptions = "".join(_health_xml(health, port) for health in found.values())
        body = f"<TargetHealthDescriptions>{descriptions}</TargetHealthDescriptions>"
        return alb._xml(200, "DescribeTargetHealth", body)

    return answer


def _targets(alb: Any, parameters: _Parameters, group: Record) -> list[tuple[str, int]]:
    default = int(group.get("Port", 80))
    return [
        (target["Id"], int(target.get("Port", default)))
        for target in alb._parse_targets_param(parameters)
    ]


def _unknown(target_id: str, port: int) -> TargetHealth:
    return TargetHealth(
        target_id, port, "unused", "Target.NotRegistered",
        "Target is not registered to the target group",
    )  # fmt: skip


def _health_xml(health: TargetHealth, health_check_port: str) -> str:
    port = health.port if health_check_port == "traffic-port" else health_check_port
    reason = f"<Reason>{health.reason}</Reason>" if health.reason else ""
    text = f"<Description>{escape(health.description)}</Description>" if health.description else ""
    return (
        f"<member><HealthCheckPort>{port}</HealthCheckPort>"
        f"<Target><Id>{escape(health.id)}</Id><Port>{health.port}</Port></Target>"
        f"<TargetHealth><State>{health.state}</State>{reason}{text}</TargetHealth></member>"
    )
