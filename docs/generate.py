"""Writes docs/reference.md from the code: commands, notebooks, stacks. `make docs` runs it.

A test compares the file with what this gives, so that nothing exists undocumented.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from runbook.cli import cli
from runbook.environment import LAYERS
from runbook.runs.catalogue import all_notebooks

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "reference.md"
_HEAD = """# Reference

Made from the code by `make docs`; a test holds it to the code. Do not edit by hand.
"""


def reference() -> str:
    """The whole page."""
    parts = [_HEAD, *_commands(), *_notebooks(), *_stacks()]
    return "\n".join(parts).rstrip() + "\n"


def _commands() -> Iterator[str]:
    yield "## Commands\n"
    for path, command in _leaves("runbook", cli):
        context = click.Context(
            command,
            info_name=path,
            terminal_width=80,
            help_option_names=["-h", "--help"],
        )
        yield f"### `{path}`\n\n{command.get_short_help_str(200)}\n"
        yield f"```\n{command.get_help(context)}\n```\n"


def _leaves(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in sorted(command.commands):
        yield from _leaves(f"{path} {name}", command.commands[name])


def _notebooks() -> Iterator[str]:
    yield "## Notebooks\n"
    for notebook in all_notebooks(ROOT):
        yield f"### `{notebook.name}`: {notebook.title}\n"
        yield "\n".join(f"- {name}: {text}" for name, text in notebook.facts.items()) + "\n"
        rows = [
            (f"`{p.name}`", p.type_name, f"`{p.default!r}`", p.help) for p in notebook.parameters
        ]
        yield _table(("parameter", "type", "default", "meaning"), rows)


class _OpaqueTags(yaml.SafeLoader):
    """CloudFormation's short tags are of no interest here."""


_OpaqueTags.add_multi_constructor("!", lambda loader, suffix, node: f"!{suffix}")


def _stacks() -> Iterator[str]:
    yield "## Stacks\n"
    yield "In launch order; a stack reads outputs of earlier ones only.\n"
    for layer in LAYERS:
        text = (ROOT / "sceptre" / "templates" / f"{layer}.yaml").read_text(encoding="utf-8")
        template: dict[str, Any] = yaml.load(text, Loader=_OpaqueTags)
        yield f"### `{layer}`\n\n{' '.join(template['Description'].split())}\n"
        parameters = [
            (f"`{name}`", f"`{item['Default']}`" if "Default" in item else "given", _line(item))
            for name, item in template.get("Parameters", {}).items()
        ]
        yield _table(("parameter", "default", "meaning"), parameters)
        outputs = [(f"`{key}`", _line(item)) for key, item in template.get("Outputs", {}).items()]
        yield _table(("output", "meaning"), outputs)


def _line(item: dict[str, Any]) -> str:
    return " ".join(str(item.get("Description", "")).split())


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    cells = [columns, tuple("---" for _ in columns), *rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
