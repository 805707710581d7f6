"""Values and tables as plain text."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from runbook.tables import plain, text_table


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (datetime(2026, 3, 1, 7, 5, 9), "07:05:09"),
        (True, "True"),
        (12_345, "12345"),
        (0.123456, "0.1235"),
        (12_345.6, "12346"),
        ("as is", "as is"),
    ],
)
def test_values_are_written_for_people(value: Any, words: str) -> None:
    assert plain(value) == words


def test_columns_are_aligned_and_lines_end_without_blanks() -> None:
    table = text_table(["policy", "hours"], [["cpu-70-60s", 12.0], ["x", None]])
    assert table.splitlines() == ["policy      hours", "cpu-70-60s  12", "x           -"]
