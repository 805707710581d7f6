"""The rows of a history's CSV, read a piece at a time: memory holds two numbers a row."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runbook.errors import InputInvalid, plainly
from runbook.lab.stamps import in_utc, parse_stamps, refuse_mixed

COLUMNS = ("timestamp", "requests")
TOLD_AS = "give a CSV with the columns timestamp,requests, one row an interval"
_FEWEST_ROWS = 30
_PIECE_ROWS = 50_000
_FIRST_LINE = 2


@dataclass(frozen=True)
class Rows:
    """Stamps (UTC) and requests as the file has them, in its order.

    `notes` and `dst_hours` say what summer time did to the stamps.
    """

    stamps: pd.DatetimeIndex
    requests: NDArray[np.float64]
    notes: tuple[str, ...]
    dst_hours: int


def read_rows(path: Path, timezone: str) -> Rows:
    """The rows of `timestamp,requests`. Raises InputInvalid, naming the line, for what is none."""
    stamps: list[NDArray[np.int64]] = []
    requests: list[NDArray[np.float64]] = []
    line = _FIRST_LINE
    clock: tuple[bool, int] | None = None
    try:
        head = list(pd.read_csv(path, nrows=0, skipinitialspace=True).columns)
        if not set(COLUMNS) <= set(head):
            raise InputInvalid(
                f"{path} is no history", f"its columns are {', '.join(head)}", TOLD_AS
            )
        _require_even(path, len(head))
        with pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
            chunksize=_PIECE_ROWS,
            usecols=list(COLUMNS),
        ) as pieces:
            for piece in pieces:
                if piece.empty:
                    continue
                parsed, aware = parse_stamps(path, piece["timestamp"], line)
                if clock is not None and clock[0] != aware:
                    refuse_mixed(path, *((line, clock[1]) if aware else (clock[1], line)))
                clock = clock or (aware, line)
                stamps.append(parsed.asi8)
                requests.append(_numbers(path, piece["requests"], line))
                line += len(piece)
    except FileNotFoundError as error:
        raise InputInvalid(f"{path} cannot be read", "there is no such file", TOLD_AS) from error
    except (OSError, ValueError, csv.Error) as error:
        raise InputInvalid(f"{path} cannot be read", plainly(error), TOLD_AS) from error
    many = line - _FIRST_LINE
    if clock is None or many < _FEWEST_ROWS:
        raise InputInvalid(f"{path} is too short", f"{many} rows", f"give {_FEWEST_ROWS} or more")
    whole = pd.DatetimeIndex(np.concatenate(stamps).view("datetime64[us]"))
    utc, (notes, dst_hours) = in_utc(whole, clock[0], timezone)
    return Rows(utc, np.concatenate(requests), notes, dst_hours)


def _require_even(path: Path, columns: int) -> None:
    """Refuse a row with more values than the header has names: 1,301 would be read as 1."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream)
        for row in reader:
            if len(row) > columns and any(row[columns:]):
                raise InputInvalid(
                    f"{path} is no history",
                    f"line {reader.line_num} has {len(row)} values, the header {columns} names",
                    "write counts without a comma for thousands",
                )


def _numbers(path: Path, texts: pd.Series[str], line: int) -> NDArray[np.float64]:
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(numbers) | (numbers < 0)
    if bad.any():
        at = int(np.argmax(bad))
        raise InputInvalid(
            f"{path} is no history",
            f"line {line + at}: {texts.iloc[at]!r} is no number of requests",
            "mend or leave out the row; an interval that is left out counts as a gap",
        )
    return numbers
