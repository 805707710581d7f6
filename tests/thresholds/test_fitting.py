"""A proposal's numbers as an environment takes them, and what is said of those that differ."""

from __future__ import annotations

from datetime import time
from typing import Any

import pytest

from runbook.errors import InputInvalid
from runbook.lab.additions import Additions
from runbook.lab.policy import Scheduled
from runbook.thresholds.fitting import Fitted, fitted, left_out

CONFIGURED = {"MinTasks": 2.0, "MaxTasks": 20.0}


def fit(
    numbers: dict[str, float],
    *schedule: Scheduled,
    configured: dict[str, float] = CONFIGURED,
    proposed_for_s: int = 60,
    written_for_s: int = 60,
) -> Fitted:
    return fitted(
        numbers,
        Additions(schedule=schedule),
        configured,
        proposed_for_s=proposed_for_s,
        written_for_s=written_for_s,
        where="scaling.yaml",
    )


def at_night(**bounds: Any) -> Scheduled:
    return Scheduled(time(22), **bounds)


def test_what_fits_is_taken_without_a_word() -> None:
    numbers = {"MinTasks": 3.0, "MaxTasks": 20.0, "CpuTarget": 50.0, "ScaleInCooldownS": 0.0}
    found = fit(numbers, at_night(min_tasks=3, max_tasks=10))
    assert found.remarks == ()
    assert found.numbers == {"MinTasks": 3.0, "CpuTarget": 50.0, "ScaleInCooldownS": 0.0}


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ({"MaxTasks": 300.0}, "MaxTasks stays 20, and the lab played up to 300: a peak that"),
        ({"MaxTasks": 5.0}, "MaxTasks stays 20, and the lab played up to 5: more tasks may run"),
        ({"MinTasks": 1.0}, "MinTasks stays 2, though 1 is proposed"),
    ],
)
def test_a_bound_that_stays_is_told(numbers: dict[str, float], told: str) -> None:
    found = fit(numbers)
    assert found.numbers == {}
    (remark,) = found.remarks
    assert remark.startswith(told)


def test_bounds_that_the_file_leaves_to_the_template_are_one_task() -> None:
    assert fit({"CpuTarget": 50.0}, configured={}).numbers == {"CpuTarget": 50.0}
    with pytest.raises(InputInvalid, match="its MaxTasks is 1"):
        fit({"MinTasks": 2.0}, configured={})


def test_a_schedule_that_lowers_the_minimum_is_told() -> None:
    (remark,) = fit({"MinTasks": 4.0}, at_night(min_tasks=3)).remarks
    assert remark.startswith("its schedule lowers the minimum from 4 to 3 at 22:00")


def test_a_maximum_below_the_minimum_then_is_refused() -> None:
    with pytest.raises(InputInvalid, match="max_tasks 3 at 22:00 does not fit: MinTasks is 4 then"):
        fit({"MinTasks": 4.0}, at_night(max_tasks=3))
    assert fit({"MinTasks": 4.0}, at_night(min_tasks=1, max_tasks=3)).numbers == {"MinTasks": 4.0}


@pytest.mark.parametrize(
    ("proposed_for_s", "written_for_s", "given_s", "written_s", "told"),
    [
        (60, 60, 90.0, 90.0, None),
        (60, 10, 120.0, 20.0, "6 times as short: metrics come every 10 s here"),
        # A pause does not vanish.
        (60, 10, 3.0, 1.0, "6 times as short"),
        (60, 10, 20.0, 4.0, "6 times as short"),
        (60, 10, 0.0, 0.0, None),
        (10, 60, 20.0, 120.0, "6 times as long: metrics come every 60 s here"),
        (10, 10, 20.0, 20.0, None),
        # Files for longer periods are played as they stand.
        (60, 300, 90.0, 90.0, None),
    ],
)
def test_cooldowns_are_as_many_periods_long(
    proposed_for_s: int, written_for_s: int, given_s: float, written_s: float, told: str | None
) -> None:
    found = fit(
        {"ScaleOutCooldownS": given_s}, proposed_for_s=proposed_for_s, written_for_s=written_for_s
    )
    assert found.numbers == {"ScaleOutCooldownS": written_s}
    assert len(found.remarks) == (told is not None)
    assert all(told in remark for remark in found.remarks if told)


def test_what_else_the_proposal_holds_or_rests_on_is_told() -> None:
    assert list(left_out({"CpuTarget": 50}, {"CpuTarget": "policy lab, shop until May"})) == []
    memory, scaled = left_out(
        {"MemoryTarget": 80}, {"CpuTarget": "policy lab, nasa until July, its rates times 72.2"}
    )
    assert memory == "MemoryTarget is not taken: the lab does not play it"
    assert scaled.startswith("the proposal rests on scaled traffic (policy lab, nasa")
