"""The notebooks there are: name, title, purpose, parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.errors import InputInvalid
from runbook.runs.parameters import Parameter, declared, read_notebook, unknown

_NUMBERED = re.compile(r"^\d\d_\w+$")


@dataclass(frozen=True)
class Notebook:
    """A runbook. `facts` are the lines of its head: purpose, owner, when to run, changes."""

    name: str
    path: Path
    title: str
    facts: dict[str, str]
    parameters: tuple[Parameter, ...]

    @property
    def purpose(self) -> str:
        """One sentence."""
        return self.facts.get("Purpose", "")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "title": self.title,
            "facts": self.facts,
            "parameters": [vars(parameter) for parameter in self.parameters],
        }


def folder(project: Path) -> Path:
    """Where the project keeps its notebooks."""
    return project / "notebooks"


def head(content: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The title and the facts (purpose, owner, ...) of a notebook's first cell."""
    cells = content["cells"]
    text = "".join(cells[0]["source"]) if cells and cells[0]["cell_type"] == "markdown" else ""
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    facts = dict(re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \|$", text, re.MULTILINE))
    return (title[1] if title else ""), facts


def load(path: Path) -> Notebook:
    """Read a notebook's head and parameters. Raises InputInvalid when it is none of ours."""
    title, facts = head(read_notebook(path))
    return Notebook(path.stem, path, title or path.stem, facts, declared(path))


def all_notebooks(project: Path) -> tuple[Notebook, ...]:
    """The project's numbered notebooks, in their order."""
    paths = sorted(folder(project).glob("*.ipynb"))
    return tuple(load(path) for path in paths if _NUMBERED.match(path.stem))


def find(project: Path, name: str) -> Notebook:
    """A notebook by name, number or path. Raises InputInvalid with a did-you-mean."""
    as_path = Path(name)
    if as_path.suffix == ".ipynb":
        return load(as_path if as_path.is_absolute() else Path.cwd() / as_path)
    known = [path.stem for path in sorted(folder(project).glob("*.ipynb"))]
    chosen = [stem for stem in known if name == stem or stem.startswith(f"{name}_")]
    if not chosen:
        raise unknown(name, known, "notebook")
    return load(folder(project) / f"{chosen[0]}.ipynb")


def find_all(project: Path, names: Sequence[str]) -> tuple[Notebook, ...]:
    """Several notebooks, each once. Raises InputInvalid for a repetition, too."""
    found = tuple(find(project, name) for name in names)
    stems = [notebook.name for notebook in found]
    if len(set(stems)) != len(stems):
        raise InputInvalid(
            "A notebook is named twice", ", ".join(stems), "name each notebook of a run once"
        )
    return found
