"""Bearer tokens for the load's users: each signs up and logs in once, before the load."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from runbook.errors import LoadFailed
from runbook.load.kinds import Accounts

_EXISTS = 409


def log_in(url: str, accounts: Accounts, timeout_s: float) -> list[str]:
    """A token for each user, in order. Raises LoadFailed when one cannot be had."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        return [_token(connection, accounts, user) for user in range(accounts.count)]
    except (OSError, http.client.HTTPException) as error:
        raise LoadFailed(
            "The load's users cannot log in", f"{type(error).__name__}: {error}", _NEXT
        ) from error
    finally:
        connection.close()


_NEXT = "check the service, and the paths of `accounts` in the load plan"


def _token(connection: http.client.HTTPConnection, accounts: Accounts, user: int) -> str:
    body = accounts.body_of(user)
    status, _ = _post(connection, accounts.sign_up_path, body)
    if status != _EXISTS and not 200 <= status < 300:
        raise LoadFailed(
            "The load's users cannot sign up", f"{accounts.sign_up_path} answered {status}", _NEXT
        )
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
