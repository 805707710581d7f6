"""Everything that was seen during a verification, on one time axis (`verification.json`)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from runbook.errors import InputInvalid

SCHEMA_VERSION = 1
FILE_NAME = "verification.json"
_FRAMES = ("traffic", "metrics", "counts", "alarms", "activities")


@dataclass(frozen=True)
class AlarmTrack:
    """An alarm of the timeline: its short label, what it makes scaling do, its first state."""

    name: str
    label: str
    direction: Literal["out", "in"]
    initial_state: str


@dataclass(frozen=True)
class Timeline:
    """What a verification saw; frames are indexed by UTC time, ascending.

    `started_at` is when load began, `rise_at` and `fall_at` when it rose and fell back.
    `traffic`: `offered_rps`, `served_rps`, a row a second. `metrics`: see `service_metrics`.
    `counts`: `desired`, `running`, `healthy` as polled. `alarms`: see `read_alarm_history`.
    `activities`: see `read_scaling_activities`. `compression` is empty outside the local
    region, where it holds its numbers beside AWS's.
    """

    environment: str
    run_id: str
    started_at: datetime
    rise_at: datetime
    fall_at: datetime
    ended_at: datetime
    slo_ms: float
    period_s: int
    tasks_needed: int
    peak_rps: float
    requests: int
    failures: dict[str, int]
    driver_lag_p99_ms: float
    host_cores: int
    tracks: tuple[AlarmTrack, ...]
    compression: dict[str, Any]
    traffic: pd.DataFrame
    metrics: pd.DataFrame
    counts: pd.DataFrame
    alarms: pd.DataFrame
    activities: pd.DataFrame

    def seconds(self, moment: datetime) -> float:
        """Seconds after the load began to rise."""
        return (moment - self.rise_at).total_seconds()

    def save(self, path: Path) -> Path:
        """Write the timeline as JSON, frames as tables."""
        content: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
        for name, value in self.__dict__.items():
            if name in _FRAMES:
                content[name] = json.loads(value.to_json(orient="table", date_unit="ms"))
            elif isinstance(value, datetime):
                content[name] = value.isoformat()
            elif name == "tracks":
                content[name] = [asdict(track) for track in value]
            else:
                content[name] = value
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> Timeline:
        """Read a timeline back. Raises InputInvalid when the file is none."""
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("schema_version") != SCHEMA_VERSION:
                raise ValueError("another schema version")
            for name in _FRAMES:
                text = StringIO(json.dumps(content[name]))
                content[name] = pd.read_json(text, orient="table")
            for name in ("started_at", "rise_at", "fall_at", "ended_at"):
                content[name] = datetime.fromisoformat(content[name])
            content["tracks"] = tuple(AlarmTrack(**item) for item in content["tracks"])
            return cls(**content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputInvalid(
                f"{path} is no verification",
                f"{type(error).__name__}: {error}",
                "run one: runbook run 60_verify",
            ) from error
