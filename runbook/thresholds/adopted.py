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

from runbook.environment import Environment
from runbook.errors import InputInvalid
from runbook.lab.additions import KEY as LAB
from runbook.lab.additions import policy_lab, read_additions, require_launchable
from runbook.lab.policy_file import read_yaml, written_for_s
from runbook.lab.policy_numbers import checked_numbers, mapping
from runbook.scaling.target_tracking import HIGH_RESOLUTION_20S
from runbook.thresholds.configured import (
    check,
    current_values,
    provenances,
    read_file,
    save,
    scaling_file,
    with_number,
)
from runbook.thresholds.fitting import fitted, left_out
from runbook.thresholds.recommendation import number_text

_DATA = "sceptre_user_data"
_PARTS = ("parameters", _DATA)
_MAKE_ONE = "make one: runbook lab tune --out FILE"


@dataclass(frozen=True)
class Adopted:
    """What was taken over: the unified diff ("" for none), numbers by name, and what they lack.

    `remarks` say what was not taken as proposed, and why. `fast`: metrics of 20 s are needed.
    """

    diff: str
    numbers: Mapping[str, float]
    additions: tuple[str, ...]
    remarks: tuple[str, ...]
    fast: bool


def adopt(environment: Environment, proposal: Path, *, dry_run: bool) -> Adopted:
    """Take `proposal` over into the environment's `scaling.yaml`.

    Bounds are not the lab's alone to say: MaxTasks stays, by what the store and the account can
    take, and so does a higher MinTasks, which also survives the loss of a task. Without a
    `policy_lab` in the proposal the file's own goes, as the lab played none. Raises InputInvalid,
    before anything is written, for a proposal that changes nothing, that the lab could not play
    or the environment not launch, or that the file has no place for.
    """
    path, name = scaling_file(environment), proposal.stem
    content = _proposal(proposal)
    given = mapping(name, content.get("parameters"), "parameters")
    numbers = checked_numbers(name, given)
    extra = policy_lab(name, mapping(name, content.get(_DATA), _DATA))
    additions = read_additions(name, extra)
    if not numbers and not extra:
        raise InputInvalid(
            f"{proposal} proposes nothing",
            "its search found nothing worth a change; its comments say beside what",
            "keep what you have",
        )
    require_launchable(name, environment.name, additions)
    fit = fitted(
        numbers,
        additions,
        current_values(path),
        proposed_for_s=written_for_s(proposal, given),
        written_for_s=written_for_s(path, read_yaml(path, "mend it")["parameters"]),
        where=str(path),
    )
    told = provenances(proposal) if numbers else {}
    before = after = read_file(path)
    usual = f"policy lab, {proposal.name}"
    texts = {key: _text(key, value) for key, value in fit.numbers.items()}
    for key, number in texts.items():
        after = with_number(path, after, key, number, told.get(key, usual))
    after = _with_additions(path, after, extra, next(iter(told.values()), usual))
    check(path, after, texts)
    _require_whole(path, before, after, extra)
    fast = numbers.get("EcsMetricPeriodS") == HIGH_RESOLUTION_20S.period_s or additions.fast
    diff = save(path, before, after, dry_run=dry_run)
    return Adopted(diff, fit.numbers, tuple(extra), (*fit.remarks, *left_out(given, told)), fast)


def _proposal(path: Path) -> Mapping[str, Any]:
    """What the file proposes. Raises InputInvalid for anything but a proposal."""
    content = read_yaml(path, _MAKE_ONE)
    if isinstance(content, Mapping) and content and set(content) <= set(_PARTS):
        return content
    held = ", ".join(map(str, content)) if isinstance(content, Mapping) else ""
    raise InputInvalid(
        f"{path} is no proposal",
        f"one has {' or '.join(_PARTS)} and nothing beside; this has {held or 'neither'}",
        _MAKE_ONE,
    )


def _text(name: str, value: float) -> str:
    """The number as the file has its like, or with all its digits."""
    usual = number_text(name, value)
    return usual if float(usual) == value else f"{value:.15g}"


def _require_whole(path: Path, before: str, after: str, extra: Mapping[str, Any]) -> None:
    """The file must still have what it had, and the additions: its form may be unforeseen."""
    was, now = (YAML(typ="rt").load(StringIO(text)) for text in (before, after))
    lost = {key for key in was if key != _DATA and key not in now}
    lost |= set(was["parameters"]) ^ set(now["parameters"])
    if lost or (now.get(_DATA) or {}).get(LAB, {}) != extra:
        raise InputInvalid(
            f"{path} cannot be edited",
            f"it would not keep {', '.join(sorted(lost)) or LAB}",
            f"put the proposal's numbers and its {LAB} there by hand",
        )


def _with_additions(path: Path, text: str, extra: Mapping[str, Any], told: str) -> str:
    """The text whose `sceptre_user_data` is `extra` below `policy_lab`, or is not there."""
    content = YAML(typ="rt").load(StringIO(text))
    lines = text.rstrip("\n").split("\n")
    if _DATA in content:
        others = set(content[_DATA] or {}) - {LAB}
        if others:
            raise InputInvalid(
                f"{path} cannot be edited",
                f"its {_DATA} holds {', '.join(sorted(others))} beside {LAB}",
                f"put the proposal's {LAB} there by hand",
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
        block = yaml.safe_dump({LAB: dict(extra)}, sort_keys=False, default_flow_style=None)
        lines += [
            "",
            f"{_DATA}:",
            "  # Launched beside the policies above; the numbers are those the policy lab played.",
            f"  # from: {told}",
            *(f"  {line}" for line in block.rstrip("\n").split("\n")),
        ]
    return "\n".join(lines) + "\n"
