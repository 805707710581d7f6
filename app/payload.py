"""Request bodies: read them, and take checked values out of them.

JSON and forms are accepted alike, so numbers may come as text and the other way
round. Values that no store could keep are refused here, with 422.
"""

import contextlib
import json
from typing import Any

from flask import request

from app.errors import Invalid, Malformed

BODY_LIMIT_BYTES = 100 * 1024
"""Largest body of a request without a file; more is answered 413."""


def read_body() -> Any:
    """The body: a JSON object or array, or the fields of a form; {} when there is none.

    Raises Malformed for JSON that does not parse or is neither object nor array.
    """
    if not request.is_json:
        return request.form.to_dict()
    raw = request.get_data()
    if not raw:
        return {}
    try:
        body = json.loads(raw)
    except RecursionError:
        raise Malformed("Malformed JSON: nested too deeply") from None
    except ValueError as error:
        raise Malformed(f"Malformed JSON: {error}") from None
    if not isinstance(body, dict | list):
        raise Malformed("Malformed JSON: expected an object or an array")
    return body


def read_fields() -> dict[str, Any]:
    """The body as named fields; raises Invalid for an array."""
    body = read_body()
    if not isinstance(body, dict):
        raise Invalid("expected an object with named fields")
    return body


def text(name: str, value: object, *, longest: int, shortest: int = 1) -> str:
    """The value as text; raises Invalid when blank, too short or long, or not storable.

    Lengths are in characters.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise Invalid(f"{name} is required")
    if not shortest <= len(value) <= longest:
        raise Invalid(f"{name} must have {shortest} to {longest} characters")
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise Invalid(f"{name} has characters that cannot be stored")
    return value


def number(name: str, value: object, *, low: float, high: float) -> float:
    """The value as a number from low to high; raises Invalid."""
    if isinstance(value, str) and "_" not in value:
        with contextlib.suppress(ValueError):
            value = float(value)
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not low <= value <= high  # NaN is in no range
    ):
        raise Invalid(f"{name} must be a number from {low:,.0f} to {high:,.0f}")
    return float(value)


def whole_number(name: str, value: object, *, low: int, high: int) -> int:
    """The value as a whole number from low to high; raises Invalid."""
    amount = number(name, value, low=low, high=high)
    if not amount.is_integer():
        raise Invalid(f"{name} must be a whole number")
    return int(amount)
