"""When a schedule fires: `rate()`, `cron()` and `at()` with their time zone.

Daylight saving as EventBridge Scheduler has it: a cron time that does not exist is skipped, one
that comes twice fires the first time only; a day of a rate is always 24 hours.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from local_region.seams import scheduler

_RATE = re.compile(r"^rate\(\s*([1-9]\d*)\s+(minute|hour|day)(s?)\s*\)$")
_AT = re.compile(r"^at\(\s*(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\s*\)$")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


class InvalidExpression(ValueError):
    """A schedule expression or time zone that AWS would refuse."""


class Expression(Protocol):
    """Times are epoch seconds."""

    @property
    def once(self) -> bool:
        """Whether there is one occurrence only."""

    def next(self, after_s: float) -> float | None:
        """The first occurrence later than `after_s`; None when there is none."""


@dataclass(frozen=True)
class At:
    """One moment."""

    at_s: float
    once: bool = True

    def next(self, after_s: float) -> float | None:
        return self.at_s if self.at_s > after_s else None


@dataclass(frozen=True)
class Rate:
    """Every `interval_s` seconds, counted from an anchor, which is the first occurrence."""

    interval_s: int
    anchor_s: float
    once: bool = False

    def next(self, after_s: float) -> float | None:
        passed = math.floor((after_s - self.anchor_s) / self.interval_s)
        return self.anchor_s + max(0, passed + 1) * self.interval_s


@dataclass(frozen=True)
class Cron:
    """Wall-clock times of a zone."""

    fields: scheduler.CronFields
    zone: tzinfo
    once: bool = False

    def next(self, after_s: float) -> float | None:
        wall = datetime.fromtimestamp(after_s, self.zone).replace(tzinfo=None)
        while (found := scheduler.next_cron(self.fields, wall)) is not None:
            moment = found.replace(tzinfo=self.zone, fold=0)
            exists = moment.astimezone(UTC).astimezone(self.zone).replace(tzinfo=None) == found
            if exists and moment.timestamp() > after_s:
                return moment.timestamp()
            wall = found
        return None


def parse(expression: str, timezone: str, anchor_s: float) -> Expression:
    """A schedule's expression. `anchor_s`: when a rate without a start date begins.

    Raises InvalidExpression.
    """
    zone, text = _zone(timezone), expression.strip()
    if rate := _RATE.match(text):
        count, unit, plural = int(rate[1]), rate[2], bool(rate[3])
        if plural != (count > 1):
            raise InvalidExpression(f"Invalid Schedule Expression {expression}.")
        return Rate(count * _SECONDS[unit], anchor_s)
    if at := _AT.match(text):
        try:
            return At(datetime.fromisoformat(at[1]).replace(tzinfo=zone).timestamp())
        except ValueError as error:
            raise InvalidExpression(f"Invalid Schedule Expression {expression}.") from error
    if (fields := scheduler.parse_cron(text)) is not None:
        return Cron(fields, zone)
    raise InvalidExpression(f"Invalid Schedule Expression {expression}.")


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidExpression(f"Provided ScheduleExpressionTimezone is not valid: {name}") from (
            error
        )
