"""Names by which files are told apart in tables and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def distinct(paths: Sequence[Path]) -> list[str]:
    """A name for each path: its last part, with as many folders as tell it from the others."""
    depths = [1] * len(paths)
    while True:
        names = [str(Path(*path.parts[-many:])) for path, many in zip(paths, depths, strict=True)]
        shared = {name for name, many in Counter(names).items() if many > 1}
        deeper = [
            many + (name in shared and many < len(path.parts))
            for path, name, many in zip(paths, names, depths, strict=True)
        ]
        if deeper == depths:
            return names
        depths = deeper
