"""An Application Auto Scaling API over the emulator's own alarm store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from local_region.autoscaling.api import AutoScalingApi
from local_region.autoscaling.records import Registry, TargetKey
from local_region.seams import core
from local_region.settings import Settings

SCOPE = ("000000000000", "eu-west-1")
KEY = TargetKey(SCOPE, "service/shop/api")
NAMED = KEY.as_api()


@dataclass
class Clock:
    """Time that moves when told to."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Api:
    """The API with its parts; `call` answers as JSON would carry it."""

    registry: Registry
    clock: Clock
    services: set[str] = field(default_factory=lambda: {KEY.resource_id})
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self.api = AutoScalingApi(
            self.registry,
            self.settings,
            lambda key: key.resource_id in self.services,
            self.clock,
        )

    def call(self, operation: str, **request: object) -> dict:
        return self.api.call(operation, {**NAMED, **request}, SCOPE)


@pytest.fixture
def alarm_store() -> Iterator[None]:
    """The emulator's CloudWatch in this process, in the region's scope, empty before and after."""
    cloudwatch = core.module("services.cloudwatch")
    cloudwatch.reset()
    with core.request_scope(*SCOPE):
        yield
    cloudwatch.reset()


@pytest.fixture
def api(alarm_store: None) -> Api:
    return Api(Registry(), Clock())


@pytest.fixture
def registered(api: Api) -> Api:
    api.call("RegisterScalableTarget", MinCapacity=1, MaxCapacity=4)
    return api
