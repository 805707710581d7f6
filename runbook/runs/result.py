"""What a notebook found out: verdict, findings, numbers, files."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from runbook.runs.record import SCHEMA_VERSION, stamp, utc_now, write_json

Level = Literal["ok", "note", "warning", "fail"]


@dataclass(frozen=True)
class Finding:
    """One sentence worth reading. A `fail` decides the verdict."""

    level: Level
    text: str


@dataclass(frozen=True)
class Artifact:
    """A file of the run: `path` is relative to the notebook's folder; kind figure|table|file.

    A `highlight` also stands at the top of the run's page.
    """

    kind: str
    path: str
    caption: str
    highlight: bool = False


@dataclass
class Result:
    """Collects what goes into result.json."""

    notebook: str
    env: str
    run_id: str
    commit: str
    parameters: dict[str, Any]
    context: dict[str, Any] = field(default_factory=dict)
    started_at: datetime = field(default_factory=utc_now)
    findings: list[Finding] = field(default_factory=list)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    artifacts: list[Artifact] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether a finding decides against."""
        return any(finding.level == "fail" for finding in self.findings)

    def to_dict(self, verdict: str, next_step: str) -> dict[str, Any]:
        """The content of result.json; durations in seconds."""
        finished = utc_now()
        return {
            "schema_version": SCHEMA_VERSION,
            "notebook": self.notebook,
            "env": self.env,
            "run_id": self.run_id,
            "commit": self.commit,
            "started_at": stamp(self.started_at),
            "finished_at": stamp(finished),
            "duration_s": round((finished - self.started_at).total_seconds(), 3),
            "parameters": self.parameters,
            "context": self.context,
            "verdict": verdict,
            "findings": [asdict(finding) for finding in self.findings],
            "metrics": self.metrics,
            "artifacts": [asdict(artifact) for artifact in self.artifacts],
            "next": next_step,
        }

    def write(self, folder: Path, verdict: str, next_step: str) -> dict[str, Any]:
        """Write result.json into the notebook's folder."""
        content = self.to_dict(verdict, next_step)
        write_json(folder / "result.json", content)
        return content
