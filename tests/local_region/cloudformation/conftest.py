"""A context whose clients are fakes that keep what they were asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local_region.seams import core
from local_region.settings import Settings

SCOPE = ("000000000000", "eu-west-1")


class FakeClient:
    """Knows the service's model like a real client; answers from `answers` by method name."""

    def __init__(self, service: str) -> None:
        real = boto3.client(
            service, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        self.meta = real.meta
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}

    def __getattr__(self, method: str) -> Any:
        def ask(**request: Any) -> Any:
            self.asked.append((method, request))
            answer = self.answers.get(method, {})
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask

    def refuse(self, method: str, code: str, message: str = "no") -> None:
        error = {"Error": {"Code": code, "Message": message}}
        self.answers[method] = ClientError(error, method)

    def asked_for(self, method: str) -> list[dict[str, Any]]:
        return [request for name, request in self.asked if name == method]


class FakeContext:
    """Hands out one fake client a service."""

    settings = Settings(stabilise_timeout_s=7.0)

    def __init__(self) -> None:
        self.clients: dict[str, FakeClient] = {}

    def client(self, service: str, region: str, account_id: str) -> FakeClient:
        assert (account_id, region) == SCOPE
        if service not in self.clients:
            self.clients[service] = FakeClient(service)
        return self.clients[service]


@pytest.fixture
def context() -> Iterator[FakeContext]:
    with core.request_scope(*SCOPE):
        yield FakeContext()
