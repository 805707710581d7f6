"""Between an SDK's wire format and plain dictionaries: the JSON and the query protocol.

Timestamps are epoch seconds inside, whatever they are outside.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from local_region.errors import AwsError

_NAMESPACE = "http://monitoring.amazonaws.com/doc/2010-08-01/"


def epoch_s(value: Any) -> float:
    """A timestamp as any protocol writes it, in epoch seconds. Raises AwsError."""
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    text = str(value).strip()
    try:
        return float(text)
    except ValueError:
        pass
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        raise AwsError("InvalidParameterValue", f"{text} is no timestamp") from error
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def nested(parameters: Mapping[str, list[str]]) -> dict[str, Any]:
    """`{"A.member.1.B": ["x"]}` as `{"A": [{"B": "x"}]}`: the query protocol's parameters."""
    tree: dict[str, Any] = {}
    for name, values in parameters.items():
        parts = [part for part in name.split(".") if part != "member"]
        node = tree
        for part in parts[:-1]:
            node = node.setdefault(part, {})
        node[parts[-1]] = values[0]
    read: dict[str, Any] = _lists(tree)
    return read


def _lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(name.isdigit() for name in node):
        return [_lists(node[name]) for name in sorted(node, key=int)]
    return {name: _lists(value) for name, value in node.items()}


def json_body(answer: Mapping[str, Any]) -> bytes:
    """The body of a JSON answer."""
    return json.dumps(answer).encode()


def xml_body(action: str, answer: Mapping[str, Any]) -> bytes:
    """The body of a query-protocol answer."""
    result = f"<{action}Result>{_xml(answer)}</{action}Result>" if answer else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{_NAMESPACE}">{result}'
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
        f"</{action}Response>"
    ).encode()


_MAPS = ("ExtendedStatistics",)
"""Members that are maps of the model, not structures."""


def _xml(value: Any, name: str = "") -> str:
    if isinstance(value, Mapping) and name in _MAPS:
        return "".join(
            f"<entry><key>{escape(str(k))}</key><value>{_xml(v)}</value></entry>"
            for k, v in value.items()
        )
    if isinstance(value, Mapping):
        return "".join(
            f"<{key}>{_xml(inner, key)}</{key}>"
            for key, inner in value.items()
            if inner is not None
        )
    if isinstance(value, list | tuple):
        return "".join(f"<member>{_xml(inner, name)}</member>" for inner in value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and name.endswith(("Timestamp", "Timestamps")):
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds")
    return escape(str(value))
