"""The emulator's EventBridge Scheduler: it keeps the records and answers; our scheduler fires.

Its own ticker looks every ten seconds, knows neither time zones nor retries, and has no ECS
target: it is taken out. Its reading of AWS's cron fields is kept and used.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from local_region.seams import core

Record = dict[str, Any]
CronFields = Any
"""What the emulator makes of the six fields; opaque here."""
_RANGES = ((0, 0, 59), (1, 0, 23), (3, 1, 12), (5, 1970, 2199))
"""Position in the emulator's fields, lowest and highest value: it does not check them itself."""


def parse_cron(expression: str) -> CronFields | None:
    """AWS's `cron(minutes hours day-of-month month day-of-week year)`; None when it is not one."""
    fields = core.attribute(_events(), "_parse_cron_fields")(expression)
    if fields is None or (fields[6] == "?") == (fields[7] == "?"):
        return None
    for position, lowest, highest in _RANGES:
        values = fields[position]
        if values is not None and not (values and lowest <= min(values) <= max(values) <= highest):
            return None
    in_month = all(1 <= day <= 31 for day in fields[2]["days"])
    in_week = all(1 <= day <= 7 for day in fields[4]["days"])
    return fields if in_month and in_week else None


def next_cron(fields: CronFields, after: datetime) -> datetime | None:
    """The first wall-clock time (no zone) after a wall-clock time; None within four years."""
    found: datetime | None = core.attribute(_events(), "_cron_next_fire")(
        fields, after.replace(tzinfo=UTC)
    )
    return None if found is None else found.replace(tzinfo=None)


def schedules() -> list[tuple[str, str, str, Record]]:
    """(account id, region, "group/name", a copy of the record) of every schedule there is."""
    store = core.attribute(core.attribute(_scheduler(), "_schedules"), "_data")
    return [(*key, dict(record)) for key, record in list(store.items())]


def delete_schedule(account_id: str, region: str, key: str) -> None:
    """Forget a schedule that has completed."""
    scheduler = _scheduler()
    with core.request_scope(account_id, region):
        record = core.attribute(scheduler, "_schedules").pop(key, None)
        if record is not None:
            core.attribute(scheduler, "_tags").pop(record["Arn"], None)


def invoke_other_target(account_id: str, region: str, record: Record, event: Record) -> None:
    """Hand an event to a target the emulator serves itself: Lambda, SQS, SNS, Step Functions."""
    with core.request_scope(account_id, region):
        core.attribute(_events(), "_invoke_target")(record["Target"], event, record)


def install(refuse: Callable[[Record], str]) -> None:
    """Take the ticker out; refuse what `refuse(request)` has words against. Raises SeamMoved."""
    scheduler = _scheduler()
    for name in ("_parse_cron_fields", "_cron_next_fire", "_invoke_target"):
        core.attribute(_events(), name)
    error = core.attribute(scheduler, "_error")
    core.replace(scheduler, "_tick_schedules", lambda: None)

    def make(handle: Callable[..., core.Answer]) -> Callable[..., core.Answer]:
        def answer(name: str, body: Record) -> core.Answer:
            if why := refuse(body):
                refused: core.Answer = error(400, "ValidationException", why)
                return refused
            return handle(name, body)

        return answer

    core.wrap(scheduler, "_create_schedule", make)
    core.wrap(scheduler, "_update_schedule", make)


def _scheduler() -> Any:
    return core.module("services.scheduler")


def _events() -> Any:
    return core.module("services.eventbridge")
