"""A layer put back as it was, but for metrics that what stays deployed acts on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runbook.environment import Environment
from runbook.stacks import restore
from runbook.stacks.edit import config_file
from runbook.waiting import Waiter

CONFIG = "template: {path: service.yaml}\nparameters:\n  Size: 3\n  MetricResolutionS: 60\n"
TEMPLATE = "Parameters: {Size: {Type: Number}, MetricResolutionS: {Type: Number}}\n"


@pytest.fixture
def snapshot(
    environment: Environment, cloudformation: Any, monkeypatch: pytest.MonkeyPatch
) -> restore.Snapshot:
    """The service with 60 s metrics; it and the scaling stack were then launched on 20 s."""
    monkeypatch.setattr(restore, "client", lambda *_: cloudformation)
    config_file(environment, "service").write_text(CONFIG)
    store(cloudformation, "service", TEMPLATE, Size="3", MetricResolutionS="60")
    found = restore.take(environment, "service")
    assert found is not None
    store(cloudformation, "service", TEMPLATE, Size="4", MetricResolutionS="20")
    store(cloudformation, "scaling", "{}", EcsMetricPeriodS="20")
    return found


def store(cloudformation: Any, layer: str, template: str, **given: str) -> None:
    cloudformation._store(f"shop-local-{layer}", "UPDATE_COMPLETE", template, given)


def put_back(
    environment: Environment, cloudformation: Any, waiter: Waiter, snapshot: restore.Snapshot
) -> tuple[dict[str, str], list[str]]:
    """The parameters after going back, and what was told."""
    told: list[str] = []
    restore.restore(environment, snapshot, waiter=waiter, tell=told.append)
    return cloudformation.stacks["shop-local-service"]["given"], told


def test_metrics_stay_where_scaling_acts_on_them(
    environment: Environment, cloudformation: Any, waiter: Waiter, snapshot: restore.Snapshot
) -> None:
    given, told = put_back(environment, cloudformation, waiter, snapshot)
    assert given == {"Size": "3", "MetricResolutionS": "20"}
    assert told == [
        "MetricResolutionS stays 20: the scaling stack acts on such metrics (EcsMetricPeriodS)."
    ]
    assert 'MetricResolutionS: "20"' in config_file(environment, "service").read_text()


def test_a_file_without_the_parameter_does_not_keep_it_from_going_back(
    environment: Environment, cloudformation: Any, waiter: Waiter, snapshot: restore.Snapshot
) -> None:
    bare = replace(snapshot, configuration="template: {path: service.yaml}\n")
    given, _ = put_back(environment, cloudformation, waiter, bare)
    assert given == {"Size": "3", "MetricResolutionS": "20"}
    assert config_file(environment, "service").read_text() == bare.configuration


def test_otherwise_all_is_as_it_was(
    environment: Environment, cloudformation: Any, waiter: Waiter, snapshot: restore.Snapshot
) -> None:
    store(cloudformation, "scaling", "{}", EcsMetricPeriodS="60")
    given, told = put_back(environment, cloudformation, waiter, snapshot)
    assert given == {"Size": "3", "MetricResolutionS": "60"}
    assert told == []
    assert config_file(environment, "service").read_text() == CONFIG
