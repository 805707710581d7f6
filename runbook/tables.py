"""Values and tables as plain text, for terminals and for notebooks run without a browser."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any


def text_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table as aligned text: columns' names, rows of values."""
    grid = [[str(name) for name in columns], *[[plain(value) for value in row] for row in rows]]
    widths = [max(len(row[index]) for row in grid) for index in range(len(columns))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in grid
    ]
    return "\n".join(lines)


def plain(value: Any) -> str:
    """A value for people: four significant digits, times of day, a dash for nothing."""
    if value is None or value != value:  # noqa: PLR0124  (NaN and NaT differ from themselves)
        return "-"
    if isinstance(value, datetime):
        return f"{value:%H:%M:%S}"
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
