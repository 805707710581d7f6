"""A run told on the terminal: which step of how many, what it does, how long it still takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from runbook.runs import record
from runbook.runs.catalogue import Notebook
from runbook.runs.progress import Report
from runbook.runs.report import took

#: Without a terminal a line is written this often, in seconds, while something long goes on.
_QUIET_S = 20.0
_MARKS = {"pass": "ok", "no_change": "no change", "fail": "FAILED", "error": "ERROR"}


def expected_durations(root: Path, environment: str) -> dict[str, float]:
    """Seconds each notebook took in the latest run in which it passed."""
    found: dict[str, float] = {}
    for run_dir in record.run_dirs(root, environment):
        for item in record.read_json(run_dir / "run.json").get("notebooks", []):
            if item["verdict"] == "pass":
                found.setdefault(item["notebook"], float(item["duration_s"]))
    return found


class Console:
    """Listens to a run. `expected_s` are seconds by notebook, for the time that is left."""

    def __init__(
        self,
        notebooks: Sequence[str],
        expected_s: Mapping[str, float],
        stream: TextIO | None = None,
    ) -> None:
        self.stream = stream or sys.stderr
        self.notebooks, self.expected_s = list(notebooks), expected_s
        self._live = self.stream.isatty()
        self._started = self._told_at = time.monotonic()
        self._said = ""
        self._count = len(notebooks)

    def say(self, text: str) -> None:
        """A line that stays."""
        self._wipe()
        print(text, file=self.stream, flush=True)

    def step_started(self, number: int, count: int, notebook: Notebook) -> None:
        """A notebook starts."""
        self._started = self._told_at = time.monotonic()
        self._said, self._count = "", count
        left = self._left(notebook.name, None)
        self.say(f"[{number}/{count}] {notebook.name}: {notebook.title}{left}")

    def step_progressed(self, number: int, notebook: Notebook, report: Report) -> None:
        """A notebook says how far it is."""
        now = time.monotonic()
        text = f"      {report.message}{self._left(notebook.name, report.left_s)}"
        if self._live:
            self.stream.write(f"\r\x1b[2K{text[:110]}")
            self.stream.flush()
        elif report.message != self._said and now - self._told_at >= _QUIET_S:
            self._told_at, self._said = now, report.message
            print(text, file=self.stream, flush=True)

    def step_ended(self, number: int, notebook: Notebook, result: Mapping[str, Any]) -> None:
        """A notebook ended."""
        verdict = result["verdict"]
        self.say(f"      {_MARKS[verdict]} after {took(time.monotonic() - self._started)}")
        for finding in result["findings"]:
            if finding["level"] in {"fail", "warning"}:
                self.say(f"      {finding['level']}: {finding['text']}")

    def _left(self, name: str, own_s: float | None) -> str:
        """The time left in this and in later steps, when it can be told."""
        if own_s is None:
            whole = self.expected_s.get(name)
            if whole is None:
                return ""
            own_s = max(whole - (time.monotonic() - self._started), 0.0)
        later = self.notebooks[self.notebooks.index(name) + 1 :] if name in self.notebooks else []
        total = own_s + sum(self.expected_s.get(item, 0.0) for item in later)
        return f" (about {_round(total)} left)"

    def _wipe(self) -> None:
        if self._live:
            self.stream.write("\r\x1b[2K")


def _round(seconds: float) -> str:
    if seconds < 90:
        return f"{max(int(seconds / 5 + 0.5) * 5, 5)} s"
    return f"{seconds / 60:.0f} min"
