"""The public resource schemas, as cfn-lint carries them: identifiers, attributes, replacement."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_INDEX_REGION = "us-east-1"
"""The region whose index is complete; a type's schema is the same elsewhere."""
_PREFIX = "/properties/"


@dataclass(frozen=True)
class TypeSchema:
    """What a type's schema says. Names are dotted, as GetAtt takes them."""

    identifiers: tuple[str, ...]
    attributes: tuple[str, ...]
    create_only: tuple[str, ...]
    """Top-level properties whose change replaces the resource."""


@cache
def _folder() -> Path | None:
    found = importlib.util.find_spec("cfnlint")
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / "data" / "schemas"


@cache
def _index() -> dict[str, str]:
    folder = _folder()
    if folder is None:
        return {}
    text = (folder / "providers" / f"{_INDEX_REGION}.json").read_text(encoding="utf-8")
    read: dict[str, str] = json.loads(text)
    return read


def schema_of(resource_type: str) -> TypeSchema | None:
    """The type's schema; None when it is unknown (or cfn-lint is not installed)."""
    folder, name = _folder(), _index().get(resource_type)
    if folder is None or name is None:
        return None
    content: dict[str, Any] = json.loads(
        (folder / "resources" / f"{name}.json").read_text(encoding="utf-8")
    )

    def names(member: str) -> tuple[str, ...]:
        listed = content.get(member) or ()
        return tuple(p.removeprefix(_PREFIX).replace("/", ".") for p in listed)

    return TypeSchema(
        names("primaryIdentifier"),
        names("readOnlyProperties"),
        tuple(name for name in names("createOnlyProperties") if "." not in name),
    )
