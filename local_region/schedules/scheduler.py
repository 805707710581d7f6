"""The clock of EventBridge Scheduler: finds what is due, invokes it, retries, buries it."""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from local_region.context import RegionContext
from local_region.repeating import Repeating
from local_region.schedules import delivery, targets
from local_region.schedules.expressions import Expression, InvalidExpression, parse
from local_region.schedules.targets import Invocation, TargetFailed
from local_region.seams import scheduler as seam
from local_region.seams.scheduler import Record
from local_region.state import iso

NAMESPACE = "AWS/Scheduler"
_LOOK_EVERY_S = 0.25
_KEPT = 50
_log = logging.getLogger("local_region.schedules")

Key = tuple[str, str, str]
"""Account id, region, "group/name"."""


@dataclass
class Cursor:
    """How far a schedule has come; a changed schedule begins anew. Times are epoch seconds."""

    version: tuple[float, float]
    expression: Expression
    next_s: float | None


def refuse(request: Record) -> str:
    """Why CreateSchedule and UpdateSchedule refuse a request; empty when they do not."""
    expression = str(request.get("ScheduleExpression") or "")
    if not expression:
        return ""
    try:
        parse(expression, str(request.get("ScheduleExpressionTimezone") or "UTC"), 0.0)
    except InvalidExpression as error:
        return str(error)
    window = request.get("FlexibleTimeWindow") or {}
    if window.get("Mode") == "FLEXIBLE" and not window.get("MaximumWindowInMinutes"):
        return "MaximumWindowInMinutes is required when FlexibleTimeWindow mode is FLEXIBLE."
    return ""


