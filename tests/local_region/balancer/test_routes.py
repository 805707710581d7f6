"""Listener rules as Envoy routes."""

from __future__ import annotations

import re

import pytest

from local_region.balancer.routes import Rule, make_routes, read_rules

CLUSTERS = {"arn:tg": "targetgroup/g/1"}
FORWARD = {"Type": "forward", "TargetGroupArn": "arn:tg"}


def routes(*rules):
    return make_routes(rules, CLUSTERS, 60)


def condition(field, *values, **more):
    return {"Field": field, "Values": list(values), **more}


def only(conditions, action=FORWARD):
    made = routes(Rule(1, conditions, [action]))
    assert made.notes == []
    return made.routes[0]


def test_rules_are_tried_by_priority_and_the_default_last():
    records = [
        {"Priority": "20", "Conditions": [], "Actions": ["twenty"]},
        {"Priority": "default", "IsDefault": True, "Actions": ["not this copy"]},
        {"Priority": "3", "Conditions": [], "Actions": ["three"]},
    ]
    rules = read_rules(records, ["default"])
    assert [rule.actions for rule in rules] == [["three"], ["twenty"], ["default"]]


def test_forward_has_no_retries():
    route = only([])
    assert route["match"] == {"prefix": "/"}
    assert route["route"] == {"cluster": "targetgroup/g/1", "timeout": "60s"}


@pytest.mark.parametrize(
    ("patterns", "path", "matches"),
    [
        (["/api/*"], "/api/products", True),
        (["/api/*"], "/apiary", False),
        (["/a?c"], "/abc", True),
        (["/a?c"], "/ac", False),
        (["/x.y"], "/xzy", False),
        (["/one", "/two/*"], "/two/3", True),
    ],
)
def test_path_patterns(patterns, path, matches):
    match = only([condition("path-pattern", *patterns)])["match"]
    assert bool(re.fullmatch(match["safe_regex"]["regex"], path)) is matches


@pytest.mark.parametrize(
    ("host", "matches"),
    [("shop.example.com", True), ("SHOP.example.com:8080", True), ("example.com", False),
     ("shopXexample.com", False)],
)  # fmt: skip
def test_host_header(host, matches):
    match = only([condition("host-header", "*.example.com")])["match"]
    header = match["headers"][0]
    assert header["name"] == ":authority"
    regex = header["string_match"]["safe_regex"]["regex"]
    assert bool(re.fullmatch(regex, host)) is matches


def test_conditions_are_all_needed():
    match = only(
        [
            condition("path-pattern", "/a"),
            condition("http-request-method", "GET", "HEAD"),
            condition(
                "http-header", HttpHeaderConfig={"HttpHeaderName": "X-Key", "Values": ["a*"]}
            ),
        ]
    )["match"]
    assert "prefix" not in match
    assert [h["name"] for h in match["headers"]] == [":method", "x-key"]


def test_fixed_response():
    config = {"StatusCode": "403", "ContentType": "application/json", "MessageBody": "{}"}
    route = only([], {"Type": "fixed-response", "FixedResponseConfig": config})
    assert route["direct_response"] == {"status": 403, "body": {"inline_string": "{}"}}
    header = route["response_headers_to_add"][0]["header"]
    assert header == {"key": "content-type", "value": "application/json"}


@pytest.mark.parametrize(
    ("config", "redirect"),
    [
        (
            {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"},
            {
                "response_code": "MOVED_PERMANENTLY", "scheme_redirect": "https",
                "port_redirect": 443,
            },
        ),
        (
            {"Host": "new.example.com", "Path": "/x", "Query": "", "StatusCode": "HTTP_302"},
            {
                "response_code": "FOUND", "host_redirect": "new.example.com",
                "path_redirect": "/x", "strip_query": True,
            },
        ),
        ({"Path": "/#{path}", "StatusCode": "HTTP_302"}, {"response_code": "FOUND"}),
    ],
)  # fmt: skip
def test_redirect(config, redirect):
    assert only([], {"Type": "redirect", "RedirectConfig": config})["redirect"] == redirect


@pytest.mark.parametrize(
    "actions",
    [
        [{"Type": "authenticate-cognito"}, FORWARD],
        [{"Type": "authenticate-oidc"}],
        [{"Type": "forward", "TargetGroupArn": "arn:gone"}],
        [{"Type": "redirect", "RedirectConfig": {"Path": "/new/#{path}"}}],
    ],
)
def test_what_is_not_emulated_answers_501_and_says_so(actions):
    made = routes(Rule(1, [], actions))
    assert made.routes[0]["direct_response"]["status"] == 501
    assert len(made.notes) == 1


def test_rule_with_an_unknown_condition_is_left_out_and_said():
    made = routes(
        Rule(7, [condition("source-ip", "10.0.0.0/8")], [FORWARD]), Rule(9, [], [FORWARD])
    )
    assert len(made.routes) == 1
    assert made.notes == ["rule 7 is left out: conditions on source-ip are not emulated"]
