"""The pages: one for a notebook, one for a run, one over all runs. Each is one offline file."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment as Templates
from jinja2 import PackageLoader, StrictUndefined
from markupsafe import Markup

from runbook.errors import InputInvalid
from runbook.runs import display, record
from runbook.runs.catalogue import head
from runbook.runs.parameters import read_notebook

#: Papermill's tag on the cells that point at a failure.
_MARKER = "papermill-error-cell-tag"
#: Levels of findings that stand at the top of a run's page.
_PROBLEMS = ("fail", "warning")
_LEVELS = (*_PROBLEMS, "ok", "note")


def write_report(folder: Path) -> Path:
    """Make `report.html` from a notebook's folder. Raises InputInvalid without a result."""
    result = _result(folder)
    result["findings"] = _gravest_first(result["findings"])
    content = _executed(folder)
    facts = [
        *result["context"].items(),
        ("commit", result["commit"] or "-"),
        ("started", result["started_at"]),
        ("took", took(result["duration_s"])),
    ]
    return _write(
        folder / "report.html",
        "report.html.j2",
        title=head(content)[0] or result["notebook"],
        result=result,
        facts=facts,
        parameters=list(result["parameters"].items()),
        cells=_cells(content),
    )


def write_run_page(run_dir: Path) -> Path:
    """Make `index.html` of a run: highlights, steps, findings, figures, time.

    Raises InputInvalid when the folder holds no run.
    """
    return _write_run(run_dir, "index.html", whole=False)


def write_whole_page(run_dir: Path) -> Path:
    """Make `whole.html`: the run with everything its notebooks did, on one page without links out.

    Raises InputInvalid when the folder holds no run.
    """
    return _write_run(run_dir, "whole.html", whole=True)


def _write_run(run_dir: Path, name: str, *, whole: bool) -> Path:
    run = record.read_json(run_dir / "run.json")
    if not run:
        raise InputInvalid(f"{run_dir} holds no run", "it has no run.json", "name a run's folder")
    steps = [_step(run_dir, item, whole=whole) for item in record.results(run_dir)]
    context = steps[0]["context"] if steps else {}
    facts = [
        *context.items(),
        ("commit", run.get("commit") or "-"),
        ("started", run["started_at"]),
        ("took", took(run.get("duration_s"))),
        ("command", run.get("command", "-")),
    ]
    phases = run.get("phases") or {}
    return _write(
        run_dir / name,
        "run.html.j2",
        title=run.get("title") or f"Run on {run['env']}",
        run={"next": "", "commit": "", **run},
        steps=steps,
        facts=facts,
        problems=[
            item for step in steps for item in step["findings"] if item["level"] in _PROBLEMS
        ],
        highlights=[item for step in steps for item in step["highlights"]],
        phases=Markup(
            display.table(["phase", "took"], [[name, took(s)] for name, s in phases.items()])
        )
        if phases
        else "",
        whole=whole,
    )


def write_runs_page(root: Path) -> Path:
    """Make `index.html` over all runs below a root."""
    runs = []
    for run_dir in record.run_dirs(root):
        run = record.read_json(run_dir / "run.json")
        if run:
            runs.append(
                {
                    "run_id": run["run_id"],
                    "env": run["env"],
                    "verdict": run["verdict"],
                    "started": run["started_at"][:16].replace("T", " "),
                    "what": run.get("title")
                    or ", ".join(item["notebook"] for item in run["notebooks"]),
                    "took": took(run.get("duration_s")),
                    "commit": run.get("commit", ""),
                    "link": f"{run_dir.relative_to(root).as_posix()}/index.html",
                }
            )
    root.mkdir(parents=True, exist_ok=True)
    return _write(root / "index.html", "runs.html.j2", title="Runs", root=root.name, runs=runs)


def took(seconds: float | None) -> str:
    """A duration for people."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def _step(run_dir: Path, result: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    folder = run_dir / result["notebook"]
    content = _executed(folder)
    title, purposes = head(content)
    shown = [item for item in result["artifacts"] if item["kind"] in {"figure", "table"}]
    page = "report.html" if content["cells"] else "result.json"
    link = f"#{result['notebook']}" if whole else f"{result['notebook']}/{page}"
    return {
        "notebook": result["notebook"],
        "title": title or result["notebook"],
        "purpose": purposes.get("Purpose", ""),
        "context": result["context"],
        "verdict": result["verdict"],
        "took": took(result["duration_s"]),
        "link": link,
        "parameters": list(result["parameters"].items()),
        "cells": _cells(content) if whole else [],
        "findings": _gravest_first(result["findings"]),
        "highlights": [_artifact(folder, item) for item in shown if item["highlight"]],
        "shown": [_artifact(folder, item) for item in shown if not item["highlight"]],
    }


def _cells(content: Mapping[str, Any]) -> list[Markup]:
    # Imported here: nbconvert costs a second that `runbook list` need not pay.
    from runbook.runs import cells

    return list(cells.render(content))


def _artifact(folder: Path, item: Mapping[str, Any]) -> Markup:
    """A figure, or a table from its CSV, inside the page."""
    path = folder / item["path"]
    if item["kind"] == "figure":
        return Markup(display.figure(path.read_bytes(), item["caption"]))
    with path.open(newline="", encoding="utf-8") as stream:
        columns, *rows = csv.reader(stream)
    return Markup(display.table(columns, rows, item["caption"]))


def _executed(folder: Path) -> dict[str, Any]:
    """The notebook as it ran, without the cells papermill adds where one failed.

    Without cells when it ran by hand, in JupyterLab or under a name of its own.
    """
    path = folder / "notebook.ipynb"
    if not path.is_file():
        return {"cells": []}
    content = read_notebook(path)
    kept = [c for c in content["cells"] if _MARKER not in c["metadata"].get("tags", [])]
    return {**content, "cells": kept}


def _gravest_first(findings: list[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(findings, key=lambda item: _LEVELS.index(item["level"]))


def _result(folder: Path) -> dict[str, Any]:
    result = record.read_json(folder / "result.json")
    if not result:
        raise InputInvalid(
            f"{folder} holds no result", "it has no result.json", "run the notebook first"
        )
    return result


def _write(path: Path, template: str, **values: Any) -> Path:
    templates = Templates(
        loader=PackageLoader("runbook.runs"), autoescape=True, undefined=StrictUndefined
    )
    style = Markup(templates.loader.get_source(templates, "style.css")[0])  # type: ignore[union-attr]
    text = templates.get_template(template).render(style=style, **values)
    path.write_text(text, encoding="utf-8")
    return path
