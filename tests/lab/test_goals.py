"""bench/lab_goals.py: what its bounds and goals mean, and that a missed goal is exit code 1."""

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from runbook.lab.history import History
from runbook.lab.service import ServiceModel

BENCH = Path(__file__).resolve().parents[2] / "bench" / "lab_goals.py"


@pytest.fixture(scope="module")
def goals() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lab_goals", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lab_goals"] = module
    spec.loader.exec_module(module)
    return module


def account(violating: float, task_s: float) -> np.ndarray:
    days = np.zeros((4, 15))
    days[:, [0, 1, 3, 4]] = 1000.0, violating, task_s, 100.0
    return days


def test_goals_compare_sums_over_days(goals: ModuleType):
    values = {
        goal.told: goals._with_interval(goal, account(4.0, 130.0), account(40.0, 200.0))
        for goal in goals.GOALS
    }
    expected = [0.4, -35.0, -90.0, -35.0, 1.3]
    for (value, low, high), wanted in zip(values.values(), expected, strict=True):
        assert value == pytest.approx(wanted)
        # All days are alike.
        assert low == pytest.approx(value)
        assert high == pytest.approx(value)


def test_where_nothing_violates_there_is_nothing_to_avoid(goals: ModuleType):
    avoid = goals.GOALS[2]
    value, low, high = goals._with_interval(avoid, account(0.1, 130.0), account(0.2, 200.0))
    assert math.isnan(value)
    assert math.isnan(low)
    assert math.isnan(high)


@pytest.mark.parametrize(("missed", "code"), [(0, 0), (1, 1)])
def test_a_missed_goal_is_exit_code_1(
    goals: ModuleType, monkeypatch: pytest.MonkeyPatch, missed: int, code: int
):
    example = BENCH.parents[1] / "examples" / "nasa_http_1995_07_5min.csv"
    monkeypatch.setattr(sys, "argv", ["lab_goals.py", str(example)])
    monkeypatch.setattr(goals, "_goals", lambda *given: missed)
    monkeypatch.setattr(goals, "_bounds", lambda *given: iter(()))
    assert goals.main() == code


def test_tracked_scale_in_waits_until_the_load_was_low_all_along(goals: ModuleType):
    carried = np.arange(1.0, 11.0)
    load = np.array([2.0, 5.0, 4.0, 4.0, 4.6, 4.0, 4.0, 4.0, 4.0])
    needed = np.ceil(load).astype(np.int64)
    held = goals._held(load, needed, needed, carried, 0.9, 3)
    assert held.tolist() == [2, 5, 5, 5, 5, 5, 5, 4, 4]


def test_knowing_more_and_being_allowed_more_need_fewer_tasks(
    goals: ModuleType, days: History, service: ServiceModel
):
    (_, knows, _), (_, whole, safe), (_, late, late_safe), (_, soon, soon_safe) = goals._bounds(
        days.test_part, service, service
    )
    assert 1.0 <= knows <= whole <= safe
    assert whole <= late <= late_safe
    # To wait longer may need less: it is headroom as well.
    assert 1.0 <= soon <= soon_safe