class Scheduler(Repeating):
    """Fires schedules. `step` is its only mover; a thread calls it four times a second.

    A flexible time window is taken as permission to fire at its start.
    """

    def __init__(self, context: RegionContext, clock: Callable[[], float] = time.time) -> None:
        super().__init__("scheduler", context.stopping)
        self._context, self._clock = context, clock
        self._cursors: dict[Key, Cursor] = {}
        self._waiting: list[delivery.Retry] = []
        self._recent: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._workers = ThreadPoolExecutor(4, thread_name_prefix="region-schedules")

    def start(self) -> None:
        """Take over from the emulator's ticker. Raises SeamMoved."""
        seam.install(refuse)
        super().start()

    def stop(self, timeout_s: float) -> None:
        """End; occurrences that wait for a retry are lost with the region. Idempotent."""
        super().stop(timeout_s)
        self._workers.shutdown(wait=True, cancel_futures=True)

    def status(self) -> dict[str, Any]:
        """Schedules with their next occurrence, and the latest occurrences' outcomes."""
        with self._lock:
            return {
                "schedules": [
                    {
                        "schedule": key[2],
                        "region": key[1],
                        "next_at": "never" if cursor.next_s is None else iso(cursor.next_s),
                    }
                    for key, cursor in sorted(self._cursors.items())
                ],
                "occurrences": list(self._recent),
            }

    def step(self) -> list[Invocation]:
        """Start what is due now, first attempts and retries; what was started."""
        now_s = self._clock()
        due = [*self._due(now_s), *self._due_again(now_s)]
        for invocation in due:
            self._workers.submit(self.attempt, invocation)
        return due

    def attempt(self, invocation: Invocation) -> None:
        """Invoke a target once; what follows a failure is the retry policy's."""
        self._count("InvocationAttemptCount", invocation)
        try:
            started = targets.invoke(invocation, self._client)
        except TargetFailed as failure:
            self._failed(invocation, failure)
        except Exception as error:
            _log.exception("schedule %s could not be fired", invocation.schedule["Arn"])
            self._failed(
                invocation, TargetFailed(type(error).__name__, str(error), retryable=False)
            )
        else:
            self._note(invocation, "invoked", started)

    # --- finding what is due

    def _due(self, now_s: float) -> list[Invocation]:
        found, seen = [], set()
        for account_id, region, key, record in seam.schedules():
            place = (account_id, region, key)
            seen.add(place)
            cursor = self._cursor(place, record)
            if cursor is None or cursor.next_s is None or cursor.next_s > now_s:
                continue
            scheduled_s = cursor.next_s
            # After a standstill one occurrence makes up for all that were missed.
            cursor.next_s = None if cursor.expression.once else cursor.expression.next(now_s)
            ends_s = _epoch(record.get("EndDate"))
            over = ends_s is not None and scheduled_s > ends_s
            if record["State"] == "ENABLED" and not over:
                found.append(Invocation(account_id, region, record, scheduled_s, str(uuid.uuid4())))
            if over:
                cursor.next_s = None
            if cursor.next_s is None and record.get("ActionAfterCompletion") == "DELETE":
                seam.delete_schedule(account_id, region, key)
        with self._lock:
            for gone in set(self._cursors) - seen:
                del self._cursors[gone]
        return found

    def _cursor(self, place: Key, record: Record) -> Cursor | None:
        version = (record["CreationDate"], record["LastModificationDate"])
        cursor = self._cursors.get(place)
        if cursor is not None and cursor.version == version:
            return cursor
        starts_s = _epoch(record.get("StartDate"))
        begin_s = max(version[1], starts_s or 0.0)
        try:
            expression = parse(
                record["ScheduleExpression"], record["ScheduleExpressionTimezone"], begin_s
            )
        except InvalidExpression as error:
            _log.warning("schedule %s is never due: %s", record["Arn"], error)
            return None
        # A rate begins at once; the moment of a change itself counts, hence the hair before it.
        first_s = expression.next(math.nextafter(begin_s, 0.0))
        if first_s is None:
            _log.warning("schedule %s has no occurrence: its time has passed", record["Arn"])
        cursor = Cursor(version, expression, first_s)
        with self._lock:
            self._cursors[place] = cursor
        return cursor

    def _due_again(self, now_s: float) -> list[Invocation]:
        with self._lock:
            due = [retry for retry in self._waiting if retry.at_s <= now_s]
            self._waiting = [retry for retry in self._waiting if retry.at_s > now_s]
        return [retry.invocation for retry in due]

    # --- what came of it

    def _failed(self, invocation: Invocation, failure: TargetFailed) -> None:
        self._count("TargetErrorCount", invocation)
        following = delivery.after_failure(invocation, failure, self._clock())
        if isinstance(following, delivery.Retry):
            with self._lock:
                self._waiting.append(following)
            self._note(invocation, "to be retried", f"{failure.code}: {failure}")
            return
        buried = delivery.send_dead_letter(invocation, failure, following.condition, self._client)
        self._count(
            "InvocationsSentToDeadLetterCount" if buried else "InvocationDroppedCount", invocation
        )
        self._note(
            invocation, "dead-lettered" if buried else "dropped", f"{failure.code}: {failure}"
        )

    def _note(self, invocation: Invocation, outcome: str, detail: str) -> None:
        if outcome != "invoked":
            _log.warning("schedule %s %s: %s", invocation.schedule["Name"], outcome, detail)
        entry = {
            "schedule": invocation.schedule["Name"],
            "scheduled_time": invocation.scheduled_time,
            "attempt": invocation.attempt,
            "outcome": outcome,
            "detail": detail,
        }
        with self._lock:
            self._recent = [*self._recent, entry][-_KEPT:]

    def _count(self, metric: str, invocation: Invocation) -> None:
        period_s = self._context.settings.period_s
        self._context.metrics.put(
            NAMESPACE,
            metric,
            {"ScheduleGroup": invocation.schedule["GroupName"]},
            math.floor(self._clock() / period_s) * period_s,
            "Count",
            [1.0],
            scope=(invocation.account_id, invocation.region),
        )

    def _client(self, service: str, region: str, account_id: str) -> Any:
        return self._context.client(service, region, account_id)

    def pause_s(self) -> float:
        """A quarter of a second."""
        return _LOOK_EVERY_S


def _epoch(value: Any) -> float | None:
    """A start or end date; the API takes it as a number."""
    return None if value is None else float(value)
