"""Running notebooks one after the other into one run record."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from runbook.environment import find_project
from runbook.errors import InputInvalid
from runbook.runs import record, report
from runbook.runs.catalogue import Notebook, find_all
from runbook.runs.execute import CELL_TIMEOUT_S, Execution, execute
from runbook.runs.parameters import check, unknown
from runbook.runs.progress import Report
from runbook.runs.result import Finding, Result

#: How a notebook ends that has written its verdict itself.
_TOLD_BY_NOTEBOOK = {"", "VerdictFailed"}
#: Ends the notebook did not choose: it can only have noted how it was interrupted.
_ENDED_FROM_OUTSIDE = {"CellTimeoutError", "DeadKernelError", "Stopped"}


class Listener(Protocol):
    """Hears how a run goes: steps count from 1."""

    def step_started(self, number: int, count: int, notebook: Notebook) -> None:
        """A notebook starts."""

    def step_progressed(self, number: int, notebook: Notebook, report: Report) -> None:
        """A notebook says how far it is; the same report may come many times."""

    def step_ended(self, number: int, notebook: Notebook, result: Mapping[str, Any]) -> None:
        """A notebook ended, with the content of its result.json."""


class Silence:
    """Hears nothing."""

    def step_started(self, number: int, count: int, notebook: Notebook) -> None:
        """Nothing."""

    def step_progressed(self, number: int, notebook: Notebook, report: Report) -> None:
        """Nothing."""

    def step_ended(self, number: int, notebook: Notebook, result: Mapping[str, Any]) -> None:
        """Nothing."""


@dataclass(frozen=True)
class RunRequest:
    """What to run. `parameters` hold for every notebook that declares them.

    `own` are parameters of single notebooks, by notebook name. `run_dir` is a run's folder to
    use instead of a new one below `root`.
    """

    notebooks: Sequence[str]
    env: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    dry_run: bool = False
    approve: str = ""
    root: Path | None = None
    run_dir: Path | None = None
    cell_timeout_s: float = CELL_TIMEOUT_S
    title: str = ""
    started_by: str = ""

    @property
    def command(self) -> str:
        """The command line that does the same."""
        if self.started_by:
            return self.started_by
        given = [f"-p {shlex.quote(f'{name}={value}')}" for name, value in self.parameters.items()]
        flags = ["--dry-run"] if self.dry_run else []
        return " ".join(["runbook run", *self.notebooks, f"--env {self.env}", *given, *flags])


@dataclass(frozen=True)
class RunOutcome:
    """What came of it; `summary` is the content of run.json."""

    run_dir: Path
    verdict: str
    summary: Mapping[str, Any]

    @property
    def exit_code(self) -> int:
        """0 fine, 1 a finding, 2 an error."""
        return record.EXIT_CODES[self.verdict]


def plan_parameters(
    request: RunRequest, notebooks: Sequence[Notebook]
) -> dict[str, dict[str, Any]]:
    """The checked parameters of each notebook, by its name.

    Raises InputInvalid, before anything runs, for a name that no notebook declares and for a
    value that does not fit its declaration.
    """
    declared = {
        notebook.name: {parameter.name for parameter in notebook.parameters}
        for notebook in notebooks
    }
    known = sorted(set().union(*declared.values()))
    for name in request.parameters:
        if name not in known:
            raise unknown(name, known, f"parameter of {', '.join(declared)}")
    for name in request.own:
        if name not in declared:
            raise unknown(name, list(declared), "notebook of this run")
    common: dict[str, Any] = {"env": request.env}
    # Switches of the command line say only what differs from a notebook's defaults.
    if request.dry_run:
        common["dry_run"] = True
    if request.approve:
        common["approve"] = request.approve
    return {
        notebook.name: check(
            notebook.name,
            notebook.parameters,
            {
                **_declared_only(common, declared[notebook.name]),
                **_declared_only(request.parameters, declared[notebook.name]),
                **request.own.get(notebook.name, {}),
            },
        )
        for notebook in notebooks
    }


def _declared_only(values: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}


def run_notebooks(
    request: RunRequest, listener: Listener | None = None, *, project: Path | None = None
) -> RunOutcome:
    """Run the notebooks in order and stop after the first that does not pass.

    Raises InputInvalid before anything runs. Signals end the notebook under way and go on as
    KeyboardInterrupt or Stopped, after the record was written.
    """
    base = project or find_project()
    notebooks = find_all(base, request.notebooks)
    if not notebooks:
        raise InputInvalid("Nothing to run", "no notebook is named", "see: runbook list")
    parameters = plan_parameters(request, notebooks)
    root = request.root or record.runs_root(base)
    run_dir = request.run_dir or record.new_run_dir(root, request.env)
    steps = _Steps(request, run_dir, base, listener or Silence(), len(notebooks))
    started = time.monotonic()
    facts: dict[str, Any] = {
        "command": request.command,
        "commit": record.commit(base),
        "started_at": record.stamp(record.utc_now()),
        **({"title": request.title} if request.title else {}),
    }
    record.summarise(run_dir, verdict="error", **facts)
    verdict, next_step = "error", ""
    try:
        for number, notebook in enumerate(notebooks, start=1):
            result = steps.run(number, notebook, parameters[notebook.name])
            verdict, next_step = result["verdict"], result["next"]
            if record.EXIT_CODES[verdict]:
                break
        verdict = record.worst([item["verdict"] for item in record.results(run_dir)])
    except BaseException:
        verdict, next_step = "error", request.command
        raise
    finally:
        summary = record.summarise(
            run_dir,
            **facts,
            verdict=verdict,
            next=next_step,
            finished_at=record.stamp(record.utc_now()),
            duration_s=round(time.monotonic() - started, 3),
        )
        report.write_run_page(run_dir)
    return RunOutcome(run_dir, verdict, summary)


@dataclass(frozen=True)
class _Steps:
    """Executes single notebooks of one run."""

    request: RunRequest
    run_dir: Path
    project: Path
    listener: Listener
    count: int

    def run(self, number: int, notebook: Notebook, parameters: dict[str, Any]) -> dict[str, Any]:
        folder = self.run_dir / notebook.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").unlink(missing_ok=True)
        given = dict(parameters)
        if any(parameter.name == "run_dir" for parameter in notebook.parameters):
            given["run_dir"] = str(self.run_dir)
        self.listener.step_started(number, self.count, notebook)
        started_at = record.utc_now()
        execution = Execution(0.0, "Stopped: a signal ended this notebook", "Stopped")
        try:
            execution = execute(
                notebook.path,
                folder / "notebook.ipynb",
                given,
                cwd=self.project,
                cell_timeout_s=self.request.cell_timeout_s,
                on_progress=lambda said: self.listener.step_progressed(number, notebook, said),
            )
        finally:
            result = self._settle(notebook, given, execution, started_at)
            report.write_report(folder)
        self.listener.step_ended(number, notebook, result)
        return result

    def _settle(
        self, notebook: Notebook, given: dict[str, Any], execution: Execution, started_at: Any
    ) -> dict[str, Any]:
        """The notebook's own result, unless it has none or the execution knows better."""
        folder = self.run_dir / notebook.name
        result = record.read_json(folder / "result.json")
        told = execution.exception in _TOLD_BY_NOTEBOOK
        noted = result.get("verdict") in {"fail", "error"}
        if result and (told or (noted and execution.exception not in _ENDED_FROM_OUTSIDE)):
            return result
        why = execution.error or "it ended without calling run.finish()"
        blank = Result(
            notebook=notebook.name,
            env=self.request.env,
            run_id=self.run_dir.name,
            commit=record.commit(self.project),
            parameters=given,
            started_at=started_at,
            findings=[Finding("fail", f"{notebook.name} did not end as it should: {why}")],
        )
        return blank.write(folder, "error", f"read {notebook.name}/report.html")


def read_parameter_file(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Parameters from YAML: those for all, and those under a notebook's name.

    Raises InputInvalid when the file is no mapping.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise InputInvalid(f"{path} cannot be read", str(error), "mend the file") from error
    if not isinstance(content, dict):
        raise InputInvalid(f"{path} cannot be read", "it is no mapping", "write NAME: VALUE lines")
    own = {str(name): value for name, value in content.items() if isinstance(value, dict)}
    common = {str(name): value for name, value in content.items() if not isinstance(value, dict)}
    return common, own


def parse_assignments(texts: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` texts as a mapping; values stay text until a declaration says otherwise.

    Raises InputInvalid for a text without `=` and for a name given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputInvalid(f"{text!r} is no parameter", "it has no =", "write NAME=VALUE")
        if name in found:
            raise InputInvalid(f"Parameter {name} is given twice", text, "give it once")
        found[name] = value
    return found
