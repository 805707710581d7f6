"""Log lines: one JSON object each, on standard output, with the request they belong to.

A line of a request has its `request_id`, which the answer carries too as
X-Request-Id, and the load balancer's `trace_id`. Requests themselves are logged at
level debug only: the balancer has a log of them, and a line each would cost a
small task CPU that its requests need.
"""

import logging
import re
import secrets
from typing import Any
from wsgiref.types import WSGIEnvironment

from flask import has_request_context, request

REQUEST_ID = "app.request_id"
"""Where the request's id is in its WSGI environment."""

_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestFilter(logging.Filter):
    """Adds the ids of the request under way, if there is one, to every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        if has_request_context():
            record.request_id = request.environ.get(REQUEST_ID)
            record.trace_id = request.environ.get("HTTP_X_AMZN_TRACE_ID")
        return True


def identify(environ: WSGIEnvironment) -> str:
    """The id of the request: the caller's own if it is a plain one, else a new one."""
    given: str | None = environ.get("HTTP_X_REQUEST_ID")
    request_id = given if given and _ID.fullmatch(given) else secrets.token_hex(8)
    environ[REQUEST_ID] = request_id
    return request_id


def configuration(level: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`: everything as JSON, the server's own lines included."""
    console = {"handlers": ["console"], "level": level.upper(), "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request": {"()": RequestFilter}},
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": "%(levelname)s%(name)s%(message)s",
                "rename_fields": {"levelname": "level", "name": "logger"},
                "timestamp": True,
            }
        },
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": "json",
                "filters": ["request"],
            }
        },
        "root": {"handlers": ["console"], "level": "WARNING"},
        "loggers": {"app": console, "_granian": dict(console)},
    }
