"""What every part of the region is handed when it starts."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import boto3
import botocore.config

from local_region.children import ChildRegistry
from local_region.cloudwatch.store import MetricStore
from local_region.seams import core
from local_region.settings import Settings


class Stabilisation(NamedTuple):
    """How a deployment ended, for those who wait for it. `reason` is ECS's rolloutStateReason."""

    outcome: Literal["COMPLETED", "FAILED", "TIMEOUT", "GONE"]
    reason: str


@dataclass(frozen=True)
class RegionContext:
    """The region's settings, places and shared parts. Thread-safe."""

    settings: Settings
    directory: Path
    endpoint_url: str
    metrics: MetricStore
    children: ChildRegistry
    stopping: threading.Event = field(default_factory=threading.Event)
    _clients: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    _clients_lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def region(self) -> str:
        return self.settings.region

    @property
    def account_id(self) -> str:
        return self.settings.account_id

    def scope(self) -> AbstractContextManager[None]:
        """Pin the emulator's account and region in this thread: its stores are scoped by them."""
        return core.request_scope(self.account_id, self.region)

    def client(self, service: str, region: str | None = None, account_id: str | None = None) -> Any:
        """A cached boto3 client of this very endpoint; never call it on the emulator's event loop.

        boto3 checks the parameters as it does for everyone, so a mistake ends in AWS's words.
        """
        key = (service, region or self.region, account_id or self.account_id)
        with self._clients_lock:
            if key not in self._clients:
                self._clients[key] = boto3.session.Session().client(
                    service,
                    region_name=key[1],
                    endpoint_url=self.endpoint_url,
                    # A twelve-digit key id is the account.
                    aws_access_key_id=key[2],
                    aws_secret_access_key="local",
                    config=botocore.config.Config(
                        retries={"total_max_attempts": 1},
                        connect_timeout=5,
                        read_timeout=60,
                        max_pool_connections=20,
                        proxies={},
                    ),
                )
            return self._clients[key]
