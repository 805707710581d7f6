"""What a request brings: its body and its query, read and checked.

A JSON object or array and the fields of a form are taken alike.
"""

from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from app.errors import Invalid, Malformed

BODY_LIMIT_BYTES = 100 * 1024
"""Largest body of a request without a file; more is answered 413."""

_PROBLEMS_TOLD = 5
_EXPECTED = {
    "model_type": "expected an object with named fields",
    "list_type": "expected a list of objects",
}

Model = TypeVar("Model", bound=BaseModel)


def read_body(model: type[Model]) -> Model:
    """The body as the model. Raises Malformed when it cannot be read, else Invalid."""
    return _checked(model, _body())


def read_query(model: type[Model]) -> Model:
    """The query as the model; unknown names are ignored. Raises Invalid."""
    return _checked(model, request.args.to_dict() if request.query_string else {})


def _body() -> Any:
    """The body: a JSON object or array, or the fields of a form; {} when there is none."""
    if not request.is_json:
        return request.form.to_dict()
    raw = request.get_data()
    if not raw:
        return {}
    try:
        body = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise Malformed(f"Malformed JSON: {error}") from None
    if not isinstance(body, dict | list):
        raise Malformed("Malformed JSON: expected an object or an array")
    return body


def _checked(model: type[Model], values: Any) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # Without the values: a password may be among them.
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        told = [
            ": ".join(
                [
                    *filter(None, [".".join(str(part) for part in problem["loc"])]),
                    _EXPECTED.get(problem["type"]) or problem["msg"],
                ]
            )
            for problem in problems[:_PROBLEMS_TOLD]
        ]
        raise Invalid("; ".join(told)) from None
