"""Binding a notebook to its environment and its run's folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runbook import region
from runbook.environment import Environment, find_project, load_environment
from runbook.runs import catalogue, display, record, shell
from runbook.runs.parameters import as_options, declared
from runbook.runs.result import Result
from runbook.runs.session import NotebookRun

#: Parameters that all our notebooks may have.
_COMMON = ("env", "run_dir", "dry_run", "approve", "sceptre_dir")


def begin(name: str, namespace: Mapping[str, Any]) -> NotebookRun:
    """Bind a notebook to its environment; call it with `globals()` after the parameters.

    Without a `run_dir` a run's folder of its own is made. Raises EnvironmentNotFound and
    InputInvalid; makes no AWS call.
    """
    project = find_project()
    path = catalogue.folder(project) / f"{name}.ipynb"
    known = declared(path) if path.is_file() else ()
    names = [parameter.name for parameter in known] or list(_COMMON)
    parameters = {key: namespace[key] for key in names if key in namespace}
    sceptre_dir = str(parameters.get("sceptre_dir", ""))
    environment = load_environment(
        str(parameters["env"]), project, Path(sceptre_dir) if sceptre_dir else None
    )
    folder = _run_dir(str(parameters.get("run_dir", "")), environment) / name
    folder.mkdir(parents=True, exist_ok=True)
    result = Result(
        notebook=name,
        env=environment.name,
        run_id=folder.parent.name,
        commit=record.commit(project),
        parameters=parameters,
        context=_context(environment),
    )
    run = NotebookRun(name, environment, result, folder, as_options(known, parameters))
    shell.listen(run.after_cell)
    shown = {**result.context, "commit": result.commit or "-", "run": run.run_id}
    shell.show("\n".join(f"{key}: {value}" for key, value in shown.items()), display.facts(shown))
    return run


def _run_dir(given: str, environment: Environment) -> Path:
    if given:
        return Path(given).resolve()
    return record.new_run_dir(record.runs_root(environment.project), environment.name)


def _context(environment: Environment) -> dict[str, Any]:
    """Where this goes, without asking anyone."""
    local = region.running() if environment.is_local else None
    address = local.endpoint_url if local else os.environ.get("AWS_ENDPOINT_URL", "AWS")
    return {
        "environment": environment.name,
        "account": environment.account_id or "not pinned",
        "region": environment.region,
        "endpoint": address,
        "metric period": f"{environment.metric_period_s} s",
        **({"CPU share held by": local.cpu_enforcement} if local else {}),
    }
