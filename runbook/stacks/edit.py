"""One parameter written into a stack's configuration file, everything else left as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from runbook.environment import Environment
from runbook.errors import InputInvalid

#: The comment above a value that tells where it comes from.
ORIGIN = re.compile(r"^(?P<indent>\s*)# from: ?(?P<text>.*)$")


def config_file(environment: Environment, layer: str) -> Path:
    """Where a layer's parameters stand."""
    return environment.sceptre_dir / "config" / environment.name / f"{layer}.yaml"


def read_parameter(path: Path, name: str) -> str:
    """A parameter's value as the file has it, without quotes and comment."""
    return _line(path, name).group("value").strip().strip("\"'")


def write_parameter(path: Path, name: str, value: str, origin: str = "") -> bool:
    """Set a parameter to a text, or to a `!tag`; False when it stands there already.

    An `origin` is told in the line `# from:` above it. Raises InputInvalid when the file does not
    have that parameter exactly once on a line.
    """
    found = _line(path, name)
    if read_parameter(path, name) == value:
        return False
    text = path.read_text(encoding="utf-8")
    start, end = found.span("value")
    shown = value if value.startswith("!") else f'"{value}"'
    lines = f"{text[:start]}{shown}{text[end:]}".split("\n")
    if origin:
        tell_origin(lines, text.count("\n", 0, start), origin)
    path.write_text("\n".join(lines), encoding="utf-8")
    return True


def origin_line(lines: Sequence[str], line: int) -> int | None:
    """The `# from:` line in the block of comments right above a line."""
    above = line - 1
    while above >= 0 and lines[above].lstrip().startswith("#"):
        if ORIGIN.match(lines[above]):
            return above
        above -= 1
    return None


def tell_origin(lines: list[str], line: int, origin: str) -> None:
    """Write the `# from:` line above a line, in the place of one that is there."""
    indent = lines[line][: len(lines[line]) - len(lines[line].lstrip())]
    told = f"{indent}# from: {origin}"
    comment = origin_line(lines, line)
    if comment is None:
        lines.insert(line, told)
    else:
        lines[comment] = told


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
