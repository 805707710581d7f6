"""Where clients find the service: the edge when it is on, else the balancer. Chosen only here."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from runbook.aws import outputs, parameters
from runbook.environment import Environment
from runbook.errors import StackNotFound

#: What the edge is shown: an API key, or `user:password` where it asks for HTTP Basic.
CREDENTIAL = "RUNBOOK_API_KEY"
_EVERYBODY = "0.0.0.0/0"


@dataclass(frozen=True)
class Endpoint:
    """An address without a path. `headers` may hold a credential: never recorded or shown.

    `closed` says why nobody can ask it from here; empty when one can. `narrow` says what may keep
    this machine out although the service is well; empty where everybody is let in.
    """

    url: str
    closed: str = ""
    narrow: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


def endpoint(environment: Environment) -> Endpoint:
    """The environment's endpoint. Raises StackNotFound before its balancer is there."""
    service_url = outputs(environment, "balancer")["ServiceUrl"].rstrip("/")
    balancer = parameters(environment, "balancer")
    try:
        edge = outputs(environment, "edge")
    except StackNotFound:
        edge = {}
    url = edge.get("EdgeUrl", "none")
    if url != "none":
        found = _at_the_edge(url.rstrip("/"), edge.get("AccessControl", "none"))
    else:
        found = _at_the_balancer(service_url, balancer)
    if balancer.get("Login") == "cognito":
        return Endpoint(found.url, "the balancer asks people to log in (Login: cognito)")
    return found


def _at_the_edge(url: str, scheme: str) -> Endpoint:
    narrow = "the edge's web ACL or access control may keep this machine out"
    if scheme == "none":
        return Endpoint(url, narrow=narrow)
    credential = os.environ.get(CREDENTIAL, "")
    if not credential:
        return Endpoint(url, f"the edge asks for a credential ({scheme}) and {CREDENTIAL} is unset")
    if scheme == "basic":
        encoded = base64.b64encode(credential.encode()).decode()
        return Endpoint(url, narrow=narrow, headers={"Authorization": f"Basic {encoded}"})
    return Endpoint(url, narrow=narrow, headers={"x-api-key": credential})


def _at_the_balancer(url: str, balancer: Mapping[str, str]) -> Endpoint:
    exposure = balancer.get("Exposure", "internet")
    if exposure != "internet":
        return Endpoint(url, f"only CloudFront reaches the balancer (Exposure: {exposure})")
    allowed = balancer.get("AllowedCidr", _EVERYBODY)
    narrow = "" if allowed == _EVERYBODY else f"the balancer lets only {allowed} in (AllowedCidr)"
    return Endpoint(url, narrow=narrow)
