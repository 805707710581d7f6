"""A notebook's declared parameters, and strict checking of what is passed to it.

Papermill guesses types (`-p tag 2024.10` becomes 2024.1) and only warns of unknown names.
Here the declared annotation decides, and both are errors before anything runs.
"""

from __future__ import annotations

import ast
import difflib
import io
import json
import math
import re
import shlex
import tokenize
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.errors import InputInvalid

#: Options of the command itself, and where a run is recorded.
_TOLD_OTHERWISE = {"env", "run_dir", "dry_run", "approve"}
_NEAR = 0.75
_CHOICES = re.compile(r": (?P<listed>\S+(?: \| \S+)+)(?= \(|$)")
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


@dataclass(frozen=True)
class Parameter:
    """One line of the parameters cell: `name: type = default  # help`.

    A help that ends in `: a | b | c`, or says more in brackets behind it, lists what a text may
    be: papermill reads plain types only.
    """

    name: str
    type_name: str
    default: Any
    help: str

    @property
    def choices(self) -> tuple[str, ...]:
        """What a text may be; empty for anything."""
        listed = _CHOICES.search(self.help) if self.type_name == "str" else None
        return tuple(listed["listed"].split(" | ")) if listed else ()


def declared(path: Path) -> tuple[Parameter, ...]:
    """The parameters a notebook declares, in their order.

    Raises InputInvalid unless the notebook has exactly one cell tagged `parameters`, made of
    plain annotated assignments of literals.
    """
    cells = parameter_cells(read_notebook(path))
    if len(cells) != 1:
        raise InputInvalid(
            f"{path.name} cannot be run with parameters",
            f"it has {len(cells)} cells tagged `parameters`, not one",
            "tag exactly one code cell in the notebook",
        )
    source = "".join(cells[0]["source"])
    try:
        comments = _comments(source)
        return tuple(_parameter(node, comments) for node in ast.parse(source).body)
    except (SyntaxError, ValueError, tokenize.TokenError) as error:
        raise InputInvalid(
            f"The parameters of {path.name} cannot be read",
            str(error),
            "write lines of the form `name: type = default  # help`",
        ) from error


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook as plain data. Raises InputInvalid when it is missing or no notebook."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content["cells"], list):
            raise TypeError("its cells are no list")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputInvalid(
            f"{path} is no notebook", f"{type(error).__name__}: {error}", "name an .ipynb file"
        ) from error
    return dict(content)


def parameter_cells(notebook: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The code cells tagged `parameters`."""
    return [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and "parameters" in cell["metadata"].get("tags", [])
    ]


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def _parameter(node: ast.stmt, comments: Mapping[int, str]) -> Parameter:
    plain = (
        isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.annotation, ast.Name)
        and node.annotation.id in _CONVERTERS
        and node.value is not None
    )
    if not plain:
        raise ValueError(f"line {node.lineno}: {ast.unparse(node)}")
    assert isinstance(node, ast.AnnAssign)
    assert isinstance(node.target, ast.Name)
    assert isinstance(node.annotation, ast.Name)
    assert node.value is not None
    found = Parameter(
        node.target.id,
        node.annotation.id,
        ast.literal_eval(node.value),
        comments.get(node.lineno, ""),
    )
    if found.choices and found.default not in found.choices:
        raise ValueError(f"line {node.lineno}: the default is none of {', '.join(found.choices)}")
    return found


def check(
    notebook: str, parameters: Sequence[Parameter], given: Mapping[str, Any]
) -> dict[str, Any]:
    """What was given, converted to the declared types.

    Text is converted; other values, from a YAML file, must already have the type. Raises
    InputInvalid for an unknown name, with the nearest known one, and for a value that does
    not fit.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in known:
            raise unknown(name, list(known), f"parameter of {notebook}")
    return {name: convert(notebook, known[name], value) for name, value in given.items()}


def as_options(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> str:
    """What differs from the defaults, as options of `runbook run`: " -p NAME=VALUE" each.

    Not what the command has options of its own for, and not where a run is recorded.
    """
    given = [
        f"{item.name}={value if isinstance(value, str) else json.dumps(value)}"
        for item in parameters
        if item.name not in _TOLD_OTHERWISE
        and (value := values.get(item.name, item.default)) != item.default
    ]
    return "".join(f" -p {shlex.quote(text)}" for text in given)


def unknown(name: str, known: Sequence[str], what: str) -> InputInvalid:
    """The error for a name that does not exist, with a did-you-mean."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
    return InputInvalid(f"{name!r} is no {what}", "nothing was run", hint)


def convert(notebook: str, parameter: Parameter, value: Any) -> Any:
    """One value as the parameter's declared type. Raises InputInvalid when it does not fit."""
    try:
        converted = _CONVERTERS[parameter.type_name](value)
    except (ValueError, TypeError) as error:
        hint = ' (put it in quotes: "007" keeps its zeros)' if parameter.type_name == "str" else ""
        raise InputInvalid(
            f"Parameter {parameter.name} of {notebook} is not {value!r}",
            f"it is declared as {parameter.type_name}: {error}",
            f"give {_article(parameter.type_name)}{hint}",
        ) from error
    if parameter.choices and converted not in parameter.choices:
        near = difflib.get_close_matches(converted, parameter.choices, 1, _NEAR)
        raise InputInvalid(
            f"Parameter {parameter.name} of {notebook} is not {value!r}",
            f"it is one of {', '.join(parameter.choices)}",
            f"did you mean {near[0]}?" if near else "choose among these",
        )
    return converted


def _article(type_name: str) -> str:
    words = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false"}
    return words.get(type_name, 'a list, as JSON: ["a", "b"]')


def _to_str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"this is {type(value).__name__}")
    return value


def _to_int(value: Any) -> int:
    if isinstance(value, str):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"this is {type(value).__name__}")
    return value


def _to_float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"this is {type(value).__name__}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("it must be finite")
    return number


def _to_bool(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    if not isinstance(value, bool):
        raise TypeError("this is neither true nor false")
    return value


def _to_list(value: Any) -> list[Any]:
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, list):
        raise TypeError(f"this is {type(found).__name__}")
    return found


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "str": _to_str,
    "int": _to_int,
    "float": _to_float,
    "bool": _to_bool,
    "list": _to_list,
}
