"""bench/sim_to_real.py: a record of a verification beside the simulator."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
PERIOD_S = 10


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sim_to_real", ROOT / "bench" / "sim_to_real.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sim_to_real"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Load that rises after 60 s, and a service that answers with a second task at 102 s."""
    seconds = pd.date_range("2026-11-24T02:25:20Z", periods=240, freq="s")
    stamps = [f"{moment:%Y-%m-%dT%H:%M:%S.000Z}" for moment in seconds]
    traffic = [
        {"time": at, "offered_rps": 20.0 if second < 60 else 70.0}
        for second, at in enumerate(stamps)
    ]
    counts = [
        {
            "time": at,
            "desired": 1 + (second >= 92),
            "running": 1 + (second >= 93),
            "healthy": 1 + (second >= 95),
        }
        for second, at in enumerate(stamps)
    ]
    seen = {
        "run_id": "one",
        "environment": "local",
        "period_s": PERIOD_S,
        "compression": {"alarm_low_periods": 6},
        "traffic": {"data": traffic},
        "counts": {"data": counts},
    }
    for folder in ("60_verify", "30_analyse", "sceptre/config/local"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "60_verify" / "verification.json").write_text(json.dumps(seen))
    shutil.copy(
        ROOT / "examples" / "capacity_curve.json", tmp_path / "30_analyse" / "capacity.json"
    )
    (tmp_path / "sceptre" / "config" / "local" / "scaling.yaml").write_text(
        "parameters: {MinTasks: 1, MaxTasks: 4, RequestsPerTarget: 2400, ScaleOutCooldownS: 20}\n"
    )
    return tmp_path


def test_delays_are_read_off_the_record(bench: ModuleType, run: Path) -> None:
    record = bench.read_record(run)
    assert (record.start_s, record.ready_s) == (1.0, 2.0)


def test_the_simulator_scales_when_the_alarm_would(bench: ModuleType, run: Path) -> None:
    record = bench.read_record(run)
    timing = bench.Timing(start_s=1.0, ready_s=2.0, publish_20_s=2.0, drain_s=0.0)
    desired = bench.simulate(record, timing)
    # 60 s and three periods of 10 s, 2 s after the last one's end.
    assert int(np.flatnonzero(desired > 1)[0]) == 92
    assert bench.agreement(record, desired)[0] == 100.0


def test_another_timeline_does_not_agree(bench: ModuleType, run: Path) -> None:
    record = bench.read_record(run)
    near, same = bench.agreement(record, np.full(240, 4))
    assert near == 0.0
    assert same == 0.0


def test_a_count_that_never_moves_shows_what_the_figures_are_worth(
    bench: ModuleType, run: Path
) -> None:
    near, same = bench.best_constant(bench.read_record(run))
    assert near == 100.0
    assert same == pytest.approx(100.0 * 15 / 24, abs=5.0)


def test_several_runs_make_a_table_ready_for_the_documentation(
    bench: ModuleType, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    folders = [str(run)]
    for number in (1, 2):
        other = tmp_path / f"other{number}"
        for name in ("60_verify", "30_analyse", "sceptre"):
            shutil.copytree(run / name, other / name)
        record = other / "60_verify" / "verification.json"
        record.write_text(record.read_text().replace('"one"', f'"other{number}"'))
        folders.append(str(other))
    monkeypatch.setattr(sys, "argv", ["sim_to_real.py", *folders])
    assert bench.main() == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "one (delays read off it)",
        "other1",
        "other2",
        "all that gave no delays",
    ]
    assert lines[-1].split("|")[2].strip() == "48"
