"""How long things take, and where each number is from: a measurement, an option, a benchmark."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runbook.errors import InputInvalid, plainly
from runbook.lab.service import Timing

BENCHMARK = "assumed: AWS's own benchmark, aws/containers-roadmap#2113"
GIVEN = "given"
RECORD = Path("60_verify") / "verification.json"


@dataclass(frozen=True)
class Times:
    """`timing`, and for each of its four delays (by the option's name) where it is from."""

    timing: Timing
    origins: dict[str, str]

    def describe(self) -> dict[str, dict[str, Any]]:
        """Seconds and origin of each delay, as reports say them."""
        values = (
            self.timing.start_s,
            self.timing.ready_s,
            self.timing.publish_60_s,
            self.timing.publish_20_s,
        )
        return {
            name: {"s": round(value, 3), "from": origin}
            for (name, origin), value in zip(self.origins.items(), values, strict=True)
        }

    def told(self) -> str:
        """The same as a sentence, by origin."""
        by_origin: dict[str, list[str]] = {}
        for name, item in self.describe().items():
            by_origin.setdefault(item["from"], []).append(f"{name} {item['s']:g}")
        parts = [f"{', '.join(names)} ({origin})" for origin, names in by_origin.items()]
        return f"Times: {'; '.join(parts)}."


def times(
    *,
    startup_s: float | None = None,
    serve_s: float | None = None,
    publish_delay_s: float | None = None,
    fast_publish_delay_s: float | None = None,
    run: Path | None = None,
) -> Times:
    """The times of a replay: what is given, else what `run`'s verification saw, else assumed.

    `startup_s` from the order to RUNNING, `serve_s` from RUNNING to taking traffic,
    `publish_delay_s` from a 60 s period's end until its datapoint can be evaluated,
    `fast_publish_delay_s` the same of 20 s. Raises InputInvalid when `run` holds no scale-out.
    """
    assumed = Timing()
    found = [assumed.start_s, assumed.ready_s, assumed.publish_60_s, assumed.publish_20_s]
    origins = [BENCHMARK] * 4
    if run is not None:
        seen = read_counts(run)
        measured = seen.lag_s("desired", "running"), seen.lag_s("running", "healthy")
        for at, value in enumerate(measured):
            if value is None:
                raise InputInvalid(
                    f"Run {seen.run_id} tells no start-up time",
                    "its verification saw no scale-out",
                    "name a run whose 60_verify scaled out, or give --startup-s and --serve-s",
                )
            found[at], origins[at] = value, f"measured: 60_verify of run {seen.run_id}"
    given = (startup_s, serve_s, publish_delay_s, fast_publish_delay_s)
    for at, option in enumerate(given):
        if option is not None:
            found[at], origins[at] = option, GIVEN
    names = ("startup_s", "serve_s", "publish_delay_s", "fast_publish_delay_s")
    timing = Timing(
        start_s=found[0], ready_s=found[1], publish_60_s=found[2], publish_20_s=found[3]
    )
    return Times(timing, dict(zip(names, origins, strict=True)))


@dataclass(frozen=True)
class Counts:
    """What a verification polled, a row a second: desired, running and healthy tasks."""

    run_id: str
    record: dict[str, Any]
    by_second: pd.DataFrame

    def lag_s(self, wanted: str, got: str) -> float | None:
        """Mean seconds from a rise of `wanted` until `got` is there; None without a rise."""
        return _lag_s(self.by_second[wanted].to_numpy(), self.by_second[got].to_numpy())


def read_counts(run: Path) -> Counts:
    """The record of a run's `60_verify`. Raises InputInvalid when it is none."""
    path = run / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        traffic, counts = (frame(record[name]) for name in ("traffic", "counts"))
        seconds = pd.date_range(traffic.index[0].floor("s"), periods=len(traffic), freq="s")
        by_second = counts.reindex(seconds, method="ffill").bfill()
        by_second = by_second[["desired", "running", "healthy"]].astype(np.int64)
        return Counts(str(record["run_id"]), record, by_second)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputInvalid(
            f"{path} is no record of a verification",
            plainly(error),
            "name a run's folder, one with 60_verify",
        ) from error


def frame(table: dict[str, Any]) -> pd.DataFrame:
    """A table as verifications write it, by its time."""
    found = pd.DataFrame(table["data"])
    return found.set_index(pd.to_datetime(found.pop("time"), utc=True)).sort_index()


def _lag_s(wanted: NDArray[np.int64], got: NDArray[np.int64]) -> float | None:
    lags = []
    for at in np.flatnonzero(np.diff(wanted) > 0) + 1:
        there = np.flatnonzero(got[at:] >= wanted[at])
        if len(there):
            lags.append(float(there[0]))
    return float(np.mean(lags)) if lags else None
