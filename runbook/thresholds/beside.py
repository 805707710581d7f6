"""What an environment's `scaling.yaml` says below `policy_lab`, beside the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from runbook.environment import Environment
from runbook.lab.additions import KEY, policy_lab, read_additions
from runbook.lab.policy import Policy
from runbook.lab.policy_file import read_yaml
from runbook.lab.policy_numbers import mapping
from runbook.lab.words import words
from runbook.thresholds.configured import UNKNOWN, read_file, scaling_file, told_above

_DATA = "sceptre_user_data"


@dataclass(frozen=True)
class CurrentAddition:
    """A configured part: its `value` as the file has it, in words, and where it comes from."""

    name: str
    value: Any
    words: str
    provenance: str


def current_additions(source: Environment | Path) -> tuple[CurrentAddition, ...]:
    """The steps on CPU, the forecast and the schedule that are configured. Raises InputInvalid."""
    path = source if isinstance(source, Path) else scaling_file(source)
    text, name = read_file(path), path.stem
    content = mapping(name, read_yaml(path, "mend the file"), str(path))
    extra = policy_lab(name, mapping(name, content.get(_DATA), _DATA))
    if not extra:
        return ()
    # Checked as a whole first, so that an unknown part is refused and not left out.
    read_additions(name, extra)
    # PyYAML reads what is launched, ruamel knows where it stands.
    line = YAML(typ="rt").load(StringIO(text))[_DATA].lc.key(KEY)[0]
    origin = told_above(text.split("\n"), line) or UNKNOWN
    return tuple(
        CurrentAddition(part, value, "; ".join(_clauses(part, value)), origin)
        for part, value in extra.items()
        if value
    )


def _clauses(part: str, value: Any) -> Iterator[str]:
    found = read_additions(part, {part: value})
    yield words(
        Policy(part, stepped=found.stepped, schedule=found.schedule, predictive=found.predictive)
    )
    for step in found.stepped:
        yield f"cooldown {step.policy.cooldown_s:g} s"
