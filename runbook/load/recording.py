"""The files of a driver run: raw requests, step statistics, histograms."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runbook.errors import InputInvalid
from runbook.load.measurement import RawLoad, StepStats, histogram
from runbook.load.plan import LoadPlan

SCHEMA_VERSION = 1
RAW_FILE = "requests.npz"
SUMMARY_FILE = "driver.json"
HISTOGRAM_FILE = "histograms.json"
PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class DriverRun:
    """What a finished driver run left behind.

    `started_at_epoch_s` is the wall-clock second of offset 0; `interrupted` says that the
    schedule was not driven to its end, so the last step may be short.
    """

    folder: Path
    plan: LoadPlan
    started_at_epoch_s: float
    interrupted: bool
    connections_opened: int
    cpu_ms_per_1000_requests: float
    steps: tuple[StepStats, ...]

    @property
    def raw_path(self) -> Path:
        """Where the raw requests are."""
        return self.folder / RAW_FILE

    def raw(self) -> RawLoad:
        """The raw requests."""
        return RawLoad.load(self.raw_path)


def write_results(
    out_dir: Path,
    plan: LoadPlan,
    raw: RawLoad,
    steps: Sequence[StepStats],
    *,
    started_at_epoch_s: float,
    interrupted: bool,
    connections_opened: int,
    cpu_s: float,
) -> dict[str, Any]:
    """Write everything a run measured to `out_dir`; returns the summary as written."""
    out_dir.mkdir(parents=True, exist_ok=True)
    plan.save(out_dir / PLAN_FILE)
    raw.save(out_dir / RAW_FILE)
    classes = [kind.grouped_as for kind in plan.request_kinds()]
    histograms = []
    for step in steps:
        part = raw.between(step.start_s, step.end_s)
        by_class = {name: _encoded(some) for name, some in part.by_class(classes).items()}
        histograms.append(
            {
                "label": step.label,
                "start_s": step.start_s,
                "hdr": _encoded(part),
                "by_class": by_class,
            }
        )
    _write(out_dir / HISTOGRAM_FILE, {"unit": "microseconds", "steps": histograms})
    summary = {
        "schema_version": SCHEMA_VERSION,
        "started_at_epoch_s": started_at_epoch_s,
        "interrupted": interrupted,
        "connections_opened": connections_opened,
        "cpu_ms_per_1000_requests": round(cpu_s * 1e6 / max(len(raw), 1), 1),
        "requests": len(raw),
        "failures": int((~raw.succeeded).sum()),
        "steps": [step.to_dict() for step in steps],
    }
    _write(out_dir / SUMMARY_FILE, summary)
    return summary


def read_results(out_dir: Path) -> DriverRun:
    """Read a run back. Raises InputInvalid."""
    path = out_dir / SUMMARY_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return DriverRun(
            folder=out_dir,
            plan=LoadPlan.load(out_dir / PLAN_FILE),
            started_at_epoch_s=content["started_at_epoch_s"],
            interrupted=content["interrupted"],
            connections_opened=content["connections_opened"],
            cpu_ms_per_1000_requests=content["cpu_ms_per_1000_requests"],
            steps=tuple(StepStats(**item) for item in content["steps"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputInvalid(
            f"{path} is no driver run", f"{type(error).__name__}: {error}", "run the load again"
        ) from error


def set_aside(out_dir: Path) -> Path | None:
    """Move what an earlier run left in `out_dir` to a folder in it, `earlier-1` and so on, where
    it can be read like any run; None when there is nothing."""
    if not (out_dir / SUMMARY_FILE).is_file():
        return None
    number = next(n for n in itertools.count(1) if not (out_dir / f"earlier-{n}").exists())
    aside = out_dir / f"earlier-{number}"
    aside.mkdir()
    _move(out_dir, aside)
    return aside


def put_back(aside: Path) -> None:
    """Undo `set_aside`: a run that brought no results leaves the earlier ones where they were."""
    _move(aside, aside.parent)
    aside.rmdir()


def _move(source: Path, target: Path) -> None:
    # The summary last: with it the rest is there too.
    for name in (PLAN_FILE, RAW_FILE, HISTOGRAM_FILE, SUMMARY_FILE):
        if (source / name).exists():
            (source / name).replace(target / name)


def _encoded(part: RawLoad) -> str:
    """The latencies as a histogram in HDR's own compressed text form."""
    return str(histogram(part.latency_ms[part.timed]).encode().decode("ascii"))


def export_csv(run: DriverRun, path: Path) -> int:
    """Write every request as a row of CSV (gzip with a name ending .gz); the number of rows.

    Columns: intended_s, sent_s, done_s after the run's start, latency_ms from the intended
    start, lag_ms of the driver, status (negative: no answer), kind, route_class, step.
    """
    raw, kinds = run.raw(), run.plan.request_kinds()
    which = raw.kind if raw.kind is not None else np.zeros(len(raw), dtype=np.int16)
    edges = [step.start_s for step in run.steps]
    number = np.searchsorted(edges, raw.intended_s, side="right") - 1
    labels = np.array([step.label for step in run.steps] or [""])
    frame = pd.DataFrame(
        {
            "intended_s": raw.intended_s.round(6),
            "sent_s": raw.sent_s.round(6),
            "done_s": raw.done_s.round(6),
            "latency_ms": raw.latency_ms.round(3),
            "lag_ms": raw.lag_ms.round(3),
            "status": raw.status,
            "kind": np.array([kind.name for kind in kinds])[which],
            "route_class": np.array([kind.grouped_as for kind in kinds])[which],
            "step": labels[np.clip(number, 0, len(labels) - 1)],
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return len(frame)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
