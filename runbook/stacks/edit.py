"""One parameter written into a stack's configuration file, everything else left as it is."""

from __future__ import annotations

import re
from pathlib import Path

from runbook.environment import Environment
from runbook.errors import InputInvalid


def config_file(environment: Environment, layer: str) -> Path:
    """Where a layer's parameters stand."""
    return environment.sceptre_dir / "config" / environment.name / f"{layer}.yaml"


def read_parameter(path: Path, name: str) -> str:
    """A parameter's value as the file has it, without quotes and comment."""
    return _line(path, name).group("value").strip().strip("\"'")


def write_parameter(path: Path, name: str, value: str) -> bool:
    """Set a parameter to a text; False when it stands there already.

    Raises InputInvalid when the file does not have that parameter exactly once on a line.
    """
    found = _line(path, name)
    if read_parameter(path, name) == value:
        return False
    text = path.read_text(encoding="utf-8")
    start, end = found.span("value")
    path.write_text(f'{text[:start]}"{value}"{text[end:]}', encoding="utf-8")
    return True


def _line(path: Path, name: str) -> re.Match[str]:
    text = path.read_text(encoding="utf-8")
    pattern = rf"^[ ]+{re.escape(name)}:[ ]*(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^#\n]*?)[ ]*(?:#.*)?$"
    found = list(re.finditer(pattern, text, re.MULTILINE))
    if len(found) != 1:
        raise InputInvalid(
            f"Parameter {name} cannot be written",
            f"{path} has it {len(found)} times on a line of its own",
            "let it stand there once, with its value on the same line",
        )
    return found[0]
