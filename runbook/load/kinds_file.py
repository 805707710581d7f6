"""Request kinds from a file: an OpenAPI document, or Python with a list `KINDS`."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from runbook.errors import InputInvalid
from runbook.load.kinds import SEQUENCE, USER, RequestKind

_METHODS = ("get", "head", "post", "put", "patch", "delete")
_PLACE = re.compile(r"\{([^}]+)\}")
_SUPPORTED = (".py", ".json", ".yaml", ".yml")
#: Header parameters that OpenAPI says to ignore: they follow from the rest of the document.
_NO_PARAMETERS = ("accept", "content-type", "authorization")


@dataclass(frozen=True)
class KindsFile:
    """What a file gave: kinds to send, and a line for each operation that was left out."""

    kinds: tuple[RequestKind, ...]
    left_out: tuple[str, ...] = ()


def read_kinds(path: Path, weights: Mapping[str, float] | None = None) -> KindsFile:
    """The request kinds of a file; `weights` by name override the file's.

    A Python file holds `KINDS`, a list of RequestKind or of dicts with its fields. Of an
    OpenAPI 3 document each GET is sent whose required parameters have examples; what changes
    data only with a weight of its own (`x-load-weight`, or in `weights`), as nobody wants a
    DELETE by default. The path of the document's first server comes before each path.
    Raises InputInvalid.
    """
    weights = dict(weights or {})
    if not path.is_file():
        raise InputInvalid(f"{path} cannot be read", "there is no such file", "give another path")
    if path.suffix not in _SUPPORTED:
        raise InputInvalid(
            f"{path} cannot be read",
            f"{path.suffix or 'no suffix'} is none of {', '.join(_SUPPORTED)}",
            "give a Python file or an OpenAPI document",
        )
    found = _from_python(path) if path.suffix == ".py" else _from_openapi(path, weights)
    unknown = set(weights) - {kind.name for kind in found.kinds}
    if unknown:
        raise InputInvalid(
            f"{', '.join(sorted(unknown))} cannot be weighted",
            f"{path.name} gives {', '.join(kind.name for kind in found.kinds) or 'nothing'}"
            + "".join(f"; {line}" for line in found.left_out),
            "name one of these, or give the operation its examples",
        )
    kinds = tuple(replace(kind, weight=weights.get(kind.name, kind.weight)) for kind in found.kinds)
    if not any(kind.weight > 0 for kind in kinds):
        raise InputInvalid(
            f"{path} gives no load",
            "; ".join(found.left_out) or "no kind in it has a weight above 0",
            "add an operation with examples, or a weight",
        )
    return KindsFile(tuple(kind for kind in kinds if kind.weight > 0), found.left_out)


def _from_python(path: Path) -> KindsFile:
    try:
        content = runpy.run_path(str(path))["KINDS"]
        kinds = [item if isinstance(item, RequestKind) else RequestKind(**item) for item in content]
    except InputInvalid:
        raise
    except Exception as error:
        raise InputInvalid(
            f"{path} gives no request kinds",
            f"{type(error).__name__}: {error}",
            "define KINDS, a list of dicts with name, path, method, weight, ...",
        ) from error
    return KindsFile(tuple(kinds))


def _from_openapi(path: Path, weights: Mapping[str, float]) -> KindsFile:
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        return _of_document(document, weights)
    except (OSError, ValueError, YAMLError, AttributeError, LookupError, TypeError) as error:
        raise InputInvalid(
            f"{path} is no OpenAPI document",
            f"{type(error).__name__}: {error}",
            "give an OpenAPI 3 document with paths",
        ) from error


def _of_document(document: dict[str, Any], weights: Mapping[str, float]) -> KindsFile:
    kinds, left_out = [], []
    for template, method, operation, item in _operations(document):
        name = str(operation.get("operationId") or f"{method.upper()} {template}")
        weight = operation.get("x-load-weight", weights.get(name))
        if weight is None and method not in ("get", "head"):
            left_out.append(f"{name} changes data and has no weight")
            continue
        values, missing = _values(document, item, operation, template)
        body, bodyless = _body(document, operation)
        if missing or bodyless:
            left_out.append(f"{name} has no example for {', '.join([*missing, *bodyless])}")
            continue
        kinds.append(
            RequestKind(
                name=name,
                path=_base_path(document, item, operation) + _target(template, values),
                method=method.upper(),
                weight=1.0 if weight is None else float(weight),
                route_class=operation.get("x-route-class", ""),
                headers={name: _text(value) for name, value in values["header"].items()},
                body=body,
                authenticated=bool(operation.get("security", document.get("security"))),
            )
        )
    return KindsFile(tuple(kinds), tuple(left_out))


def _operations(
    document: dict[str, Any],
) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Path, method, operation and the item of the path, with what its operations share."""
    for template, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield template, method, item[method], item


