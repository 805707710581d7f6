"""`/openapi.json` describes the service; `/docs` shows that, in one page without scripts.

Everything is taken from the routes: paths from the URL map, the rest from the
operation that each view was made (`operation.py`).
"""

import re
from collections.abc import Iterator
from http import HTTPStatus
from itertools import groupby
from typing import Any

from flask import Blueprint, Flask, current_app, render_template, url_for
from flask.typing import ResponseReturnValue
from pydantic import RootModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from app import answers
from app.answers import ID_PATTERN
from app.operation import Operation, operation_of

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_PARAMETER = re.compile(r"<([a-z_]+)>")
_SCHEMAS = "#/components/schemas/{model}"
_CACHE_S = 300

_DESCRIPTION = """\
A small shop: products with images, orders, users.

Bodies are JSON or forms. A token from `POST /user/login` goes into the header
`Authorization: Bearer <token>` and is good for an hour. Every answer may be read from
any origin, and `OPTIONS` is answered on every path. Unknown paths and methods are 404.
Lists are whole unless `limit` is given; then the header `Link` leads to the next page.
"""

# The page has no scripts and loads nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

bp = Blueprint("openapi", __name__, template_folder="templates")


class _Schemas(GenerateJsonSchema):
    """Without titles that repeat names, and without `None` for what may be absent."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        described = super().default_schema(schema)
        if described.get("default", "") is None:
            del described["default"]
        return described


@bp.get("/openapi.json")
def document() -> ResponseReturnValue:
    described = current_description()
    root = url_for("products.index", _external=True).removesuffix("/products")
    return described | {"servers": [{"url": root}]}, {"Cache-Control": f"max-age={_CACHE_S}"}


@bp.get("/docs")
def page() -> ResponseReturnValue:
    described = current_description()
    operations = [
        (method.upper(), path, details)
        for path, methods in described["paths"].items()
        for method, details in methods.items()
    ]
    sections = groupby(operations, lambda item: item[2]["tags"][0])
    shown = render_template(
        "docs.html",
        document=described,
        sections=[(tag, list(group)) for tag, group in sections],
        in_words=in_words,
    )
    return shown, {"Cache-Control": f"max-age={_CACHE_S}", "Content-Security-Policy": _POLICY}


def current_description() -> dict[str, Any]:
    """The description of the running application, made on first use."""
    extensions = current_app.extensions
    if "openapi" not in extensions:
        extensions["openapi"] = describe(current_app)
    described: dict[str, Any] = extensions["openapi"]
    return described


def describe(app: Flask) -> dict[str, Any]:
    """The application as an OpenAPI 3.1 document, without its address."""
    operations = list(_operations(app))
    types = {operation.answer for *_, operation in operations} - {bytes}
    types |= {operation.body for *_, operation in operations if operation.body}
    types |= {answers.Outcome, answers.ErrorAnswer}
    _, definitions = TypeAdapter.json_schemas(
        [
            (kind, "validation", TypeAdapter(kind))
            for kind in sorted(types, key=lambda kind: kind.__name__)
        ],
        ref_template=_SCHEMAS,
        schema_generator=_Schemas,
    )
    paths: dict[str, Any] = {}
    for path, method, endpoint, operation in operations:
        paths.setdefault(_PARAMETER.sub(r"{\1}", path), {})[method] = _operation_object(
            path, endpoint, operation
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Shop",
            "version": app.config["SERVICE_VERSION"],
            "description": _DESCRIPTION,
        },
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def in_words(schema: dict[str, Any]) -> str:
    """A schema in a few words, for people; `#Name` stands for another schema."""
    if "$ref" in schema:
        return "#" + str(schema["$ref"]).rpartition("/")[2]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " or ".join(in_words(option) for option in schema[choice])
    if "const" in schema:
        return f'"{schema["const"]}"' if schema.get("type") == "string" else str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {in_words(schema['items'])}"
    words = [str(schema.get("type", "anything"))]
    if "minimum" in schema:
        words.append(f"from {schema['minimum']:,}")
    if "maximum" in schema:
        words.append(f"to {schema['maximum']:,}")
    if "maxLength" in schema:
        words.append(f"of {schema.get('minLength', 0)} to {schema['maxLength']} characters")
    return " ".join(words)


def _operations(app: Flask) -> Iterator[tuple[str, str, str, Operation]]:
    """Path, method, endpoint and operation of each route that is one, in the order of rules."""
    for rule in app.url_map.iter_rules():
        operation = operation_of(app.view_functions[rule.endpoint])
        if operation is not None:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule.rule, method.lower(), rule.endpoint, operation


def _operation_object(path: str, endpoint: str, operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": endpoint.replace(".", "_"),
        "tags": [endpoint.partition(".")[0]],
        "summary": operation.summary,
        "parameters": [*_path_parameters(path), *_query_parameters(operation)],
        "responses": _responses(path, operation),
    }
    if operation.login:
        described["security"] = [{"token": []}]
    if operation.body:
        described["requestBody"] = {"required": True, "content": _contents(operation)}
    return described


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in _PARAMETER.findall(path):
        pattern = ID_PATTERN if name.endswith("_id") else "^[^/]+$"
        schema = {"type": "string", "minLength": 1, "pattern": pattern}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.query:
        for name, schema in operation.query.model_json_schema(schema_generator=_Schemas)[
            "properties"
        ].items():
            # "Absent" is told by not being required, instead of null.
            schemas = [option for option in schema["anyOf"] if option != {"type": "null"}]
            yield {"name": name, "in": "query", "required": False, "schema": schemas[0]}


def _contents(operation: Operation) -> dict[str, Any]:
    schema = _ref(operation.body)
    contents: dict[str, Any] = {_JSON: {"schema": schema}}
    if isinstance(operation.body, type) and not issubclass(operation.body, RootModel):
        contents[_FORM] = {"schema": schema}
    if operation.upload:
        image = {"type": "string", "contentMediaType": "application/octet-stream"}
        with_file = {"type": "object", "properties": {operation.upload: image}}
        contents[_MULTIPART] = {"schema": {"allOf": [schema, with_file]}}
    return contents


def _responses(path: str, operation: Operation) -> dict[str, Any]:
    schema = {} if operation.answer is bytes else {"schema": _ref(operation.answer)}
    responses: dict[str, Any] = {
        str(operation.status): {
            "description": HTTPStatus(operation.status).phrase,
            "content": dict.fromkeys(operation.media, schema),
        }
    }
    if operation.query:
        responses[str(operation.status)]["headers"] = {
            "Link": {"description": "The next page", "schema": {"type": "string"}}
        }
    shapes = {error.status: [error.answer] for error in operation.every_error()}
    shapes[HTTPStatus.SERVICE_UNAVAILABLE] = [answers.ErrorAnswer]
    if _PARAMETER.search(path):  # the framework's own, for what is no path of ours
        shapes[HTTPStatus.NOT_FOUND] = [answers.Outcome, answers.ErrorAnswer]
    for status in sorted(shapes):
        refs = [_ref(shape) for shape in shapes[status]]
        responses[str(int(status))] = {
            "description": status.phrase,
            "content": {_JSON: {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}},
        }
    if "429" in responses:
        responses["429"]["headers"] = {
            "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}
        }
    return responses


def _ref(kind: Any) -> dict[str, str]:
    return {"$ref": _SCHEMAS.format(model=kind.__name__)}
