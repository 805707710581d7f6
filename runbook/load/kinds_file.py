"""Request kinds from a file: an OpenAPI document, or Python with a list `KINDS`."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from runbook.errors import InputInvalid
from runbook.load.kinds import RequestKind

_METHODS = ("get", "head", "post", "put", "patch", "delete")
_PLACE = re.compile(r"\{([^}]+)\}")
_SUPPORTED = (".py", ".json", ".yaml", ".yml")


@dataclass(frozen=True)
class KindsFile:
    """What a file gave: kinds to send, and a line for each operation that was left out."""

    kinds: tuple[RequestKind, ...]
    left_out: tuple[str, ...] = ()


def read_kinds(path: Path, weights: Mapping[str, float] | None = None) -> KindsFile:
    """The request kinds of a file; `weights` by name override the file's.

    A Python file holds `KINDS`, a list of RequestKind or of dicts with its fields. Of an
    OpenAPI 3 document each GET is sent whose parameters have examples; what changes data
    only with a weight of its own (`x-load-weight`, or in `weights`), as nobody wants a
    DELETE by default. Raises InputInvalid.
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
        operations = list(_operations(document))
    except (OSError, UnicodeDecodeError, YAMLError, AttributeError, KeyError, TypeError) as error:
        raise InputInvalid(
            f"{path} is no OpenAPI document",
            f"{type(error).__name__}: {error}",
            "give an OpenAPI 3 document with paths",
        ) from error
    kinds, left_out = [], []
    for template, method, operation, shared in operations:
        name = str(operation.get("operationId") or f"{method.upper()} {template}")
        weight = operation.get("x-load-weight", weights.get(name))
        if weight is None and method not in ("get", "head"):
            left_out.append(f"{name} changes data and has no weight")
            continue
        parameters = [_followed(document, item) for item in shared]
        parameters += [_followed(document, item) for item in operation.get("parameters", [])]
        target, missing = _target(document, template, parameters)
        body, bodyless = _body(document, operation)
        if missing or bodyless:
            left_out.append(f"{name} has no example for {', '.join([*missing, *bodyless])}")
            continue
        kinds.append(
            RequestKind(
                name=name,
                path=target,
                method=method.upper(),
                weight=1.0 if weight is None else float(weight),
                route_class=operation.get("x-route-class", ""),
                body=body,
                authenticated=bool(operation.get("security", document.get("security"))),
            )
        )
    return KindsFile(tuple(kinds), tuple(left_out))


def _operations(
    document: dict[str, Any],
) -> Iterator[tuple[str, str, dict[str, Any], list[dict[str, Any]]]]:
    """Path, method, operation and the parameters that all operations of the path share."""
    for template, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield template, method, item[method], item.get("parameters", [])


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


def _target(
    document: dict[str, Any], template: str, parameters: list[dict[str, Any]]
) -> tuple[str, list[str]]:
    """The path with examples filled in, and the required parameters that have none."""
    by_name = {item["name"]: item for item in parameters if item.get("in") == "path"}
    path, missing, query = template, [], []
    for name in _PLACE.findall(template):
        value = _example(document, by_name.get(name, {}))
        if value is None:
            missing.append(f"{{{name}}}")
        path = path.replace(f"{{{name}}}", str(value))
    for item in parameters:
        if item.get("in") == "query" and item.get("required"):
            value = _example(document, item)
            if value is None:
                missing.append(item["name"])
            query.append(f"{item['name']}={value}")
    return path + (f"?{'&'.join(query)}" if query else ""), missing


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
