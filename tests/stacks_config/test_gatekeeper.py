"""The edge function, run as CloudFront runs it: its own code, its event's shape, its key store."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app import create_app, start
from app.config import Config
from runbook.ecs.smoke import EDGE_REFUSAL

Templates = dict[str, dict[str, Any]]
Gatekeeper = Callable[..., dict[str, Any]]


def digested(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def event(uri: str = "/products", **headers: str) -> dict[str, Any]:
    """A viewer request, with the members that AWS documents."""
    return {
        "version": "1.0",
        "context": {
            "distributionDomainName": "d111111abcdef8.cloudfront.net",
            "distributionId": "EDFDVBD6EXAMPLE",
            "eventType": "viewer-request",
            "requestId": "EXAMPLEntjQpEXAMPLE_SG5Z-EXAMPLEPmPfEXAMPLEu3EqEXAMPLE==",
        },
        "viewer": {"ip": "198.51.100.11"},
        "request": {
            "method": "GET",
            "uri": uri,
            "querystring": {"limit": {"value": "3"}},
            "headers": {name.replace("_", "-"): {"value": v} for name, v in headers.items()},
            "cookies": {},
        },
    }


@pytest.fixture
def gatekeeper(templates: Templates, edge_function: Callable[..., dict[str, Any]]) -> Gatekeeper:
    """Calls the handler: (event, scheme, what the key store holds)."""
    properties = templates["edge"]["Resources"]["Gatekeeper"]["Properties"]
    assert properties["FunctionConfig"]["Runtime"] == "cloudfront-js-2.0"
    code, values = properties["FunctionCode"]["Fn::Sub"]
    assert values == {"Scheme": {"Fn::If": ["UseBasic", "basic", "api-key"]}}

    def call(
        event: dict[str, Any], scheme: str = "api-key", store: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        filled = code.replace("${Scheme}", scheme).replace("${OpenPath}", "/health")
        return edge_function(filled, event, store or {})

    return call


def entry(kind: str, shown: str, **more: Any) -> dict[str, Any]:
    return {f"{kind}:{digested(shown)}": {"owner": "someone", **more}}


def test_a_known_key_passes_and_is_not_sent_on(gatekeeper: Gatekeeper) -> None:
    sent = event(x_api_key="a-key", authorization="Bearer token")
    request = gatekeeper(sent, store=entry("key", "a-key"))
    assert request["uri"] == "/products"
    assert request["querystring"] == {"limit": {"value": "3"}}
    assert request["headers"] == {"authorization": {"value": "Bearer token"}}


@pytest.mark.parametrize("headers", [{}, {"x_api_key": ""}, {"x_api_key": "another"}])
def test_an_unknown_key_is_refused(gatekeeper: Gatekeeper, headers: dict[str, str]) -> None:
    response = gatekeeper(event(**headers), store=entry("key", "a-key"))
    assert response["statusCode"] == 401
    assert response["headers"]["cache-control"] == {"value": "no-store"}
    name, value = EDGE_REFUSAL
    assert response["headers"][name] == {"value": value}, "deployments know it by that"
    assert "www-authenticate" not in response["headers"]
    assert "message" in json.loads(response["body"])


def test_the_stored_hash_itself_opens_nothing(gatekeeper: Gatekeeper) -> None:
    store = entry("key", "a-key")
    (name,) = store
    assert gatekeeper(event(x_api_key=name), store=store)["statusCode"] == 401


@pytest.mark.parametrize(("expires", "passes"), [(1, False), (32_503_680_000, True), (0, True)])
def test_a_key_may_expire(gatekeeper: Gatekeeper, expires: int, passes: bool) -> None:
    answer = gatekeeper(event(x_api_key="k"), store=entry("key", "k", expires=expires))
    assert ("uri" in answer) is passes


def test_health_checks_need_no_key(gatekeeper: Gatekeeper) -> None:
    assert gatekeeper(event("/health"))["uri"] == "/health"
    assert gatekeeper(event("/health/more"))["statusCode"] == 401


@pytest.mark.parametrize("scheme", ["api-key", "basic"])
def test_a_browser_may_ask_before_it_sends_credentials(gatekeeper: Gatekeeper, scheme: str) -> None:
    asked = {"origin": "https://a.example", "access_control_request_method": "POST"}
    preflight = event(**asked)
    preflight["request"]["method"] = "OPTIONS"
    assert gatekeeper(preflight, scheme)["uri"] == "/products"
    # Only that question: neither another method with its header, nor another OPTIONS.
    assert gatekeeper(event(**asked), scheme)["statusCode"] == 401
    other = event()
    other["request"]["method"] = "OPTIONS"
    assert gatekeeper(other, scheme)["statusCode"] == 401


def test_basic_credentials_pass_and_the_browser_is_asked(gatekeeper: Gatekeeper) -> None:
    login = base64.b64encode(b"ann:secret").decode()
    store = entry("basic", login)
    request = gatekeeper(event(authorization=f"Basic {login}"), "basic", store)
    assert request["headers"] == {}
    for refused in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic !"}):
        response = gatekeeper(event(**refused), "basic", store)
        assert response["statusCode"] == 401
        assert response["headers"]["www-authenticate"]["value"].startswith("Basic ")


def test_a_key_does_not_pass_as_credentials(gatekeeper: Gatekeeper) -> None:
    assert gatekeeper(event(x_api_key="k"), "basic", entry("key", "k"))["statusCode"] == 401


def test_browsers_may_send_the_services_headers_and_the_key(
    templates: Templates, tmp_path: Path
) -> None:
    policy = templates["edge"]["Resources"]["BrowserHeaders"]["Properties"]
    cors = policy["ResponseHeadersPolicyConfig"]["CorsConfig"]
    config = Config("k" * 32, store_url=f"sqlite:///{tmp_path}/s.db", upload_dir=tmp_path)
    start.prepare(config)
    app = create_app(config)
    told = app.test_client().options("/products").headers
    app.extensions["store"].close()
    headers = told["Access-Control-Allow-Headers"].split(", ")
    assert cors["AccessControlAllowHeaders"]["Items"] == [*headers, "X-Api-Key"]
    methods = told["Access-Control-Allow-Methods"].split(", ")
    assert cors["AccessControlAllowMethods"]["Items"] == methods
    assert cors["AccessControlAllowOrigins"]["Items"] == [told["Access-Control-Allow-Origin"]]
    behaviour = templates["edge"]["Resources"]["Distribution"]["Properties"]["DistributionConfig"]
    assert set(methods) <= set(behaviour["DefaultCacheBehavior"]["AllowedMethods"])


def test_the_code_fits_what_cloudfront_takes(templates: Templates) -> None:
    code, _ = templates["edge"]["Resources"]["Gatekeeper"]["Properties"]["FunctionCode"]["Fn::Sub"]
    assert len(code.encode()) < 10_240
