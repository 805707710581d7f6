"""What the real rig hands on to the driver."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runbook.capacity import rig as module
from runbook.capacity.phase import PhaseRunner
from runbook.capacity.plan import ExperimentPlan, forecast
from runbook.capacity.rig import AwsRig
from runbook.environment import Environment
from runbook.errors import InputInvalid
from runbook.load.run import DRIVERS, START_UP_S
from runbook.load.schedule import constant


def test_the_load_comes_from_the_driver_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {}

    def run_driver(plan: Any, folder: Path, on_event: Any, **options: Any) -> str:
        asked.update(options, url=plan.url)
        return "run"

    monkeypatch.setattr(module, "run_driver", run_driver)
    identity: Any = SimpleNamespace(url="http://h/")
    nothing: Any = None
    rig = AwsRig(nothing, identity, nothing, nothing, "/x", 10.0, driver="locust", workers=3)
    done: Any = rig.drive(
        constant(1, 1), seed=1, start_at_epoch_s=1.0, folder=tmp_path, on_event=lambda _: None
    )
    assert done == "run"
    assert asked == {"url": "http://h/x", "driver": "locust", "workers": 3}


def test_workers_are_said_beforehand_and_what_cannot_drive_is_refused(tmp_path: Path) -> None:
    environment = Environment("local", "shop", "eu-west-1", "", 10, tmp_path, tmp_path)
    lines = forecast(environment, ExperimentPlan(driver="locust", workers=4))
    assert any("from 4 locust workers" in line for line in lines)
    assert not any("workers" in line for line in forecast(environment, ExperimentPlan()))
    with pytest.raises(InputInvalid, match="'wrk' is none of builtin, locust"):
        ExperimentPlan(driver="wrk")
    with pytest.raises(InputInvalid, match="0 workers"):
        ExperimentPlan(driver="locust", workers=0)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_phase_leaves_its_driver_the_time_to_start(tmp_path: Path, driver: str) -> None:
    started: list[float] = []

    class Rig:
        facts = SimpleNamespace(period_s=10)

        def now(self) -> float:
            return 1000.0

        def drive(self, segments: Any, *, start_at_epoch_s: float, **_: Any) -> Any:
            started.append(start_at_epoch_s)
            assert (start_at_epoch_s + segments[0].duration_s) % 10 == 0
            raise InterruptedError

    rig: Any = Rig()
    runner = PhaseRunner(rig, ExperimentPlan(driver=driver), tmp_path, lambda *_: None)
    with pytest.raises(InterruptedError):
        runner.run("a", 1, "sweep", [10.0], 1)
    assert started[0] - 1000.0 == START_UP_S[driver]
