"""The error tree: every error is drawn, and reads as one sentence with a next step."""

import inspect
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook import errors

ALL = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, errors.RunbookError)
]


@pytest.mark.parametrize("cls", ALL)
def test_every_error_is_drawn_in_the_tree(cls: type[errors.RunbookError]) -> None:
    assert errors.__doc__ is not None
    assert cls.__name__ in errors.__doc__


def test_the_message_says_what_why_and_what_next() -> None:
    error = errors.StackFailed("Stack a failed", "no such type", "mend the template")
    assert str(error) == "Stack a failed: no such type; mend the template"


@pytest.mark.parametrize(
    ("cls", "code"),
    [(errors.InputInvalid, 2), (errors.StackFailed, 2), (errors.SloMissed, 1)],
)
def test_exit_codes_tell_a_finding_from_an_error(cls: type[errors.RunbookError], code: int) -> None:
    assert cls.exit_code == code


def test_errors_cross_process_borders() -> None:
    error = errors.SloMissed("a", "b", "c")
    assert str(pickle.loads(pickle.dumps(error))) == "a: b; c"


@pytest.mark.parametrize(
    ("fails", "why"),
    [
        (lambda: Path("/nowhere").read_text(), "no such file or directory"),
        (lambda: Path("/").read_text(), "is a directory"),
        (lambda: json.loads(""), "it is no JSON: line 1, column 1"),
        (b"\xff".decode, "it is no text in UTF-8"),
        (lambda: {}["points"], "it has no 'points'"),
        ([].append, "it is not built like one"),
        (lambda: int("x"), "invalid literal for int() with base 10: 'x'"),
    ],
)
def test_why_a_file_cannot_be_used_is_told_plainly(fails: Callable[[], object], why: str) -> None:
    with pytest.raises((OSError, ValueError, KeyError, TypeError)) as told:
        fails()
    assert errors.plainly(told.value) == why
