"""The seam into the emulator's load balancers."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlencode

import pytest

from local_region.errors import SeamMoved
from local_region.seams import core, elb
from local_region.seams.elb import TargetHealth

ACCOUNT, REGION = "000000000000", "eu-west-1"
TYPE = "AWS::ElasticLoadBalancingV2::LoadBalancer"


class Hooks:
    def __init__(self):
        self.named, self.registered, self.deregistered = [], [], []
        self.states = []

    def dns_name(self, arn):
        self.named.append(arn)
        return "127.0.0.1:20123"

    def register(self, arn, targets):
        self.registered += targets

    def deregister(self, arn, targets):
        self.deregistered += targets

    def health(self, arn):
        return self.states


@pytest.fixture
def world():
    """(call an action, hooks, provisioners), everything put back afterwards."""
    alb = core.module("services.alb")
    provisioners = core.module("services.cloudformation.provisioners")
    hooks = Hooks()
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "_create_lb", "_register_targets", "_deregister_targets", "_describe_target_health",
            "find_lb_for_host",
        ):  # fmt: skip
            patch.setattr(alb, name, getattr(alb, name))
        patch.setattr(alb, "_ACTION_MAP", dict(alb._ACTION_MAP))
        handlers = dict(provisioners._RESOURCE_HANDLERS)
        handlers[TYPE] = dict(handlers[TYPE])
        patch.setattr(provisioners, "_RESOURCE_HANDLERS", handlers)
        name = "_elbv2_load_balancer_create"
        patch.setattr(provisioners, name, getattr(provisioners, name))
        elb.install(hooks)

        def call(action, **parameters):
            body = urlencode({"Action": action, **parameters})
            with core.request_scope(ACCOUNT, REGION):
                status, _, text = asyncio.run(alb.handle_request("POST", "/", {}, body, {}))
            return status, text.decode()

        yield call, hooks, provisioners
        for store in (alb._lbs, alb._tgs, alb._listeners, alb._rules, alb._targets):
            store.clear()


def arn_in(text, kind):
    found = re.search(rf"<{kind}>([^<]+)</{kind}>", text)
    assert found
    return found[1]


def test_api_and_template_agree_on_the_name(world):
    call, hooks, provisioners = world
    _, created = call("CreateLoadBalancer", Name="one")
    assert arn_in(created, "DNSName") == "127.0.0.1:20123"
    with core.request_scope(ACCOUNT, REGION):
        create = provisioners._RESOURCE_HANDLERS[TYPE]["create"]
        arn, attributes = create("Balancer", {"Name": "two"}, "stack")
    assert attributes["DNSName"] == "127.0.0.1:20123"
    assert hooks.named[1] == arn
    _, described = call("DescribeLoadBalancers")
    assert described.count("<DNSName>127.0.0.1:20123</DNSName>") == 2


def test_refused_load_balancer_gets_no_name(world):
    call, hooks, _ = world
    call("CreateLoadBalancer", Name="one")
    status, _ = call("CreateLoadBalancer", Name="one")
    assert status == 400
    assert len(hooks.named) == 1


def test_targets_are_known_by_address_and_port(world):
    call, hooks, _ = world
    arn = arn_in(call("CreateTargetGroup", Name="g", Port="8000")[1], "TargetGroupArn")
    call(
        "RegisterTargets",
        **{
            "TargetGroupArn": arn,
            "Targets.member.1.Id": "127.0.0.1",
            "Targets.member.1.Port": "1",
            "Targets.member.2.Id": "127.0.0.1",
        },
    )
    assert hooks.registered == [("127.0.0.1", 1), ("127.0.0.1", 8000)]
    call("DeregisterTargets", **{"TargetGroupArn": arn, "Targets.member.1.Id": "127.0.0.1"})
    assert hooks.deregistered == [("127.0.0.1", 8000)]


def test_health_is_what_the_balancer_says(world):
    call, hooks, _ = world
    arn = arn_in(call("CreateTargetGroup", Name="g", Port="8000")[1], "TargetGroupArn")
    hooks.states = [
        TargetHealth("127.0.0.1", 1, "healthy"),
        TargetHealth("127.0.0.1", 2, "unhealthy", "Target.Timeout", "Request timed <out>"),
    ]
    _, text = call("DescribeTargetHealth", TargetGroupArn=arn)
    assert re.findall(r"<Port>(\d+)</Port>", text) == ["1", "2"]
    assert re.findall(r"<State>(\w+)</State>", text) == ["healthy", "unhealthy"]
    assert "<Reason>Target.Timeout</Reason>" in text
    assert "timed &lt;out&gt;" in text
    asked = {"Targets.member.1.Id": "127.0.0.1", "Targets.member.1.Port": "9"}
    _, text = call("DescribeTargetHealth", TargetGroupArn=arn, **asked)
    assert "Target.NotRegistered" in text


def test_unknown_target_group(world):
    call, _, _ = world
    for action in ("RegisterTargets", "DeregisterTargets", "DescribeTargetHealth"):
        status, text = call(action, TargetGroupArn="arn:none")
        assert status == 400
        assert "TargetGroupNotFound" in text


def test_load_balancers_of_a_target_group_by_listener_and_by_rule(world):
    call, _, _ = world
    store = elb.ElbStore()
    balancer = arn_in(call("CreateLoadBalancer", Name="one")[1], "LoadBalancerArn")
    groups = [
        arn_in(call("CreateTargetGroup", Name=n)[1], "TargetGroupArn") for n in ("a", "b", "c")
    ]
    listener = arn_in(
        call(
            "CreateListener",
            **{
                "LoadBalancerArn": balancer, "Port": "80", "Protocol": "HTTP",
                "DefaultActions.member.1.Type": "forward",
                "DefaultActions.member.1.TargetGroupArn": groups[0],
            },
        )[1],
        "ListenerArn",
    )  # fmt: skip
    call(
        "CreateRule",
        **{
            "ListenerArn": listener, "Priority": "5",
            "Conditions.member.1.Field": "path-pattern",
            "Conditions.member.1.Values.member.1": "/b/*",
            "Actions.member.1.Type": "forward",
            "Actions.member.1.TargetGroupArn": groups[1],
        },
    )  # fmt: skip
    with core.request_scope(ACCOUNT, REGION):
        assert [store.load_balancers_of(g) for g in groups] == [[balancer], [balancer], []]


def test_emulators_own_proxy_is_never_asked(world):
    assert core.module("services.alb").find_lb_for_host("one.alb.localhost") is None


@pytest.mark.parametrize("name", ["_parse_targets_param", "_lb_xml", "find_lb_for_host"])
def test_moved_seam_is_noticed(world, monkeypatch, name):
    monkeypatch.delattr(core.module("services.alb"), name)
    with pytest.raises(SeamMoved, match=name):
        elb.install(Hooks())
