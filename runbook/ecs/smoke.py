"""A first request to the service, as its users would send it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import urlsplit

from runbook.endpoint import Endpoint
from runbook.errors import AwsCallFailed, EndpointClosed, ServiceFailed

#: What the edge function says of a refusal of its own (sceptre/templates/edge.yaml).
EDGE_REFUSAL = ("x-refused-by", "edge")
#: Every answer of the service has it, so an answer with it is not CloudFront's own.
_SERVICE_HEADER = "X-Request-Id"


@dataclass(frozen=True)
class Answer:
    """What the service said: HTTP status, and the whole exchange's milliseconds."""

    url: str
    status: int
    duration_ms: float
    size_bytes: int


def smoke_check(
    where: Endpoint,
    path: str,
    *,
    timeout_s: float = 30.0,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Answer:
    """GET until the answer is 200 and JSON, for `timeout_s` seconds at most.

    Raises ServiceFailed with the last answer otherwise, also when the service or the balancer
    refuses; EndpointClosed when the edge does not let this machine in, AwsCallFailed when nobody
    listens: a balancer answers for a service that does not.
    """
    url = f"{where.url}{path}"
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError(f"not a web address: {url}")
    if where.closed:
        raise _closed(url, where.closed)
    started = now()
    while True:
        try:
            return _get(url, where.headers)
        except (OSError, HTTPException, ValueError) as error:
            last, no_connection, refused = str(error), _no_connection(error), _refused(error)
            if isinstance(error, urllib.error.HTTPError):
                error.close()
        if now() - started > timeout_s:
            if where.narrow and (no_connection or refused):
                raise _closed(url, f"{last}; {where.narrow}")
            if no_connection:
                raise AwsCallFailed(
                    f"{url} cannot be reached", last, "check network, name and balancer, ask again"
                )
            raise ServiceFailed(
                f"{url} does not answer as it should",
                last,
                "look at the service's tasks and target health",
            )
        sleep(0.5)


def _closed(url: str, why: str) -> EndpointClosed:
    return EndpointClosed(
        f"{url} cannot be asked from here", why, "see docs/edge.md, Asking from outside"
    )


def _no_connection(error: Exception) -> bool:
    return isinstance(error, urllib.error.URLError) and not isinstance(
        error, urllib.error.HTTPError
    )


def _refused(error: Exception) -> bool:
    """Whether the edge itself refused: its function, or its web ACL, for which CloudFront answers.

    What comes from behind it names its own server, as the balancer does, or has a request id.
    """
    if not isinstance(error, urllib.error.HTTPError) or error.code not in {401, 403}:
        return False
    name, value = EDGE_REFUSAL
    own = error.headers.get("Server") == "CloudFront" and _SERVICE_HEADER not in error.headers
    return error.headers.get(name) == value or (error.code == 403 and own)


def _get(url: str, headers: Mapping[str, str]) -> Answer:
    request = urllib.request.Request(url)
    for name, value in headers.items():
        # Not sent on to wherever an answer redirects to.
        request.add_unredirected_header(name, value)
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=10) as answer:
        body = answer.read()
    json.loads(body)
    return Answer(url, answer.status, (time.perf_counter() - started) * 1000, len(body))
