"""What the region says of itself: the answer of GET /_region/status."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, Protocol

import psutil

from local_region.cloudformation.recorded import RECORDED_TYPES
from local_region.context import RegionContext
from local_region.seams import cloudformation
from local_region.seams.core import VERSION


class Reporting(Protocol):
    """A part of the region, as far as it reports on itself."""

    def status(self) -> dict[str, Any]:
        """JSON-able: services, tasks, listeners, cpu_enforcement, schedules."""


def region_status(
    context: RegionContext, reporting: Sequence[Reporting], started_s: float
) -> dict[str, Any]:
    """Everything about this region, JSON-able. `started_s` is epoch seconds."""
    process = psutil.Process(os.getpid())
    report: dict[str, Any] = {
        "endpoint_url": context.endpoint_url,
        "region": context.region,
        "account_id": context.account_id,
        "pid": process.pid,
        "emulator": f"ministack {VERSION}",
        "uptime_s": round(time.time() - started_s, 1),
        "rss_mb": round(process.memory_info().rss / 2**20, 1),
        "metric_period_s": context.settings.period_s,
        "compression": context.settings.compression(),
        "recorded": recorded_resources(),
        "services": [],
        "tasks": [],
    }
    for part in reporting:
        report |= part.status()
    return report


def recorded_resources() -> list[dict[str, str]]:
    """Resources that exist as records only: nothing behind them is emulated."""
    return [r for r in cloudformation.stack_resources() if r["type"] in RECORDED_TYPES]
