"""bench/capacity.py: a goal for which there is nothing to judge is missed, not met."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from runbook.errors import MeasurementVoid

BENCH = Path(__file__).resolve().parents[2] / "bench" / "capacity.py"
SERVICE: Any = SimpleNamespace(name="a queue", c_slo_rps=lambda tasks: 50.0)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The bench, whose load tests take no time; what they find is for a test to say."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("capacity_bench", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "conduct", lambda *given, **options: None)
    monkeypatch.setattr(module, "ALIKE", SERVICE)
    monkeypatch.setattr(module, "UNLIKE", SERVICE)
    monkeypatch.setattr(sys, "argv", ["capacity.py", "--repeats", "4"])
    return module


def _finds(bench: ModuleType, monkeypatch: pytest.MonkeyPatch, doubt: str) -> None:
    rates: dict[str, Any] = {
        "c_slo_per_task_rps": 51.0,
        "lo_per_task_rps": 45.0,
        "hi_per_task_rps": 55.0,
    }
    counts = [SimpleNamespace(tasks=tasks, direct=None, **rates) for tasks in bench.MEASURED]
    predictions = [] if doubt else [SimpleNamespace(tasks=2, **rates)]
    model = SimpleNamespace(doubt=doubt, predictions=predictions)
    curve = SimpleNamespace(counts=counts, model=model)
    monkeypatch.setattr(bench, "fit_curve", lambda *given, **options: curve)
    gaps: list[float] = [] if doubt else [0.1]
    monkeypatch.setattr(bench, "held_out_rates", lambda *given: {1: gaps, 3: gaps})


def test_goals_that_are_met_are_exit_code_0(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _finds(bench, monkeypatch, doubt="")
    assert bench.main() == 0
    told = capsys.readouterr().out
    assert "missed goals: none" in told
    assert "refused in 0 of 4 (0%); 0 of 4 (0%) load tests stated no capacity" in told


def test_load_tests_that_all_state_nothing_miss_every_goal(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def void(*given: Any, **options: Any) -> None:
        raise MeasurementVoid("No capacity can be stated", "void steps", "measure again")

    monkeypatch.setattr(bench, "fit_curve", void)
    assert bench.simulated(SERVICE, 4, 1) == [
        "c_SLO(1), a queue: nothing reported",
        "c_SLO(3), a queue: nothing reported",
        "c_SLO(2), a queue: nothing predicted",
        "p95, a queue: nothing predicted",
    ]
    assert "refused in 0 of 0; 4 of 4 (100%) load tests" in capsys.readouterr().out
    assert bench.main() == 1


def test_a_model_that_is_always_refused_misses_what_it_was_to_predict(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _finds(bench, monkeypatch, doubt="its residuals are large")
    assert bench.simulated(SERVICE, 4, 1) == [
        "c_SLO(2), a queue: nothing predicted",
        "p95, a queue: nothing predicted",
    ]
    assert "refused in 4 of 4 (100%)" in capsys.readouterr().out
    assert bench.main() == 1
