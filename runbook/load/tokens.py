"""Bearer tokens for the load's users: each signs up and logs in before the load.

A load may outlast its tokens. So each is fetched anew in time: before the expiry that it names
(`exp` of a JSON web token), or once the service answered 401 to it.
"""

from __future__ import annotations

import http.client
import json
import math
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from runbook.errors import LoadFailed
from runbook.load.kinds import Accounts

_EXISTS = 409
#: A token is renewed this long before its end, or with a fifth of its life left if that is less.
_MARGIN_S, _MARGIN_SHARE = 300.0, 0.2
#: Logging in costs the service a password hash: a user who is refused anew waits this long.
_AGAIN_S = 30.0


class Tokens:
    """The users' tokens, and whose is to be fetched anew. `clock` gives epoch seconds."""

    def __init__(self, tokens: Sequence[str], clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._tokens = list(tokens) or [""]
        self._since_s = [clock()] * len(self._tokens)
        self._forced_at_s = [-math.inf] * len(self._tokens)
        self._renew_at_s = [self._in_time(token) for token in self._tokens]

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, user: int) -> str:
        return self._tokens[user]

    def due(self) -> int | None:
        """The user whose token must be fetched anew first, None when nobody's must yet."""
        user = min(range(len(self._tokens)), key=self._renew_at_s.__getitem__)
        return user if self._renew_at_s[user] <= self._clock() else None

    def refused(self, user: int, sent_at_s: float) -> None:
        """A request sent then got a 401: renew the token, unless that has been done since."""
        at_s = max(self._clock(), self._forced_at_s[user] + _AGAIN_S)
        if sent_at_s > self._since_s[user] and at_s < self._renew_at_s[user]:
            self._renew_at_s[user] = self._forced_at_s[user] = at_s

    def renewed(self, user: int, token: str) -> None:
        """The user has another token."""
        self._tokens[user], self._since_s[user] = token, self._clock()
        self._renew_at_s[user] = self._in_time(token)

    def not_renewed(self, user: int) -> None:
        """The user could not log in: try again, but not at once."""
        self._renew_at_s[user] = self._clock() + _AGAIN_S

    def _in_time(self, token: str) -> float:
        now_s, ends_s = self._clock(), expires_at_s(token)
        if ends_s <= now_s:
            # Over already, because clocks differ: not fetched over and over.
            return now_s + _AGAIN_S
        return ends_s - min(_MARGIN_S, _MARGIN_SHARE * (ends_s - now_s))


def expires_at_s(token: str) -> float:
    """When a JSON web token ends (its `exp`, RFC 7519), epoch seconds; for any other, never."""
    try:
        claims = token.split(".")[1]
        content = json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        return float(content["exp"])
    except (LookupError, ValueError, TypeError):
        return math.inf


def log_in(url: str, accounts: Accounts, timeout_s: float) -> list[str]:
    """A token for each user, in order. Raises LoadFailed when one cannot be had."""
    with _connection(url, timeout_s) as connection:
        for user in range(accounts.count):
            _sign_up(connection, accounts, user)
        return [_token(connection, accounts, user) for user in range(accounts.count)]


def log_in_again(url: str, accounts: Accounts, timeout_s: float, user: int) -> str:
    """Another token for a user who has signed up. Raises LoadFailed when it cannot be had."""
    with _connection(url, timeout_s) as connection:
        return _token(connection, accounts, user)


_NEXT = "check the service, and the paths of `accounts` in the load plan"


@contextmanager
def _connection(url: str, timeout_s: float) -> Iterator[http.client.HTTPConnection]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        yield connection
    except (OSError, http.client.HTTPException) as error:
        raise LoadFailed(
            "The load's users cannot log in", f"{type(error).__name__}: {error}", _NEXT
        ) from error
    finally:
        connection.close()


def _sign_up(connection: http.client.HTTPConnection, accounts: Accounts, user: int) -> None:
    status, _ = _post(connection, accounts.sign_up_path, accounts.body_of(user))
    if status != _EXISTS and not 200 <= status < 300:
        raise LoadFailed(
            "The load's users cannot sign up", f"{accounts.sign_up_path} answered {status}", _NEXT
        )


def _token(connection: http.client.HTTPConnection, accounts: Accounts, user: int) -> str:
    body = accounts.body_of(user)
    status, answer = _post(connection, accounts.log_in_path, body)
    token = answer.get(accounts.token_field)
    if not 200 <= status < 300 or not isinstance(token, str):
        raise LoadFailed(
            "The load's users cannot log in",
            f"{accounts.log_in_path} answered {status} without a text in {accounts.token_field!r}",
            _NEXT,
        )
    return token


def _post(
    connection: http.client.HTTPConnection, path: str, body: str
) -> tuple[int, dict[str, Any]]:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    try:
        answer = json.loads(content)
    except ValueError:
        answer = {}
    return response.status, answer if isinstance(answer, dict) else {}
