"""The kinds of requests that a load consists of, and how often each is sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from runbook.errors import InputInvalid

RouteClass = Literal["read", "write", "credential"]
ROUTE_CLASSES: tuple[RouteClass, ...] = get_args(RouteClass)
_READING = ("GET", "HEAD", "OPTIONS")
_CREDENTIAL = ("login", "signin", "signup", "log-in", "sign-in", "sign-up", "token", "password")
#: What is replaced in a path or body when a request is sent: the user's number, the request's.
USER, SEQUENCE = "{user}", "{sequence}"


@dataclass(frozen=True)
class RequestKind:
    """One kind of request; `weight` is its share relative to the others' weights.

    `path` and `body` may hold `{user}` and `{sequence}`: the number of the user who asks and
    of the request. `route_class` groups kinds in the results ("" = told by method and path:
    passwords are slow by design, so credentials are no ordinary writes). An `authenticated`
    request carries a user's bearer token.
    """

    name: str
    path: str
    method: str = "GET"
    weight: float = 1.0
    route_class: RouteClass | Literal[""] = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    authenticated: bool = False

    def __post_init__(self) -> None:
        wrong = None
        if not self.path.startswith("/"):
            wrong = f"path {self.path!r} does not begin with /"
        elif not self.weight >= 0:
            wrong = f"weight is {self.weight}"
        elif self.route_class and self.route_class not in ROUTE_CLASSES:
            wrong = f"route_class {self.route_class!r} is none of {', '.join(ROUTE_CLASSES)}"
        elif any(sign in f"{self.method}{self.path}" for sign in " \r\n"):
            wrong = "method or path holds white space"
        elif any(sign in "".join([*self.headers, *self.headers.values()]) for sign in "\r\n"):
            wrong = "a header holds a line break"
        if wrong:
            raise InputInvalid(
                f"The request kind {self.name!r} cannot be used", wrong, "mend its definition"
            )

    @property
    def grouped_as(self) -> RouteClass:
        """The route class, told by method and path where it is not given."""
        if self.route_class:
            return self.route_class
        if any(word in self.path.lower() for word in _CREDENTIAL):
            return "credential"
        return "read" if self.method.upper() in _READING else "write"

    @property
    def varies(self) -> bool:
        """Whether each request differs from the one before."""
        return SEQUENCE in self.path or SEQUENCE in self.body

    def filled(
        self, host: str, *, user: int = 0, sequence: int = 0, token: str = ""
    ) -> tuple[str, dict[str, str], bytes]:
        """Target, headers and body of one request to `host` (with its port)."""
        target, body = (
            text.replace(USER, str(user)).replace(SEQUENCE, str(sequence))
            for text in (self.path, self.body)
        )
        headers = {"Host": host, "User-Agent": "runbook-load", "Accept": "*/*"}
        content = body.encode()
        if content:
            headers["Content-Type"] = "application/json"
        if content or self.method.upper() not in _READING:
            headers["Content-Length"] = str(len(content))
        if self.authenticated and token:
            headers["Authorization"] = f"Bearer {token}"
        return target, headers | self.headers, content

    def request_bytes(
        self, host: str, *, user: int = 0, sequence: int = 0, token: str = ""
    ) -> bytes:
        """The request as it goes over the wire."""
        target, headers, content = self.filled(host, user=user, sequence=sequence, token=token)
        lines = [f"{self.method.upper()} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


@dataclass(frozen=True)
class Accounts:
    """How the load's users get their tokens: each signs up and logs in once, before the start.

    A user who exists already (status 409) just logs in. `body` holds `{user}`; the token is
    the field `token_field` of the answer. `count` users take turns.
    """

    count: int = 0
    sign_up_path: str = "/user/signup"
    log_in_path: str = "/user/login"
    token_field: str = "token"
    body: str = '{"email": "load-{user}@example.org", "password": "load-test-{user}"}'

    def body_of(self, user: int) -> str:
        """What a user signs up and logs in with."""
        body = self.body.replace(USER, str(user))
        try:
            json.loads(body)
        except ValueError as error:
            raise InputInvalid(
                "The users cannot log in", f"their body is no JSON: {error}", "mend accounts.body"
            ) from error
        return body


def choose(kinds: Sequence[RequestKind], count: int, seed: int) -> NDArray[np.int16]:
    """Which kind each of `count` requests is: drawn by weight, the same for the same seed.

    Raises InputInvalid when no kind has any weight.
    """
    weights = np.array([kind.weight for kind in kinds], dtype=np.float64)
    if not weights.sum() > 0:
        raise InputInvalid(
            "The load plan cannot be used", "no request kind has a weight", "give one a weight"
        )
    if len(kinds) == 1:
        return np.zeros(count, dtype=np.int16)
    # A stream of its own: the arrival times stay the same whatever is requested.
    rng = np.random.default_rng([seed, 1])
    return rng.choice(len(kinds), count, p=weights / weights.sum()).astype(np.int16)
