"""How a notebook tells the one who waits how far it is: a small file in its folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from runbook.runs.record import read_json, write_json

FILE_NAME = "progress.json"


@dataclass(frozen=True)
class Report:
    """What is being done, and seconds done of seconds in all (0 of 0 when unknown)."""

    message: str
    done_s: float = 0.0
    total_s: float = 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds left, None when unknown."""
        return max(self.total_s - self.done_s, 0.0) if self.total_s > 0 else None


class ProgressFile:
    """Writes reports, at most one a second unless the message changes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._last = Report("")
        self._written_at = 0.0

    def write(self, report: Report) -> bool:
        """Write it down; False when it came too soon after the last."""
        now = time.monotonic()
        if report.message == self._last.message and now - self._written_at < 1.0:
            return False
        self._last, self._written_at = report, now
        write_json(
            self.path,
            {"message": report.message, "done_s": report.done_s, "total_s": report.total_s},
        )
        return True

    def remove(self) -> None:
        """Nothing is under way any more."""
        self.path.unlink(missing_ok=True)


def read(folder: Path) -> Report | None:
    """The latest report of a notebook, None when there is none."""
    content = read_json(folder / FILE_NAME)
    if not content:
        return None
    return Report(
        str(content.get("message", "")),
        float(content.get("done_s", 0.0)),
        float(content.get("total_s", 0.0)),
    )
