"""How the replay's functions are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., Any])
#: Nothing is allocated in the loop, so arrays need no reference counts, which would cost four
#: fifths of its time. Numbers follow C: a division by zero is no exception.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}


def compiled(function: _Function) -> _Function:
    """A function of the loop: compiled into whoever calls it."""
    return cast(_Function, njit(**_OPTIONS, forceinline=True)(function))


def called(function: _Function) -> _Function:
    """A function of the loop that is rarely reached: compiled once, called."""
    return cast(_Function, njit(**_OPTIONS)(function))


def entry(function: _Function) -> _Function:
    """The outermost function, whose compiled code is kept on disk where something is writable."""
    try:
        return cast(_Function, njit(**_OPTIONS, cache=True)(function))
    except RuntimeError:  # no folder for it: neither this one nor the user's cache
        return cast(_Function, njit(**_OPTIONS)(function))
