"""What AWS says without being asked: a task's changes as events, a queue's length as a metric."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from local_region.context import RegionContext
from local_region.repeating import Repeating
from local_region.seams import events
from local_region.seams.ecs import EcsStore
from local_region.tasks.records import Record

_LOOK_EVERY_S = 0.25
_TIMES = (
    "createdAt", "startedAt", "stoppingAt", "stoppedAt", "executionStoppedAt", "connectivityAt",
    "pullStartedAt", "pullStoppedAt",
)  # fmt: skip


class Notices(Repeating):
    """Looks at tasks and queues four times a second; a stage shorter than that is not told."""

    def __init__(
        self,
        context: RegionContext,
        store: EcsStore | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__("notices", context.stopping)
        self._context, self._store, self._clock = context, store or EcsStore(), clock
        self._told: dict[str, str] = {}
        self._counted_s = self._period_s()

    def step(self) -> None:
        """Tell what has changed since the last step."""
        with self._context.scope():
            self._tell_tasks(self._store.tasks())
        period_s = self._period_s()
        if period_s > self._counted_s:
            self._count_messages(self._counted_s)
            self._counted_s = period_s

    def _tell_tasks(self, tasks: dict[str, Record]) -> None:
        for arn, record in tasks.items():
            if self._told.get(arn) != record["lastStatus"]:
                self._told[arn] = record["lastStatus"]
                events.put_aws_event("aws.ecs", "ECS Task State Change", [arn], _detail(record))
        for arn in set(self._told) - tasks.keys():
            del self._told[arn]

    def _count_messages(self, period_s: int) -> None:
        for account_id, region, name, visible in events.visible_messages():
            self._context.metrics.put(
                "AWS/SQS",
                "ApproximateNumberOfMessagesVisible",
                {"QueueName": name},
                period_s,
                "Count",
                [float(visible)],
                scope=(account_id, region),
            )

    def _period_s(self) -> int:
        step_s = self._context.settings.period_s
        return math.floor(self._clock() / step_s) * step_s

    def pause_s(self) -> float:
        """A quarter of a second."""
        return _LOOK_EVERY_S


def _detail(record: Record) -> dict[str, Any]:
    """A task as the event carries it: DescribeTasks' members, times as text, nothing empty."""
    told = {k: v for k, v in record.items() if not k.startswith("_") and v is not None}
    for name in _TIMES:
        if name in told:
            told[name] = datetime.fromtimestamp(told[name], UTC).isoformat(timespec="milliseconds")
    told["containers"] = [
        {k: v for k, v in container.items() if v is not None} for container in told["containers"]
    ]
    return told
