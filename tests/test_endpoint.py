"""One endpoint for everybody who asks: the edge when it is on, else the balancer."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from runbook import endpoint as endpoint_module
from runbook.endpoint import CREDENTIAL, endpoint
from runbook.environment import Environment
from runbook.errors import StackNotFound

OPEN = {"Exposure": "internet", "AllowedCidr": "0.0.0.0/0", "Login": "none"}
NO_EDGE = {"EdgeUrl": "none", "AccessControl": "none"}
EDGE = {"EdgeUrl": "https://edge.example", "AccessControl": "none"}


@pytest.fixture
def blue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.delenv(CREDENTIAL, raising=False)
    return Environment("blue", "shop", "eu-west-1", "", 60, tmp_path, tmp_path)


@pytest.fixture
def use(blue: Environment, monkeypatch: pytest.MonkeyPatch):
    def deployed(edge: dict[str, str] | None, **balancer: str) -> endpoint_module.Endpoint:
        def outputs(environment: Environment, layer: str) -> dict[str, str]:
            if layer == "edge":
                if edge is None:
                    raise StackNotFound("Stack edge not found", "no", "deploy it")
                return edge
            return {"ServiceUrl": "http://balancer"}

        monkeypatch.setattr(endpoint_module, "outputs", outputs)
        monkeypatch.setattr(endpoint_module, "parameters", lambda *_: OPEN | balancer)
        return endpoint(blue)

    return deployed


@pytest.mark.parametrize("edge", [None, NO_EDGE])
def test_without_an_edge_it_is_the_balancer(use, edge) -> None:
    found = use(edge)
    assert (found.url, found.closed, found.narrow) == ("http://balancer", "", "")


@pytest.mark.parametrize("exposure", ["vpc-origin", "cloudfront"])
def test_with_an_edge_it_is_the_edge(use, exposure: str) -> None:
    found = use(EDGE, Exposure=exposure)
    assert (found.url, found.closed) == ("https://edge.example", "")
    assert "web ACL" in found.narrow
    assert f"Exposure: {exposure}" in use(None, Exposure=exposure).closed


def test_the_edge_is_shown_what_it_asks_for(
    use,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "RUNBOOK_API_KEY is unset" in use(EDGE | {"AccessControl": "api-key"}).closed
    monkeypatch.setenv(CREDENTIAL, "ann:secret")
    found = use(EDGE | {"AccessControl": "api-key"})
    assert found.headers == {"x-api-key": "ann:secret"}
    assert "secret" not in repr(found)
    basic = use(EDGE | {"AccessControl": "basic"}).headers["Authorization"]
    assert base64.b64decode(basic.removeprefix("Basic ")) == b"ann:secret"
    assert use(EDGE).headers == {}, "who does not ask is not shown it"
    assert use(None).headers == {}


def test_who_must_log_in_or_is_elsewhere_may_not_be_let_in(use) -> None:
    assert "Login: cognito" in use(None, Login="cognito").closed
    assert "Login: cognito" in use(EDGE, Login="cognito").closed
    assert "only 10.0.0.0/8 in (AllowedCidr)" in use(None, AllowedCidr="10.0.0.0/8").narrow
