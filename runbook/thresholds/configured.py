"""The thresholds as they stand in `scaling.yaml`: read with provenance, written with evidence.

The file belongs to people: only the number and the comment line `# from: ...` above it
change, every other character stays. ruamel.yaml finds the places, and checks the result.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from runbook.environment import Environment
from runbook.errors import InputInvalid, plainly
from runbook.stacks.edit import ORIGIN, origin_line, tell_origin
from runbook.thresholds.recommendation import UNITS, Recommendation

_VALUE = re.compile(r"""(?P<quote>["']?)(?P<number>[-+\d.eE]+)(?P=quote)""")
UNKNOWN = "not stated"


@dataclass(frozen=True)
class CurrentThreshold:
    """A configured number and where it comes from: a run, a convention, or "not stated"."""

    name: str
    value: float
    unit: str
    provenance: str

    @property
    def measured(self) -> bool:
        """Whether a run stands behind it."""
        return self.provenance.startswith("run ")


def scaling_file(environment: Environment) -> Path:
    """Where the environment's thresholds stand."""
    return environment.sceptre_dir / "config" / environment.name / "scaling.yaml"


def current_thresholds(source: Environment | Path) -> tuple[CurrentThreshold, ...]:
    """The configured thresholds in the file's order. Raises InputInvalid."""
    path = _path(source)
    text = read_file(path)
    lines = text.split("\n")
    return tuple(
        CurrentThreshold(
            name, _number(path, name, lines[line]), UNITS[name], told_above(lines, line) or UNKNOWN
        )
        for name, line in _places(path, text).items()
    )


def provenances(path: Path) -> dict[str, str]:
    """What the file says of where a number is from, by name, where it does. Raises InputInvalid."""
    text = read_file(path)
    lines = text.split("\n")
    told = {name: told_above(lines, line) for name, line in _places(path, text).items()}
    return {name: found for name, found in told.items() if found}


def told_above(lines: Sequence[str], line: int) -> str:
    """The text of the line `# from:` above a line; "" without one."""
    comment = origin_line(lines, line)
    found = ORIGIN.match(lines[comment]) if comment is not None else None
    return found["text"] if found else ""


def current_values(source: Environment | Path) -> dict[str, float]:
    """The configured numbers by name. Raises InputInvalid."""
    return {item.name: item.value for item in current_thresholds(source)}


def write_back(path: Path, recommendation: Recommendation, *, dry_run: bool) -> str:
    """Write a recommendation into `scaling.yaml`; the unified diff is returned, "" for none.

    A number keeps its quotes. The line `# from:` above it tells the evidence; for a number
    without evidence it changes only with the number. Writing twice changes nothing more.
    Raises InputInvalid when the file lacks a parameter or cannot be read.
    """
    before = read_file(path)
    after = before
    for threshold in recommendation.thresholds:
        told = str(threshold.evidence) if threshold.evidence else threshold.reason
        after = with_number(
            path, after, threshold.name, threshold.text, told, again=threshold.evidence is not None
        )
    check(path, after, {item.name: item.text for item in recommendation.thresholds})
    return save(path, before, after, dry_run=dry_run)


def read_file(path: Path) -> str:
    """The file's text. Raises InputInvalid."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputInvalid(
            f"{path} cannot be read", plainly(error), "choose an environment with a scaling stack"
        ) from error


def with_number(
    path: Path, text: str, name: str, number: str, told: str, *, again: bool = True
) -> str:
    """The text with a number and the line `# from:` above it; `again`: also where it stands."""
    places = _places(path, text)
    if name not in places:
        raise InputInvalid(
            f"{name} cannot be written",
            f"{path} has no such parameter",
            "add it below `parameters:` with its present value",
        )
    lines = text.split("\n")
    line = places[name]
    same = _number(path, name, lines[line]) == float(number)
    if not same:
        start, end = _value(path, name, lines[line]).span("number")
        lines[line] = lines[line][:start] + number + lines[line][end:]
    if not same or again:
        tell_origin(lines, line, told)
    return "\n".join(lines)


def check(path: Path, after: str, numbers: Mapping[str, str]) -> None:
    """The text to be written must read back as what was meant. Raises InputInvalid."""
    parameters = _parameters(path, after)
    for name, number in numbers.items():
        if float(parameters[name]) != float(number):
            raise InputInvalid(
                f"{name} cannot be written",
                f"{path} reads back {parameters[name]!r}",
                "let each parameter stand on a line of its own",
            )


def save(path: Path, before: str, after: str, *, dry_run: bool) -> str:
    """Write at once and in whole, unless it is a dry run; the unified diff, "" for none."""
    if after != before and not dry_run:
        draft = path.with_suffix(".yaml.new")
        draft.write_text(after, encoding="utf-8")
        draft.replace(path)
    names = f"{path.parent.name}/{path.name}"
    return "\n".join(
        difflib.unified_diff(before.split("\n"), after.split("\n"), names, names, "", "", 1, "")
    )


def _path(source: Environment | Path) -> Path:
    return source if isinstance(source, Path) else scaling_file(source)


def _parameters(path: Path, text: str) -> Any:
    try:
        content = YAML(typ="rt").load(StringIO(text))
    except YAMLError as error:
        raise InputInvalid(f"{path} is no YAML", str(error), "mend the file") from error
    parameters = content.get("parameters") if isinstance(content, Mapping) else None
    if not isinstance(parameters, Mapping):
        raise InputInvalid(
            f"{path} holds no thresholds", "it has no `parameters:`", "mend the file"
        )
    return parameters


def _places(path: Path, text: str) -> dict[str, int]:
    """The line number of each known threshold, in the file's order."""
    parameters = _parameters(path, text)
    return {name: parameters.lc.key(name)[0] for name in parameters if name in UNITS}


def _value(path: Path, name: str, line: str) -> re.Match[str]:
    found = _VALUE.search(line, line.index(":") + 1)
    if found is None:
        raise InputInvalid(
            f"{name} cannot be read", f"{path} has no number in {line.strip()!r}", "mend the file"
        )
    return found


def _number(path: Path, name: str, line: str) -> float:
    found = _value(path, name, line)
    try:
        return float(found["number"])
    except ValueError as error:
        raise InputInvalid(
            f"{name} cannot be read", f"{path}: {found['number']!r} is no number", "mend the file"
        ) from error
