"""Time stamps as people write them, summer time included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runbook.errors import InputInvalid

_HOUR = pd.Timedelta(hours=1)
_OFFSET = r"[T ]\d{2}.*(?:[zZ]|[+-]\d{2}(?::?\d{2})?)$"
_SUNDAY = 6
_SPRING_OR_AUTUMN = (3, 4, 9, 10, 11)
_LATEST_CHANGE_H = 3
"""Clocks change on a Sunday of these months between midnight and three, nearly everywhere."""


def parse_stamps(path: Path, texts: pd.Series[str], line: int) -> tuple[pd.DatetimeIndex, bool]:
    """The stamps of some rows, the first of them in line `line`, and whether they have offsets.

    With offsets they are in UTC, without they are wall clock. Raises InputInvalid for what is no
    time, and when some stamps have an offset and some have none.
    """
    texts = texts.str.strip()
    aware = texts.str.contains(_OFFSET, regex=True).to_numpy(dtype=bool)
    if aware.any() and not aware.all():
        refuse_mixed(path, line + int(np.argmax(aware)), line + int(np.argmin(aware)))
    try:
        parsed = pd.DatetimeIndex(
            pd.to_datetime(texts, format="ISO8601", utc=bool(aware[0]), errors="coerce")
        )
    except (ValueError, TypeError) as error:
        raise InputInvalid(
            f"{path} is no history",
            f"a timestamp cannot be read: {str(error).splitlines()[0]}",
            "write timestamps as 2026-05-01 12:00 or 2026-05-01T12:00:00+02:00",
        ) from error
    if parsed.hasnans:
        at = int(np.argmax(parsed.isna()))
        text = texts.iloc[at]
        raise InputInvalid(
            f"{path} is no history",
            f"line {line + at}: {text!r} is no time"
            if text
            else f"line {line + at} has no timestamp",
            "write it as 2026-05-01 12:00 or 2026-05-01T12:00:00+02:00, or leave out the row",
        )
    return parsed.tz_localize(None).as_unit("us"), bool(aware[0])


def refuse_mixed(path: Path, with_offset: int, without: int) -> None:
    """Raise the error for stamps of which some have an offset: two clocks in one file."""
    raise InputInvalid(
        f"{path} is no history",
        f"the stamp in line {with_offset} has an offset from UTC, the one in line {without} none",
        "write all stamps with an offset, or all without and name their --timezone",
    )


def in_utc(
    stamps: pd.DatetimeIndex, aware: bool, timezone: str
) -> tuple[pd.DatetimeIndex, tuple[tuple[str, ...], int]]:
    """The stamps in UTC; notes, and the number of summer-time hours met.

    Stamps with an offset are taken at their word. Without one they are local times in
    `timezone`: the hour that comes twice in autumn is told apart by the order of rows, the one
    left out in spring is no gap. In UTC neither exists; where it looks so it is noted.
    """
    if aware:
        return stamps.tz_localize("UTC"), ((), 0)
    if timezone == "UTC":
        return stamps.tz_localize("UTC"), _suspected(stamps)
    try:
        twice = stamps.tz_localize(timezone, ambiguous="NaT", nonexistent="shift_forward").isna()
        first, second = (
            stamps.tz_localize(
                timezone, ambiguous=np.full(len(stamps), summer), nonexistent="shift_forward"
            )
            .tz_convert("UTC")
            .tz_localize(None)
            .to_numpy()
            for summer in (True, False)
        )
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise InputInvalid(
            f"The timezone {timezone!r} cannot be used",
            str(error),
            "use a name such as Europe/Rome",
        ) from error
    seen = stamps.duplicated()
    utc = pd.DatetimeIndex(np.where(twice & seen, second, first)).tz_localize("UTC")
    hours = len(set(stamps[twice].floor("h")))
    spring = _left_out(stamps, first)
    notes = []
    if hours:
        notes.append(
            f"{hours} hour(s) at the end of summer time come twice: told apart by the rows' order"
        )
    if spring:
        notes.append(f"{spring} hour(s) left out at the beginning of summer time: no gap")
    return utc, (tuple(notes), hours + spring)


def _left_out(wall: pd.DatetimeIndex, utc: NDArray[np.datetime64]) -> int:
    """How often the wall clock jumps ahead of UTC by an hour between neighbours."""
    local, true = np.diff(wall.to_numpy()), np.diff(utc)
    return int((local - true == np.timedelta64(1, "h")).sum())


def _suspected(stamps: pd.DatetimeIndex) -> tuple[tuple[str, ...], int]:
    """Hours twice or left out as at the ends of summer time, in stamps that are read as UTC."""
    twice, left_out = _repeated_hours(stamps), _missing_hours(stamps)
    notes = []
    if twice:
        notes.append(
            f"{twice} hour(s) come twice in a row, as at the end of summer time: averaged;"
            " --timezone tells them apart"
        )
    if left_out:
        notes.append(
            f"{left_out} hour(s) missing as at the beginning of summer time: filled as a gap;"
            " with --timezone it is none"
        )
    return tuple(notes), twice + left_out


def _repeated_hours(stamps: pd.DatetimeIndex) -> int:
    """How often the stamps go back by up to an hour and then repeat what was there."""
    distances = np.diff(stamps.asi8)
    found = 0
    for at in map(int, np.flatnonzero(distances < 0) + 1):
        span = stamps[at - 1] - stamps[at]
        many = int(np.searchsorted(stamps[at:] > stamps[at - 1], True))
        if span <= _HOUR and many > 1 and set(stamps[at : at + many]) <= set(stamps[:at]):
            found += 1
    if len(distances) and np.median(distances) == _HOUR // pd.Timedelta(microseconds=1):
        # Hourly rows do not go back: the hour just stands there twice.
        again = stamps[1:][distances == 0]
        found += int(_when_clocks_change(again).sum())
    return found


def _missing_hours(stamps: pd.DatetimeIndex) -> int:
    """How often an hour is missing where clocks go forward."""
    distances = np.diff(stamps.asi8)
    if not len(distances):
        return 0
    missing = distances == np.median(distances) + _HOUR // pd.Timedelta(microseconds=1)
    return int(_when_clocks_change(stamps[1:][missing] - _HOUR).sum())


def _when_clocks_change(stamps: pd.DatetimeIndex) -> NDArray[np.bool_]:
    return np.asarray(
        (stamps.day_of_week == _SUNDAY)
        & stamps.month.isin(_SPRING_OR_AUTUMN)
        & (stamps.hour <= _LATEST_CHANGE_H)
    )
