"""Everything that can go wrong, and how it is told.

    AppError
    ├── StartError           the service cannot start: `python -m app` prints it and exits 2
    └── RequestError         the request cannot be answered as asked
        ├── Malformed        400  the body cannot be read
        ├── AuthFailed       401
        ├── Forbidden        403  somebody else's, and not an admin
        ├── NotFound         404  no such product, order or user
        ├── Conflict         409  the e-mail address is taken
        ├── TooLarge         413
        ├── Invalid          422  the body is read, its values are not acceptable
        ├── TooMany          429  too many attempts with credentials
        └── Unavailable      503  the store, or the images' store, does not answer

Error bodies are `{"error": {"message": ...}}`. The API this service stands in for
answers three outcomes of its own routes (401, 404 of an entry, 409) as
`{"message": ...}`; its clients read that, so it is kept.
"""

from http import HTTPStatus
from typing import ClassVar

from flask import Flask, current_app
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from app.answers import ErrorAnswer, Outcome


class AppError(Exception):
    """Base of the service's own errors."""


class StartError(AppError):
    """The service cannot start as configured."""


class RequestError(AppError):
    """Becomes the answer: `status` and `body()`."""

    status: ClassVar[HTTPStatus]
    answer: ClassVar[type] = ErrorAnswer
    """Type of the body."""

    def body(self) -> ErrorAnswer | Outcome:
        return {"error": {"message": str(self)}}

    def headers(self) -> dict[str, str]:
        return {}


class _Outcome(RequestError):
    """An outcome of a route, told in the short form."""

    answer = Outcome

    def body(self) -> Outcome:
        return {"message": str(self)}


class Malformed(RequestError):
    status = HTTPStatus.BAD_REQUEST


class AuthFailed(_Outcome):
    status = HTTPStatus.UNAUTHORIZED

    def __init__(self) -> None:
        # One text for every reason: the answer must not help a guesser.
        super().__init__("Auth failed")


class Forbidden(RequestError):
    status = HTTPStatus.FORBIDDEN


class NotFound(_Outcome):
    status = HTTPStatus.NOT_FOUND


class Conflict(_Outcome):
    status = HTTPStatus.CONFLICT


class TooLarge(RequestError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class Invalid(RequestError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY


class TooMany(RequestError):
    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"Too many attempts; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after_s)}


class Unavailable(RequestError):
    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, what: str = "The store") -> None:
        # Not the store's own words: they can hold addresses and statements.
        super().__init__(f"{what} does not answer; try again")


def init_app(app: Flask) -> None:
    """Answer every error, expected or not, as JSON."""
    app.register_error_handler(RequestError, _request_error)
    app.register_error_handler(OperationalError, _store_unavailable)
    app.register_error_handler(PoolTimeout, _store_unavailable)
    app.register_error_handler(HTTPException, _http_error)


def _request_error(error: RequestError) -> ResponseReturnValue:
    return error.body(), error.status, error.headers()


def _store_unavailable(error: OperationalError | PoolTimeout) -> ResponseReturnValue:
    current_app.logger.error("the store does not answer", exc_info=error)
    return _request_error(Unavailable())


_MESSAGES = {
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request entity too large",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Internal server error",
}


def _http_error(error: HTTPException) -> ResponseReturnValue:
    """Errors of the framework itself; 500 included, after Flask has logged its cause."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        status = HTTPStatus.NOT_FOUND  # as the original: a known path does not show
    return _body(_MESSAGES.get(status, status.phrase)), status


def _body(message: str) -> ErrorAnswer:
    return {"error": {"message": message}}
