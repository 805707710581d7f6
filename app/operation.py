"""What a route takes and gives: enforced when it is called, described by `openapi.py`.

@bp.post("")
@operation("Place an order", OrderCreated, status=201, login=True, body=NewOrder)
def create(body: NewOrder) -> ResponseReturnValue: ...
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel

from app.auth import authenticate
from app.errors import AuthFailed, Invalid, Malformed, RequestError, TooLarge
from app.payload import BODY_LIMIT_BYTES, read_body, read_query

_View = TypeVar("_View", bound=Callable[..., ResponseReturnValue])


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    summary: str
    answer: Any
    """Type of the body of a success."""
    status: int = 200
    media: tuple[str, ...] = ("application/json",)
    login: bool = False
    """Asks for a token, before anything is read."""
    body: type[BaseModel] | None = None
    """Read, checked and handed to the view as `body`."""
    upload: str | None = None
    """Name of the file that a multipart form may bring."""
    upload_limit_bytes: int = 0
    query: type[BaseModel] | None = None
    """Read, checked and handed to the view as `query`."""
    errors: tuple[type[RequestError], ...] = ()
    """What the view itself may answer."""

    def every_error(self) -> set[type[RequestError]]:
        """What may be answered instead of a success."""
        errors = set(self.errors)
        if self.login:
            errors.add(AuthFailed)
        if self.body:
            errors |= {Malformed, TooLarge}
        if self.body or self.query:
            errors.add(Invalid)
        return errors

    def inputs(self) -> dict[str, BaseModel]:
        """What the view is handed. Raises the errors above."""
        if self.login:
            authenticate()
        read: dict[str, BaseModel] = {}
        if self.query:
            read["query"] = read_query(self.query)
        if self.body:
            if self.upload and request.mimetype == "multipart/form-data":
                request.max_content_length = BODY_LIMIT_BYTES + self.upload_limit_bytes
            read["body"] = read_body(self.body)
        return read


def operation(summary: str, answer: Any, **details: Any) -> Callable[[_View], _View]:
    """Make a view an operation; `details` are the fields of Operation."""
    described = Operation(summary, answer, **details)

    def decorate(view: _View) -> _View:
        @functools.wraps(view)
        def run(**parameters: Any) -> ResponseReturnValue:
            return view(**parameters, **described.inputs())

        run.operation = described  # type: ignore[attr-defined]
        return run  # type: ignore[return-value]

    return decorate


def operation_of(view: object) -> Operation | None:
    """The operation that a view was made; None for a view that serves files."""
    return getattr(view, "operation", None)
