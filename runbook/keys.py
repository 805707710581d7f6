"""API keys and Basic credentials of the edge: issued, rotated, revoked, listed.

CloudFront's key store holds hashes only, under the names that the edge function looks up
(sceptre/templates/edge.yaml): `key:<sha256>` or `basic:<sha256 of base64(user:password)>`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from runbook.aws import client, outputs
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, InputInvalid
from runbook.guard import require_writable

_SECRET_BYTES = 32
_NAMES = {"api-key": "key", "basic": "basic"}


@dataclass(frozen=True)
class KeyStore:
    """The store of an environment and what its edge asks clients for."""

    arn: str
    scheme: str
    api: Any

    def put(self, name: str, entry: dict[str, Any]) -> None:
        """Keep an entry. Raises AwsCallFailed."""
        self._change(lambda tag: self.api.put_key(
            KvsARN=self.arn, Key=name, Value=json.dumps(entry), IfMatch=tag
        ))  # fmt: skip

    def delete(self, name: str) -> None:
        """Forget an entry. Raises AwsCallFailed."""
        self._change(lambda tag: self.api.delete_key(KvsARN=self.arn, Key=name, IfMatch=tag))

    def entries(self) -> dict[str, dict[str, Any]]:
        """Everything that is kept, by name. Raises AwsCallFailed."""
        found: dict[str, dict[str, Any]] = {}
        more: dict[str, str] = {}
        try:
            while True:
                page = self.api.list_keys(KvsARN=self.arn, **more)
                found |= {item["Key"]: json.loads(item["Value"]) for item in page.get("Items", [])}
                if not page.get("NextToken"):
                    return found
                more = {"NextToken": page["NextToken"]}
        except (ClientError, BotoCoreError) as error:
            raise _failed(error) from error

    def _change(self, call: Any) -> None:
        try:
            call(self.api.describe_key_value_store(KvsARN=self.arn)["ETag"])
        except (ClientError, BotoCoreError) as error:
            raise _failed(error) from error


@dataclass(frozen=True)
class Issued:
    """A credential in clear: shown once, kept nowhere. `id` names it from then on."""

    id: str
    owner: str
    credential: str
    expires: int


def key_store(environment: Environment) -> KeyStore:
    """The environment's store. Raises InputInvalid when its edge asks for no keys."""
    found = outputs(environment, "edge")
    if found["KeyStoreArn"] == "none":
        raise InputInvalid(
            f"The edge of {environment.name} asks for no keys",
            "AccessControl in edge.yaml is none, or EdgeMode is",
            "turn both on first (docs/edge.md)",
        )
    api = client(environment, "cloudfront-keyvaluestore", environment.region_of("edge"))
    return KeyStore(found["KeyStoreArn"], found["AccessControl"], _reachable(api))


def writable_store(environment: Environment) -> KeyStore:
    """The store to `issue`, `rotate` or `revoke` in.

    Raises GuardRefused where the environment does not belong, and what `key_store` raises.
    """
    require_writable(environment)
    return key_store(environment)


def _reachable(api: Any) -> Any:
    """The client itself; its endpoint is left as it is when that is an IP address.

    botocore puts the account in front of the host's name, which an address cannot carry.
    """
    endpoint = urlsplit(api.meta.endpoint_url)

    def keep_host(request: Any, **_: Any) -> None:
        request.url = urlsplit(request.url)._replace(netloc=endpoint.netloc).geturl()

    with suppress(ValueError):
        ip_address(endpoint.hostname or "")
        api.meta.events.register_first(
            "before-sign.cloudfront-keyvaluestore", keep_host, unique_id="keep-host"
        )
    return api


def issue(store: KeyStore, owner: str, *, days: int = 0, now_s: float | None = None) -> Issued:
    """Make a credential for `owner`, valid for `days` (0: until revoked). Raises AwsCallFailed."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    shown = secret
    if store.scheme == "basic":
        secret = f"{owner}:{secret}"
        shown = base64.b64encode(secret.encode()).decode()
    hashed = hashlib.sha256(shown.encode()).hexdigest()
    expires = int((time.time() if now_s is None else now_s) + days * 86_400) if days else 0
    store.put(f"{_NAMES[store.scheme]}:{hashed}", {"owner": owner, "expires": expires})
    return Issued(hashed[:12], owner, secret, expires)


def revoke(store: KeyStore, key_id: str) -> str:
    """Forget the credential that begins with `key_id`; its owner. Raises InputInvalid."""
    name, owner = _find(store, key_id)
    store.delete(name)
    return owner


def rotate(
    store: KeyStore, key_id: str, *, grace_days: int = 7, now_s: float | None = None
) -> Issued:
    """Give the owner of `key_id` a new credential; the old one ends `grace_days` later.

    Raises InputInvalid for an unknown id.
    """
    name, owner = _find(store, key_id)
    issued = issue(store, owner, now_s=now_s)
    ends = int((time.time() if now_s is None else now_s) + grace_days * 86_400)
    if grace_days:
        store.put(name, {"owner": owner, "expires": ends})
    else:
        store.delete(name)
    return issued


def _find(store: KeyStore, key_id: str) -> tuple[str, str]:
    entries = store.entries()
    matching = [name for name in entries if name.partition(":")[2].startswith(key_id)]
    if len(matching) != 1 or len(key_id) < 6:
        raise InputInvalid(
            f"Key {key_id!r} is not one key",
            f"{len(matching)} begin so, and an id has at least 6 characters",
            "list them: runbook keys list ENV",
        )
    return matching[0], str(entries[matching[0]].get("owner", ""))


def _failed(error: Exception) -> AwsCallFailed:
    return AwsCallFailed(
        "CloudFront's key store did not answer as hoped", str(error), "check rights, try again"
    )