def _followed(document: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """What a local `$ref` points to; anything else as it is."""
    seen = 0
    while "$ref" in item and seen < 20:
        place: Any = document
        for step in item["$ref"].removeprefix("#/").split("/"):
            place = place[step.replace("~1", "/").replace("~0", "~")]
        item, seen = place, seen + 1
    return item


def _example(document: dict[str, Any], holder: dict[str, Any]) -> Any:
    """The first example of a parameter or media type, of its schema, or None."""
    if "example" in holder:
        return holder["example"]
    for named in holder.get("examples", {}).values():
        return _followed(document, named).get("value")
    schema = _followed(document, holder.get("schema", {}))
    for key in ("example", "default", "const"):
        if key in schema:
            return schema[key]
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("enum"):
        return schema["enum"][0]
    fields = {
        name: _example(document, {"schema": field})
        for name, field in schema.get("properties", {}).items()
        if name in schema.get("required", [])
    }
    return fields if fields and None not in fields.values() else None


def _values(
    document: dict[str, Any], item: dict[str, Any], operation: dict[str, Any], template: str
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Examples by place (path, query, header, cookie) and name, and what has none.

    Of the required parameters: what a client may leave out is left out.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {
        ("path", name): {} for name in _PLACE.findall(template)
    }
    for given in [*item.get("parameters", []), *operation.get("parameters", [])]:
        parameter = _followed(document, given)
        place, name = parameter.get("in", ""), parameter["name"]
        ignored = place == "header" and name.lower() in _NO_PARAMETERS
        if (place, name) in found or (parameter.get("required") and not ignored):
            found[place, name] = parameter
    values: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}, "cookie": {}}
    missing = []
    for (place, name), parameter in found.items():
        value = _example(document, parameter)
        if value is None:
            missing.append(f"{{{name}}}" if place == "path" else name)
        elif place == "query" and isinstance(value, list) and not parameter.get("explode", True):
            values[place][name] = _text(value)
        else:
            values.setdefault(place, {})[name] = value
    cookies = "; ".join(f"{name}={_encoded(value)}" for name, value in values["cookie"].items())
    if cookies:
        values["header"]["Cookie"] = cookies
    return values, missing


def _target(template: str, values: dict[str, dict[str, Any]]) -> str:
    """The path with examples filled in, and the query."""
    path = _PLACE.sub(lambda found: _encoded(values["path"][found[1]]), template)
    query = [
        f"{_encoded(name)}={_encoded(one)}"
        for name, value in values["query"].items()
        for one in (value if isinstance(value, list) else [value])
    ]
    return path + (f"?{'&'.join(query)}" if query else "")


def _base_path(document: dict[str, Any], item: dict[str, Any], operation: dict[str, Any]) -> str:
    """The path of the first server of the operation, else of its path, else of the document."""
    for holder in (operation, item, document):
        if holder.get("servers"):
            server = holder["servers"][0]
            url = str(server["url"])
            for name, variable in server.get("variables", {}).items():
                url = url.replace(f"{{{name}}}", str(variable["default"]))
            return quote(urlsplit(url).path.rstrip("/"), safe="/%")
    return ""


def _encoded(value: Any) -> str:
    """A value as part of an address; `{user}` and `{sequence}` stay to be filled in."""
    text = quote(_text(value), safe="")
    for place in (USER, SEQUENCE):
        text = text.replace(quote(place, safe=""), place)
    return text


def _text(value: Any) -> str:
    """A value as the text of a parameter (OpenAPI's style `simple`)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_text(one) for one in value)
    return str(value)


def _body(document: dict[str, Any], operation: dict[str, Any]) -> tuple[str, list[str]]:
    """The example of a JSON body as text, and what is missing."""
    if "requestBody" not in operation:
        return "", []
    holder = _followed(document, operation["requestBody"])
    media = holder.get("content", {}).get("application/json")
    value = None if media is None else _example(document, media)
    if value is None:
        return "", ["its body"] if holder.get("required") else []
    return json.dumps(value), []
