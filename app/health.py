"""Whether this task lives, and whether it can serve."""

from flask import Blueprint, current_app
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from app import answers
from app.errors import Unavailable
from app.operation import operation
from app.store import current_store

bp = Blueprint("health", __name__)


@bp.get("/health")
@operation("Whether the process lives", answers.Live)
def live() -> ResponseReturnValue:
    """The process answers; looks at nothing else, so a slow store never kills tasks."""
    return {"status": "ok", "version": current_app.config["SERVICE_VERSION"]}


@bp.get("/ready")
@operation("Whether it can serve", answers.Ready)
def ready() -> ResponseReturnValue:
    """The store answers too (503 when not): the balancer may send requests."""
    try:
        current_store().ping()
    except (SQLAlchemyError, OSError) as error:
        current_app.logger.error("the store does not answer", exc_info=error)
        raise Unavailable from None
    return {"status": "ready"}
