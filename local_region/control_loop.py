"""The clock of alarms and scaling: a tick for every period's end, when its data is in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from local_region.alarms import AlarmEvaluator
from local_region.autoscaling.records import Scope
from local_region.context import RegionContext
from local_region.repeating import Repeating
from local_region.scaler import Scaler
from local_region.seams import cloudwatch

_SETTLE_EVERY_S = 0.5
_FINEST_ALARM_S = 10
"""CloudWatch's shortest alarm period."""


def tick_end_s(now_s: float, delay_s: float, step_s: int) -> int:
    """The end of the newest period that is to be evaluated at `now_s`, epoch seconds."""
    return math.floor((now_s - delay_s) / step_s) * step_s


class ControlLoop(Repeating):
    """Evaluates alarms, lets the scaler act on them, and follows what it started."""

    def __init__(
        self,
        context: RegionContext,
        evaluator: AlarmEvaluator,
        scaler: Scaler,
        clock: Callable[[], float] = time.time,
        scopes: Callable[[], set[Scope]] = cloudwatch.alarm_scopes,
    ) -> None:
        super().__init__("alarms", context.stopping)
        self._context, self._evaluator, self._scaler = context, evaluator, scaler
        self._clock, self._scopes = clock, scopes
        self._step_s = math.gcd(context.settings.period_s, _FINEST_ALARM_S)
        self._done_s = self._end_s()

    def step(self) -> None:
        """What is to be done now: settle, and a tick if a period has ended since the last one.

        After a standstill only the newest period is evaluated: its window holds the earlier ones.
        """
        self._scaler.settle()
        end_s = self._end_s()
        if end_s <= self._done_s:
            return
        self._done_s = end_s
        for scope in sorted(self._scopes()):
            due = self._evaluator.evaluate_due(scope, end_s)
            self._scaler.tick(scope, due)

    def _end_s(self) -> int:
        return tick_end_s(self._clock(), self._context.settings.publish_delay_s, self._step_s)

    def pause_s(self) -> float:
        """To the next period's end, or until what was started may have settled."""
        next_end_s = self._done_s + self._step_s + self._context.settings.publish_delay_s
        return min(_SETTLE_EVERY_S, max(0.01, next_end_s - self._clock()))
