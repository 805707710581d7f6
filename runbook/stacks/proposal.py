"""A change of the configuration that is not made yet: edited, and planned, on a copy."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from runbook.environment import Environment


def proposed_copy(environment: Environment, folder: Path) -> Environment:
    """The environment as it would be: the same, on a copy of its Sceptre folder below `folder`.

    Edit the copy, plan with it, and only then edit the original: the digest of a plan is the
    same for equal files wherever they lie. An earlier copy there is replaced.
    """
    copy = folder / "proposed"
    shutil.rmtree(copy, ignore_errors=True)
    for part in ("config", "templates"):
        shutil.copytree(environment.sceptre_dir / part, copy / part)
    edited = environment.copied_from or environment.sceptre_dir
    return replace(environment, sceptre_dir=copy, copied_from=edited)
