"""Time stamps as people write them, summer time included, and the holes between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runbook.errors import InputInvalid

_SHORT_GAP_S = 3600
_DAY_S = 86_400
_HOUR = pd.Timedelta(hours=1)


def read_stamps(
    path: Path, texts: pd.Series[str], timezone: str
) -> tuple[pd.DatetimeIndex, tuple[tuple[str, ...], int]]:
    """The stamps in UTC; notes, and the number of summer-time hours met.

    Stamps with an offset are taken at their word. Without one they are local times in
    `timezone`: the hour that comes twice in autumn is told apart by the order of rows, the one
    left out in spring is no gap. In UTC neither exists; an hour that comes twice is then noted.
    """
    sample = str(texts.iloc[0]).strip()
    try:
        aware = pd.Timestamp(sample).tzinfo is not None
        parsed = pd.DatetimeIndex(pd.to_datetime(texts, format="ISO8601", utc=aware))
    except (ValueError, TypeError) as error:
        raise InputInvalid(
            f"{path} is no history",
            f"a timestamp cannot be read: {str(error).splitlines()[0]}",
            "write timestamps as 2026-05-01 12:00 or 2026-05-01T12:00:00+02:00",
        ) from error
    if parsed.hasnans:
        line = int(np.argmax(parsed.isna())) + 2
        raise InputInvalid(
            f"{path} is no history", f"line {line} has no timestamp", "mend or leave out the row"
        )
    if aware:
        return parsed, ((), 0)
    if timezone == "UTC":
        hours = _repeated_hours(parsed)
        note = (
            f"{hours} hour(s) come twice in a row, as at the end of summer time: averaged;"
            " --timezone tells them apart"
        )
        return parsed.tz_localize("UTC"), ((note,) if hours else (), hours)
    try:
        twice = parsed.tz_localize(timezone, ambiguous="NaT", nonexistent="shift_forward").isna()
        first, second = (
            parsed.tz_localize(
                timezone, ambiguous=np.full(len(parsed), summer), nonexistent="shift_forward"
            )
            for summer in (True, False)
        )
    except (ValueError, TypeError, KeyError) as error:
        raise InputInvalid(
            f"The timezone {timezone!r} cannot be used",
            str(error),
            "use a name such as Europe/Rome",
        ) from error
    seen = pd.Series(parsed).duplicated().to_numpy()
    utc = pd.DatetimeIndex(
        np.where(
            twice & seen,
            second.tz_convert("UTC").tz_localize(None).to_numpy(),
            first.tz_convert("UTC").tz_localize(None).to_numpy(),
        )
    ).tz_localize("UTC")
    hours = len(set(parsed[twice].floor("h")))
    note = f"{hours} hour(s) at the end of summer time come twice: told apart by the rows' order"
    return utc, ((note,) if hours else (), hours)


def _repeated_hours(parsed: pd.DatetimeIndex) -> int:
    """How often the stamps go back by up to an hour and then repeat what was there."""
    back = np.flatnonzero(np.diff(parsed.asi8) < 0) + 1
    found = 0
    for at in map(int, back):
        span = parsed[at - 1] - parsed[at]
        many = int(np.searchsorted(parsed[at:] > parsed[at - 1], True))
        if span <= _HOUR and many > 1 and set(parsed[at : at + many]) <= set(parsed[:at]):
            found += 1
    return found


def fill_gaps(
    values: NDArray[np.float64], step_s: int
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Values without holes; up to an hour straight across, longer ones like the day before."""
    missing = np.isnan(values)
    if not missing.any():
        return values, ()
    edges = np.flatnonzero(np.diff(np.concatenate(([0], missing.astype(np.int8), [0]))))
    filled = values.copy()
    day = _DAY_S // step_s
    short = long = 0
    straight = np.interp(np.arange(len(values)), np.flatnonzero(~missing), values[~missing])
    for first, last in edges.reshape(-1, 2):
        if (last - first) * step_s <= _SHORT_GAP_S:
            filled[first:last] = straight[first:last]
            short += 1
            continue
        long += 1
        for at in range(first, last):
            options = [filled[at - day]] if at >= day else []
            options += [values[at + day]] if at + day < len(values) else []
            usable = [value for value in options if not np.isnan(value)]
            filled[at] = usable[0] if usable else straight[at]
    notes = []
    if short:
        notes.append(f"{short} gap(s) of up to an hour: filled straight across")
    if long:
        notes.append(f"{long} longer gap(s): filled with the same time of the day before or after")
    return filled, tuple(notes)
