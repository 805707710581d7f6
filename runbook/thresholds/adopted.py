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
from runbook.lab.additions import Additions, read_additions
from runbook.lab.policy_numbers import checked_numbers, mapping
from runbook.scaling.target_tracking import HIGH_RESOLUTION_20S
from runbook.thresholds.configured import (
    UNKNOWN,
    check,
    current_thresholds,
    current_values,
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
    """What was taken over: the unified diff ("" for none), numbers by name, and what they lack.

    `fast`: metrics of 20 s are needed.
    """

    diff: str
    numbers: Mapping[str, float]
    additions: tuple[str, ...]
    fast: bool


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
    additions = read_additions(name, extra)
    if not numbers and not extra:
        raise InputInvalid(
            f"{proposal} proposes nothing",
            "its search found nothing that is surely better than what is configured",
            "keep what you have",
        )
    _require_room(path, numbers, additions)
    before = after = read_file(path)
    usual = f"policy lab, {proposal.name}"
    told = _origins(proposal) if numbers else {}
    taken = {key: value for key, value in numbers.items() if key not in KEPT}
    written = {key: _text(key, value) for key, value in taken.items()}
    for key, number in written.items():
        after = with_number(path, after, key, number, told.get(key, usual))
    after = _with_additions(path, after, extra, next(iter(told.values()), usual))
    check(path, after, written)
    _require_whole(path, before, after, extra)
    fast = numbers.get("EcsMetricPeriodS") == HIGH_RESOLUTION_20S.period_s or additions.fast
    return Adopted(save(path, before, after, dry_run=dry_run), taken, tuple(extra), fast)


def _origins(proposal: Path) -> dict[str, str]:
    """What the proposal says of where each number is from, where it does."""
    there = current_thresholds(proposal)
    return {item.name: item.provenance for item in there if item.provenance != UNKNOWN}


def _text(name: str, value: float) -> str:
    """The number as the file has its like, or with all its digits."""
    usual = number_text(name, value)
    return usual if float(usual) == value else f"{value:.15g}"


def _require_room(path: Path, numbers: Mapping[str, float], additions: Additions) -> None:
    """Refuse a minimum, or a schedule, beyond the maximum that stays."""
    most = current_values(path)["MaxTasks"]
    asked = (
        (numbers.get("MinTasks", 0), "MinTasks {:.0f}"),
        (additions.most_tasks, "{:.0f} tasks in its schedule"),
    )
    for tasks, words in asked:
        if tasks > most:
            raise InputInvalid(
                f"A proposal with {words.format(tasks)} does not fit {path}",
                f"its MaxTasks is {most:.0f}",
                "tune with your own traffic as it is (--peak-tasks 0), or raise MaxTasks as far as"
                " the store can take it first",
            )


def _require_whole(path: Path, before: str, after: str, extra: Mapping[str, Any]) -> None:
    """The file must still have what it had, and the additions: its form may be unforeseen."""
    was, now = (YAML(typ="rt").load(StringIO(text)) for text in (before, after))
    lost = {key for key in was if key != _DATA and key not in now}
    lost |= set(was["parameters"]) ^ set(now["parameters"])
    if lost or (now.get(_DATA) or {}).get(_LAB, {}) != extra:
        raise InputInvalid(
            f"{path} cannot be edited",
            f"it would not keep {', '.join(sorted(lost)) or _LAB}",
            f"put the proposal's numbers and its {_LAB} there by hand",
        )


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
        below = [content.lc.key(key)[0] for key in content if content.lc.key(key)[0] > first]
        last = min(below, default=len(lines))
        # Comments right above the next key are that key's.
        while below and last > first + 1 and lines[last - 1].startswith("#"):
            last -= 1
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
