"""A template's properties as the service's API wants them.

CloudFormation and the APIs share one model: names differ in their first letter, and numbers reach
us as text. The API's own shape, as the SDK carries it, says what a value is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def api_request(
    client: Any,
    operation: str,
    properties: Mapping[str, Any],
    *,
    renamed: Mapping[str, str] | None = None,
    ignored: Iterable[str] = (),
) -> dict[str, Any]:
    """The request of `operation` (`CreateService`) with every property in its place and type.

    `renamed` maps a property to the API's member where more than case differs; `ignored`
    properties are handled elsewhere. Raises ValueError for a property the API does not know.
    """
    shape = client.meta.service_model.operation_model(operation).input_shape
    skipped = set(ignored)
    given = {
        (renamed or {}).get(name, name): value
        for name, value in properties.items()
        if name not in skipped
    }
    request: dict[str, Any] = _structure(given, shape, operation)
    return request


def _cast(value: Any, shape: Any, path: str) -> Any:
    match shape.type_name:
        case "structure":
            return _structure(value, shape, path)
        case "list":
            listed = value if isinstance(value, list | tuple) else [value]
            return [_cast(v, shape.member, f"{path}[{i}]") for i, v in enumerate(listed)]
        case "map":
            return {str(k): _cast(v, shape.value, f"{path}.{k}") for k, v in value.items()}
        case kind:
            return _scalar(value, kind, path)


def _structure(value: Any, shape: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{path} must be a map, not {value!r}")
    members = {name.lower(): name for name in shape.members}
    cast: dict[str, Any] = {}
    for name, inner in value.items():
        member = members.get(str(name).lower())
        if member is None:
            raise ValueError(f"extraneous key [{name}] is not permitted in {path}")
        cast[member] = _cast(inner, shape.members[member], f"{path}.{member}")
    return cast


def _scalar(value: Any, kind: str, path: str) -> Any:
    try:
        if kind in ("integer", "long"):
            return int(value)
        if kind in ("float", "double"):
            return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{path} must be a number, not {value!r}") from None
    if kind == "boolean":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    if kind == "string":
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value
