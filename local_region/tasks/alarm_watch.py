"""Deployment alarms: asked at most once a second, never waited for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local_region.context import RegionContext

INTERVAL_S = 1.0
_log = logging.getLogger("local_region.tasks.alarm_watch")


@dataclass(frozen=True)
class AlarmView:
    """Name -> state, and how long the slowest of the alarms looks back, in seconds."""

    states: Mapping[str, str]
    looks_back_s: float


class AlarmWatch:
    """Asks in the background, so that the controller's loop never waits for CloudWatch."""

    def __init__(self, context: RegionContext) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._asked_at: dict[tuple[str, ...], float] = {}
        self._known: dict[tuple[str, ...], tuple[float, AlarmView]] = {}

    def look(self, names: tuple[str, ...]) -> AlarmView | None:
        """The alarms as of at most a few seconds ago; None when that is not known yet."""
        now = time.monotonic()
        with self._lock:
            if now - self._asked_at.get(names, -INTERVAL_S) >= INTERVAL_S:
                self._asked_at[names] = now
                threading.Thread(
                    target=self._ask, args=(names,), name="region-alarm-watch", daemon=True
                ).start()
            known = self._known.get(names)
        fresh = known is not None and now - known[0] < 5 * INTERVAL_S
        return known[1] if known is not None and fresh else None

    def _ask(self, names: tuple[str, ...]) -> None:
        try:
            answer = self._context.client("cloudwatch").describe_alarms(
                AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"]
            )
        except Exception as error:
            _log.warning("deployment alarms could not be read: %s", error)
            return
        alarms = [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]
        states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}
        with self._lock:
            self._known[names] = (time.monotonic(), AlarmView(states, looks_back_s(alarms)))


def looks_back_s(alarms: Iterable[Mapping[str, Any]]) -> float:
    """The longest evaluation period of these alarms (DescribeAlarms' records), in seconds."""
    longest_s = 0.0
    for alarm in alarms:
        periods = [alarm.get("Period")]
        for query in alarm.get("Metrics") or []:
            periods += [query.get("Period"), (query.get("MetricStat") or {}).get("Period")]
        period_s = max((float(period) for period in periods if period), default=0.0)
        longest_s = max(longest_s, period_s * int(alarm.get("EvaluationPeriods") or 1))
    return longest_s
