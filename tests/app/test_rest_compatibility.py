"""Each deviation that docs/rest-compatibility.md names is held by a test."""

import ast
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "rest-compatibility.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| what ")
]


def test_there_are_rows_and_no_two_are_alike():
    assert len(ROWS) > 20
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_is_whole_and_has_its_test(row):
    what, reference, ours, why, test = row
    assert all((what, reference, ours, why))
    module, name = re.fullmatch(r"`(test_\w+\.py)::(test_\w+)`\s*\|?", test).groups()
    tree = ast.parse((Path(__file__).parent / module).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
