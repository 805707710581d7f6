"""The run record on disk: `runs/<env>/<run_id>/{run.json,<notebook>/result.json,...}`."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook.errors import InputInvalid

SCHEMA_VERSION = 1
#: From the best to the worst: a run is as good as its worst notebook.
VERDICTS = ("pass", "no_change", "fail", "error")
EXIT_CODES = {"pass": 0, "no_change": 0, "fail": 1, "error": 2}


def utc_now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """A moment as files have it: ISO 8601, UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_run_id(moment: datetime | None = None) -> str:
    """Sortable by time, and different for two runs of one second."""
    return f"{moment or utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def runs_root(project: Path) -> Path:
    """Where runs go unless told otherwise."""
    return project / "runs"


def new_run_dir(root: Path, environment: str) -> Path:
    """A fresh run's folder, made."""
    path = root / environment / new_run_id()
    path.mkdir(parents=True)
    return path


def run_dirs(root: Path, environment: str | None = None) -> list[Path]:
    """The folders of the runs below a root, the newest first."""
    found = root.glob(f"{environment or '*'}/*T*Z-*")
    return sorted((path for path in found if path.is_dir()), key=lambda p: p.name, reverse=True)


def latest_with(root: Path, environment: str, relative: str) -> Path:
    """The newest run's file of that relative path.

    Raises InputInvalid when no run of the environment has one.
    """
    for run in run_dirs(root, environment):
        if (run / relative).is_file():
            return run / relative
    notebook = relative.split("/", maxsplit=1)[0]
    raise InputInvalid(
        f"No {relative} found",
        f"no run of {environment} below {root} has made one",
        f"run it first: runbook run {notebook} --env {environment}",
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty when the file is missing or garbled."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """Write at once: a reader sees the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(path)
    return path


def results(run_dir: Path) -> Iterator[dict[str, Any]]:
    """The results of a run's notebooks, in the order in which they started."""
    found = [read_json(path) for path in run_dir.glob("*/result.json")]
    yield from sorted((item for item in found if item), key=lambda item: str(item["started_at"]))


def worst(verdicts: list[str]) -> str:
    """The worst verdict; `no_change` only when nothing at all changed."""
    if not verdicts:
        return "error"
    bad = max(verdicts, key=VERDICTS.index)
    if bad == "no_change" and "pass" in verdicts:
        return "pass"
    return bad


def commit(project: Path) -> str:
    """The checkout's commit, with `+` when files differ from it; empty outside of git."""
    try:
        head = _git(project, "rev-parse", "--short=12", "HEAD")
        changed = _git(project, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{head}+" if changed else head


def _git(project: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(project), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return done.stdout.strip()


def summarise(run_dir: Path, **facts: Any) -> dict[str, Any]:
    """Gather the notebooks' results into run.json; `facts` add to what stands there."""
    path = run_dir / "run.json"
    done = list(results(run_dir))
    known = {**read_json(path), **facts}
    started = known.get("started_at") or (done[0]["started_at"] if done else stamp(utc_now()))
    verdict = facts.get("verdict") or worst([item["verdict"] for item in done])
    content = {
        **known,
        "schema_version": SCHEMA_VERSION,
        "run_id": run_dir.name,
        "env": run_dir.parent.name,
        "started_at": started,
        "verdict": verdict,
        "exit_code": EXIT_CODES[verdict],
        "notebooks": [
            {
                "notebook": item["notebook"],
                "verdict": item["verdict"],
                "duration_s": item["duration_s"],
                "result": f"{item['notebook']}/result.json",
                "report": f"{item['notebook']}/report.html",
            }
            for item in done
        ],
    }
    write_json(path, content)
    return content
