"""A proposal's numbers as an environment takes them: bounds that stay, paces in its own time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runbook.errors import InputInvalid
from runbook.lab.additions import Additions
from runbook.lab.policy_file import AWS_PERIOD_S
from runbook.lab.policy_numbers import COOLDOWNS, UNPLAYED

_DEFAULT_TASKS = 1
"""MinTasks and MaxTasks of a file that leaves them to the scaling template."""
_SCALED = "its rates times"
"""What a proposal says of a history whose rates were scaled."""


@dataclass(frozen=True)
class Fitted:
    """The numbers to be written, and a sentence on each thing that is not as proposed."""

    numbers: Mapping[str, float]
    remarks: tuple[str, ...]


def fitted(
    numbers: Mapping[str, float],
    additions: Additions,
    configured: Mapping[str, float],
    *,
    proposed_for_s: int,
    written_for_s: int,
    where: str,
) -> Fitted:
    """The proposal's numbers where `configured` stands now, in the file named `where`.

    The metric periods for which both are written, seconds, tell how long cooldowns become.
    Raises InputInvalid for what the MaxTasks that stays has no room for.
    """
    taken = dict(numbers)
    least = configured.get("MinTasks", _DEFAULT_TASKS)
    most = configured.get("MaxTasks", _DEFAULT_TASKS)
    _require_room(where, taken.get("MinTasks", 0), additions, most)
    remarks = [*_maximum(taken.pop("MaxTasks", most), most)]
    if taken.get("MinTasks", least) < least:
        remarks.append(
            f"MinTasks stays {least:.0f}, though {taken.pop('MinTasks'):.0f} is proposed: a minimum"
            " also survives the loss of a task; lower it by hand if it need not"
        )
    remarks += _schedule(additions, taken.get("MinTasks", least))
    # A file for periods of a minute or more is played as it stands.
    factor = min(written_for_s, AWS_PERIOD_S) / min(proposed_for_s, AWS_PERIOD_S)
    paces = {key: float(math.ceil(factor * taken[key] - 1e-9)) for key in COOLDOWNS if key in taken}
    if any(taken[key] != paces[key] for key in paces):
        times = f"{factor:g} times as long" if factor > 1.0 else f"{1 / factor:g} times as short"
        remarks.append(
            f"cooldowns are written {times}: metrics come every"
            f" {written_for_s} s here, and the proposal is for {proposed_for_s} s"
        )
    return Fitted(taken | paces, tuple(remarks))


def left_out(parameters: Mapping[str, Any], origins: Mapping[str, str]) -> Iterator[str]:
    """A sentence on what else a proposal holds, or rests on, that one should know."""
    for key in UNPLAYED:
        if key in parameters and key != "MetricPeriodS":
            yield f"{key} is not taken: the lab does not play it"
    scaled = next((text for text in origins.values() if _SCALED in text), None)
    if scaled:
        yield (
            f"the proposal rests on scaled traffic ({scaled}): for your own, tune with it as it is"
            " (--peak-tasks 0)"
        )


def _maximum(asked: float, stays: float) -> Iterator[str]:
    told = f"MaxTasks stays {stays:.0f}, and the lab played up to {asked:.0f}"
    if asked > stays:
        yield f"{told}: a peak that needs more than {stays:.0f} violates the SLO; replay the file"
    elif asked < stays:
        yield f"{told}: more tasks may run than in its account"


def _schedule(additions: Additions, least: float) -> Iterator[str]:
    """What the schedule does to the minimum. Raises InputInvalid for a maximum below it."""
    for item in additions.schedule:
        if item.min_tasks is None and item.max_tasks is not None and item.max_tasks < least:
            raise InputInvalid(
                f"A schedule with max_tasks {item.max_tasks} at {item.at:%H:%M} does not fit",
                f"MinTasks is {least:.0f} then",
                "give its min_tasks too",
            )
        if item.min_tasks is not None and item.min_tasks < least:
            yield (
                f"its schedule lowers the minimum from {least:.0f} to {item.min_tasks} at"
                f" {item.at:%H:%M}: fewer may not survive the loss of a task"
            )


def _require_room(where: str, least: float, additions: Additions, most: float) -> None:
    """Refuse a minimum, or a schedule, beyond the maximum that stays."""
    asked = ((least, "MinTasks {:.0f}"), (additions.most_tasks, "{:.0f} tasks in its schedule"))
    for tasks, words in asked:
        if tasks > most:
            raise InputInvalid(
                f"A proposal with {words.format(tasks)} does not fit {where}",
                f"its MaxTasks is {most:.0f}",
                f"tune with your own traffic as it is (--peak-tasks 0 --max-tasks {most:.0f}), or"
                " raise MaxTasks first, as far as the store can take it",
            )
