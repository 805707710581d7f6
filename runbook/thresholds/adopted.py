"""A proposal of the policy lab taken over into an environment's `scaling.yaml`.

Its numbers go where the file has them, each with its `# from:`; what numbers cannot say (steps on
CPU, a forecast, a schedule) becomes the file's `sceptre_user_data: policy_lab:`, which the scaling
stack launches. Everything else of the file stays as people wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML

from runbook.errors import InputInvalid
from runbook.lab.additions import read_additions
from runbook.lab.policy_numbers import checked_numbers, mapping
from runbook.thresholds.configured import (
    check,
    current_thresholds,
    read_file,
    save,
    with_number,
)
from runbook.thresholds.recommendation import number_text

KEPT = ("MaxTasks",)
"""Not the lab's to say: bounded by what the store and the account can take."""
_DATA, _LAB = "sceptre_user_data", "policy_lab"


@dataclass(frozen=True)
class Adopted:
    """What was taken over: the unified diff ("" for none), and the names of what was kept."""

    diff: str
    numbers: Mapping[str, float]
    additions: tuple[str, ...]


def adopt(path: Path, proposal: Path, *, dry_run: bool) -> Adopted:
    """Take `proposal` over into the `scaling.yaml` at `path`.

    Without a `policy_lab` in the proposal the file's own goes, as the lab played none. Raises
    InputInvalid, before anything is written, for a proposal that keeps what is configured, that
    the lab could not play, or that the file has no place for.
    """
    content = _proposal(proposal)
    name = proposal.stem
    numbers = checked_numbers(name, mapping(name, content.get("parameters"), "parameters"))
    data = mapping(name, content.get(_DATA), _DATA)
    extra = mapping(name, data.get(_LAB), _LAB)
    read_additions(name, extra)
    if not numbers and not extra:
        raise InputInvalid(
            f"{proposal} proposes nothing",
            "its search found nothing that is surely better than what is configured",
            "keep what you have",
        )
    before = after = read_file(path)
    told = {item.name: item.provenance for item in current_thresholds(proposal)}
    taken = {key: value for key, value in numbers.items() if key not in KEPT}
    written = {key: number_text(key, value) for key, value in taken.items()}
    for key, number in written.items():
        after = with_number(path, after, key, number, told.get(key, f"policy lab, {proposal.name}"))
    after = _with_additions(path, after, extra, next(iter(told.values()), proposal.name))
    check(path, after, written)
    return Adopted(save(path, before, after, dry_run=dry_run), taken, tuple(extra))


def _proposal(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(read_file(path))
    except yaml.YAMLError as error:
        raise InputInvalid(
            f"{path} is no proposal", str(error).split("\n")[0], "make one: runbook lab tune --out"
        ) from error
    return mapping(path.stem, content, str(path))


def _with_additions(path: Path, text: str, extra: Mapping[str, Any], told: str) -> str:
    """The text whose `sceptre_user_data` is `extra` below `policy_lab`, or is not there."""
    content = YAML(typ="rt").load(StringIO(text))
    lines = text.rstrip("\n").split("\n")
    if _DATA in content:
        others = set(content[_DATA] or {}) - {_LAB}
        if others:
            raise InputInvalid(
                f"{path} cannot be edited",
                f"its {_DATA} holds {', '.join(sorted(others))} beside {_LAB}",
                f"put the proposal's {_LAB} there by hand",
            )
        first = content.lc.key(_DATA)[0]
        last = first + 1
        while last < len(lines) and (not lines[last] or lines[last][0] == " "):
            last += 1
        del lines[first:last]
        while lines and not lines[-1]:
            lines.pop()
    if extra:
        block = yaml.safe_dump({_LAB: dict(extra)}, sort_keys=False, default_flow_style=None)
        lines += [
            "",
            f"{_DATA}:",
            "  # Launched beside the policies above; the numbers are those the policy lab played.",
            f"  # from: {told}",
            *(f"  {line}" for line in block.rstrip("\n").split("\n")),
        ]
    return "\n".join(lines) + "\n"
