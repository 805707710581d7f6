"""A first request to the service, as its users would send it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from runbook.errors import AwsCallFailed


@dataclass(frozen=True)
class Answer:
    """What the service said: HTTP status, and the whole exchange's milliseconds."""

    url: str
    status: int
    duration_ms: float
    size_bytes: int


def smoke_check(
    url: str,
    *,
    timeout_s: float = 30.0,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Answer:
    """GET until the answer is 200 and JSON, for `timeout_s` seconds at most.

    Raises AwsCallFailed with the last answer otherwise.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError(f"not a web address: {url}")
    started = now()
    while True:
        try:
            return _get(url)
        except (urllib.error.URLError, OSError, ValueError) as error:
            last = str(error)
        if now() - started > timeout_s:
            raise AwsCallFailed(
                f"{url} does not answer as it should",
                last,
                "look at the service's tasks and target health",
            )
        sleep(0.5)


def _get(url: str) -> Answer:
    started = time.perf_counter()
    with urllib.request.urlopen(url, timeout=10) as answer:
        body = answer.read()
    json.loads(body)
    return Answer(url, answer.status, (time.perf_counter() - started) * 1000, len(body))
