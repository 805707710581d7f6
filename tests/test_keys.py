"""Keys of the edge: hashes kept, credentials shown once."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from runbook import keys
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, InputInvalid
from runbook.keys import KeyStore, issue, key_store, revoke, rotate

DAY_S = 86_400
ENVIRONMENT = Environment("dev", "shop", "eu-west-1", "", 60, Path(), Path())


class FakeStore:
    """CloudFront's key store: every change needs the latest tag; pages of one."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.tag = 0

    def describe_key_value_store(self, KvsARN: str) -> dict[str, str]:  # noqa: N803
        return {"ETag": str(self.tag)}

    def put_key(self, KvsARN: str, Key: str, Value: str, IfMatch: str) -> None:  # noqa: N803
        self._require(IfMatch)
        self.kept[Key] = Value

    def delete_key(self, KvsARN: str, Key: str, IfMatch: str) -> None:  # noqa: N803
        self._require(IfMatch)
        del self.kept[Key]

    def list_keys(self, KvsARN: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        start = int(NextToken)
        names = sorted(self.kept)
        page: dict[str, Any] = {
            "Items": [{"Key": n, "Value": self.kept[n]} for n in names[start : start + 1]]
        }
        if start + 1 < len(names):
            page["NextToken"] = str(start + 1)
        return page

    def _require(self, tag: str) -> None:
        assert tag == str(self.tag)
        self.tag += 1


def store(scheme: str = "api-key") -> KeyStore:
    return KeyStore("arn:kvs", scheme, FakeStore())


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_key_is_kept_as_its_hash_only() -> None:
    mine = store()
    issued = issue(mine, "ann", days=30, now_s=1000)
    name = f"key:{hashed(issued.credential)}"
    assert mine.entries() == {name: {"owner": "ann", "expires": 1000 + 30 * DAY_S}}
    assert issued.id == name[4:16]
    assert issued.credential not in str(mine.api.kept)


def test_basic_credentials_are_kept_as_the_header_shows_them() -> None:
    mine = store("basic")
    issued = issue(mine, "ann")
    assert issued.credential.startswith("ann:")
    header = base64.b64encode(issued.credential.encode()).decode()
    assert mine.entries() == {f"basic:{hashed(header)}": {"owner": "ann", "expires": 0}}


def test_the_runbook_image_can_sign_the_stores_calls() -> None:
    # SigV4A; botocore has none of its own and asks for this package.
    lock = (Path(__file__).parents[1] / "runbook" / "requirements.lock").read_text()
    assert re.search(r"^awscrt==", lock, re.MULTILINE)


@pytest.mark.parametrize(
    ("endpoint", "called"),
    [
        ("http://127.0.0.1:4566", "127.0.0.1:4566"),
        ("http://region.example:4566", "000000000000.region.example:4566"),
        ("", "000000000000.cloudfront-kvs.global.api.aws"),
    ],
)
def test_the_store_is_called_where_it_is(
    endpoint: str, called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = boto3.client(
        "cloudfront-keyvaluestore", region_name="us-east-1", endpoint_url=endpoint or None,
        aws_access_key_id="k", aws_secret_access_key="s",
        config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip
    arn = "arn:aws:cloudfront::000000000000:key-value-store/keys"
    found = {"KeyStoreArn": arn, "AccessControl": "api-key"}
    monkeypatch.setattr(keys, "outputs", lambda environment, layer: found)
    monkeypatch.setattr(keys, "client", lambda environment, service, region: api)
    seen = []

    def stop(request: Any, **_: Any) -> None:
        seen.append(urlsplit(request.url).netloc)
        assert "SignedHeaders=host;" in request.headers["Authorization"].decode()
        raise EndpointConnectionError(endpoint_url=request.url)

    api.meta.events.register("before-send.cloudfront-keyvaluestore", stop)
    with pytest.raises(AwsCallFailed):
        key_store(ENVIRONMENT).entries()
    assert set(seen) == {called}


def test_no_two_keys_are_the_same() -> None:
    mine = store()
    assert issue(mine, "ann").credential != issue(mine, "ann").credential
    assert len(mine.entries()) == 2


def test_a_revoked_key_is_gone() -> None:
    mine = store()
    issued, other = issue(mine, "ann"), issue(mine, "bob")
    assert revoke(mine, issued.id) == "ann"
    assert [e["owner"] for e in mine.entries().values()] == ["bob"]
    with pytest.raises(InputInvalid):
        revoke(mine, issued.id)
    with pytest.raises(InputInvalid):
        revoke(mine, other.id[:3])


@pytest.mark.parametrize(("grace_days", "left"), [(7, 2), (0, 1)])
def test_a_rotated_key_ends_after_its_grace(grace_days: int, left: int) -> None:
    mine = store()
    old = issue(mine, "ann")
    new = rotate(mine, old.id, grace_days=grace_days, now_s=0)
    entries = mine.entries()
    assert len(entries) == left
    assert entries[f"key:{hashed(new.credential)}"] == {"owner": "ann", "expires": 0}
    if grace_days:
        assert entries[f"key:{hashed(old.credential)}"]["expires"] == grace_days * DAY_S
