"""A curve measured on the local region, a small history, and the event-by-event replay."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from runbook.capacity.curve import CapacityCurve
from runbook.lab.history import History, make_history
from runbook.lab.service import ServiceModel, service_model

ROOT = Path(__file__).resolve().parents[2]
CURVE = ROOT / "examples" / "capacity_curve.json"
NASA = ROOT / "examples" / "nasa_http_1995_07_5min.csv"

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def curve() -> CapacityCurve:
    return CapacityCurve.load(CURVE)


@pytest.fixture(scope="session")
def service(curve: CapacityCurve) -> ServiceModel:
    return service_model(curve)


@pytest.fixture(scope="session")
def events() -> ModuleType:
    """bench/lab_events.py, which is no package."""
    spec = importlib.util.spec_from_file_location("lab_events", ROOT / "bench" / "lab_events.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lab_events"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def days(service: ServiceModel) -> History:
    """Four days of one-minute counts with a daily wave, scaled to a peak of 10 tasks."""
    minute = np.arange(4 * 1440)
    wave = 4000 + 3000 * np.sin(2 * np.pi * minute / 1440)
    counts = np.random.default_rng(1).poisson(wave).astype(float)
    stamps = pd.date_range("2026-05-04", periods=len(counts), freq="min", tz="UTC")
    return make_history("days", stamps, counts).scaled(service, 10)
