"""What the edge stack comes to with one parameter or another: conditions worked out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

Templates = dict[str, dict[str, Any]]
ON = {"EdgeMode": "vpc-origin", "EndpointHealthCheck": "enabled"}
CHECK = {"EndpointHealthCheck": "enabled"}
DEFAULTS = {"BalancerDnsName": "balancer.elb.example", "BalancerCertificateName": "none"}
TLS = {"BalancerCertificateName": "origin.example"}


def worked_out(template: dict[str, Any], section: Any, given: Mapping[str, str]) -> Any:
    """A part of a template with its conditions decided; what AWS only knows stays a function."""
    declared = template["Parameters"].items()
    values = {name: str(spec["Default"]) for name, spec in declared if "Default" in spec}
    values |= DEFAULTS | dict(given)

    def holds(node: Any) -> bool:
        ((name, argument),) = node.items()
        if name == "Condition":
            return holds(template["Conditions"][argument])
        if name == "Fn::Equals":
            left, right = (values[x["Ref"]] if isinstance(x, dict) else x for x in argument)
            return bool(left == right)
        parts = [holds(item) for item in argument]
        return {"Fn::Not": not parts[0], "Fn::And": all(parts), "Fn::Or": any(parts)}[name]

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [item for item in map(walk, node) if item is not None]
        if not isinstance(node, dict):
            return node
        if set(node) == {"Fn::If"}:
            condition, yes, no = node["Fn::If"]
            return walk(yes if holds({"Condition": condition}) else no)
        if set(node) == {"Ref"}:
            return None if node["Ref"] == "AWS::NoValue" else values.get(node["Ref"], node)
        return {key: found for key, item in node.items() if (found := walk(item)) is not None}

    return walk(section)


def edge(templates: Templates, resource: str, given: Mapping[str, str]) -> dict[str, Any]:
    template = templates["edge"]
    properties: dict[str, Any] = worked_out(
        template, template["Resources"][resource]["Properties"], given
    )
    return properties


@pytest.mark.parametrize(
    ("given", "port", "name"),
    [
        (CHECK, 80, "balancer.elb.example"),
        # On port 80 there would be a redirect, which counts as healthy.
        (CHECK | TLS, 443, "origin.example"),
        (ON, 443, {"Fn::GetAtt": ["Distribution", "DomainName"]}),
        (ON | TLS | {"DomainName": "shop.example"}, 443, "shop.example"),
    ],
)
def test_the_look_from_outside_calls_what_answers_for_a_task(
    given: dict[str, str], port: int, name: Any, templates: Templates
) -> None:
    config = edge(templates, "EndpointCheck", given)["HealthCheckConfig"]
    assert (config["Port"], config["FullyQualifiedDomainName"]) == (port, name)
    assert config["Type"] == {80: "HTTP", 443: "HTTPS"}[port]
    assert config.get("EnableSNI", False) is (port == 443)


@pytest.mark.parametrize(
    ("given", "protocol", "name"),
    [
        ({}, "http-only", "balancer.elb.example"),
        (TLS, "https-only", "origin.example"),
        (TLS | {"DomainName": "shop.example"}, "https-only", "origin.example"),
        # A name that leads to CloudFront itself; the certificate is for the Host it sends on.
        (TLS | {"DomainName": "origin.example"}, "https-only", "balancer.elb.example"),
    ],
)
@pytest.mark.parametrize("mode", ["vpc-origin", "public-origin"])
def test_cloudfront_calls_the_balancer_as_it_answers(
    mode: str, given: dict[str, str], protocol: str, name: str, templates: Templates
) -> None:
    given = given | {"EdgeMode": mode}
    distribution = edge(templates, "Distribution", given)["DistributionConfig"]
    (origin,) = distribution["Origins"]
    assert origin["DomainName"] == name
    if mode == "vpc-origin":
        assert "CustomOriginConfig" not in origin
        name = origin["VpcOriginConfig"]["VpcOriginId"]["Ref"]
        endpoint = edge(templates, name, given)["VpcOriginEndpointConfig"]
        assert endpoint["OriginProtocolPolicy"] == protocol
    else:
        assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == protocol


@pytest.mark.parametrize(
    ("control", "asked", "headers"),
    [("none", False, False), ("basic", True, False), ("api-key", True, True)],
)
def test_keys_are_asked_for_where_they_are_wanted(
    control: str, asked: bool, headers: bool, templates: Templates
) -> None:
    given = ON | {"AccessControl": control}
    behaviour = edge(templates, "Distribution", given)["DistributionConfig"]["DefaultCacheBehavior"]
    assert ("FunctionAssociations" in behaviour) is asked
    assert ("ResponseHeadersPolicyId" in behaviour) is headers


def test_no_client_comes_in_by_addresses_that_the_lists_cannot_hold(templates: Templates) -> None:
    resources = templates["edge"]["Resources"]
    sets = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::WAFv2::IPSet"]
    assert {item["IPAddressVersion"] for item in sets} == {"IPV4"}
    config = resources["Distribution"]["Properties"]["DistributionConfig"]
    assert config["IPV6Enabled"] is False
    records = [r["Properties"] for r in resources.values() if r["Type"].endswith("RecordSet")]
    assert {record["Type"] for record in records} == {"A"}


@pytest.mark.parametrize("exposure", ["internet", "cloudfront", "vpc-origin"])
def test_a_login_leaves_the_open_path_open(exposure: str, templates: Templates) -> None:
    template = templates["balancer"]
    given = {"Login": "cognito", "Exposure": exposure, "CertificateArn": "arn:aws:acm:x"}
    given |= {"DomainName": "shop.example"}
    rules = {
        name: worked_out(template, template["Resources"][name]["Properties"], given)
        for name in ("OpenWithoutLogin", "FromCloudFront")
    }
    rule = rules["OpenWithoutLogin"]
    assert [action["Type"] for action in rule["Actions"]] == ["forward"]
    fields = {item["Field"]: item for item in rule["Conditions"]}
    assert fields["path-pattern"]["PathPatternConfig"] == {"Values": ["/health"]}
    # It comes before the rule that asks for the login, and no way around the secret header.
    assert int(rule["Priority"]) < int(rules["FromCloudFront"]["Priority"])
    assert ("http-header" in fields) is (exposure == "cloudfront")


@pytest.mark.parametrize(
    ("exposure", "count"), [("internet", "1"), ("cloudfront", "2"), ("vpc-origin", "2")]
)
def test_tasks_are_told_how_many_proxies_are_in_front_of_them(
    exposure: str, count: str, templates: Templates
) -> None:
    template = templates["balancer"]
    output = template["Outputs"]["ProxyCount"]["Value"]
    assert worked_out(template, output, {"Exposure": exposure}) == count
