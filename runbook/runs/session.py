"""A notebook's own run: the object its cells talk to.

Works alike under `runbook run`, plain papermill and JupyterLab. An error in any cell leaves
a result.json that says so.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from runbook.environment import Environment
from runbook.errors import ApprovalMissing, Finding, RunbookError
from runbook.runs import checks, display, record, shell
from runbook.runs.gate import ActionPlan, approval
from runbook.runs.progress import ProgressFile, Report
from runbook.runs.result import Artifact, Level, Result
from runbook.runs.result import Finding as FindingLine
from runbook.stacks.review import DIGEST_DIGITS, NOTHING, Approvable, Review
from runbook.tables import plain, text_table


class VerdictFailed(Finding):
    """The notebook ran to its end, and the answer is no."""


class PreflightFailed(RunbookError):
    """Something the notebook needs is missing."""


class LongWork(Protocol):
    """How far something long has come, as load and verification report it."""

    @property
    def message(self) -> str: ...

    @property
    def done_s(self) -> float: ...

    @property
    def total_s(self) -> float: ...


class NotebookRun:
    """One execution of one notebook. Cells call one method each.

    `go` tells an acting cell whether to act; `stopped` why not, for good. `approved` says whether
    somebody approved this, also where nothing is left to do.
    """

    def __init__(
        self, name: str, environment: Environment, result: Result, folder: Path, options: str = ""
    ) -> None:
        self.name, self.environment, self.result, self.folder = name, environment, result, folder
        self._options = options
        self.dry_run = bool(result.parameters.get("dry_run", False))
        self.stopped = ""
        self.go = self.approved = False
        self.acted = True
        self.allowed: frozenset[tuple[str, str]] = frozenset()
        self._approvable: Approvable | None = None
        self._progress = ProgressFile(folder)
        self._live = shell.LiveLine()
        self._finished = False

    @property
    def run_id(self) -> str:
        """The run's id, which is its folder's name."""
        return self.dir.name

    @property
    def dir(self) -> Path:
        """The run's folder; other notebooks of the run have theirs beside this one's."""
        return self.folder.parent

    # --- telling

    def say(self, text: str) -> None:
        """A line in the notebook and for the one who waits."""
        print(text)
        self._progress.write(Report(text))

    def progress(self, work: LongWork) -> None:
        """How far something long is; in the notebook only the latest report stays."""
        if not self._progress.write(Report(work.message, work.done_s, work.total_s)):
            return
        text = f"{work.message} ({work.done_s:.0f} of {work.total_s:.0f} s)"
        self._live.write(text)

    def event(self, event: object) -> None:
        """A stack event: kept in events.log; in the notebook only the latest stays."""
        text = str(event)
        with (self.folder / "events.log").open("a", encoding="utf-8") as stream:
            stream.write(f"{text}\n")
        self._live.write(text)
        self._progress.write(Report(text))

    def show_events(self) -> None:
        """All events so far, folded."""
        path = self.folder / "events.log"
        if path.is_file():
            self.artifact(path, "Every stack event")
            content = path.read_text(encoding="utf-8")
            shell.show(content, display.folded(f"{content.count(chr(10))} events", content))

    def show(self, what: Any, caption: str, name: str = "", *, highlight: bool = False) -> None:
        """Show a figure (kept as PNG), a data frame or rows (kept as CSV when named), or a text.

        A highlight also stands at the top of the run's page.
        """
        if hasattr(what, "savefig"):
            self._show_figure(what, caption, name, highlight)
            return
        if isinstance(what, str):
            shell.show(f"{caption}\n{what}", display.text(what, caption))
            return
        columns, rows = display.grid(what)
        if name:
            path = self.folder / "tables" / f"{name}.csv"
            path.parent.mkdir(exist_ok=True)
            with path.open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows([columns, *[[plain(v) for v in r] for r in rows]])
            self.artifact(path, caption, kind="table", highlight=highlight)
        shell.show(
            f"{caption}\n{text_table(columns, rows)}",
            display.table(columns, rows, caption),
        )

    def _show_figure(self, figure: Any, caption: str, name: str, highlight: bool) -> None:
        # Imported here: plotting libraries cost a second that most notebooks need not pay.
        from runbook.plots import save

        path = save(figure, self.folder / "figures" / f"{name}.png")
        self.artifact(path, caption, kind="figure", highlight=highlight)
        shell.show(f"[figure] {caption}", display.figure(path.read_bytes(), caption))

    # --- remembering

    def finding(self, level: Level, text: str) -> None:
        """A sentence worth reading; `fail` decides the verdict."""
        self.result.findings.append(FindingLine(level, text))
        shell.show(f"{level}: {text}", display.callout(level, text))

    def findings(self, texts: Sequence[str], level: Level = "note") -> None:
        """Several sentences of one level."""
        for text in texts:
            self.finding(level, text)

    def metric(self, name: str, value: float | str | None, unit: str) -> None:
        """A number for result.json."""
        if isinstance(value, float):
            value = float(value) if math.isfinite(value) else None
        self.result.metrics[name] = {"value": value, "unit": unit}

    def artifact(
        self, path: Path, caption: str = "", *, kind: str = "file", highlight: bool = False
    ) -> None:
        """A file of this notebook's folder."""
        relative = path.relative_to(self.folder).as_posix()
        kept = [item for item in self.result.artifacts if item.path != relative]
        self.result.artifacts = [*kept, Artifact(kind, relative, caption, highlight)]

    # --- looking back

    def input(self, notebook: str, file: str) -> Path:
        """Another notebook's file: this run's, or that of the latest run which has it.

        Raises InputInvalid when no run of the environment has it.
        """
        own = self.dir / notebook / file
        found = (
            own
            if own.is_file()
            else record.latest_with(
                self.dir.parent.parent, self.environment.name, f"{notebook}/{file}"
            )
        )
        if found != own:
            self.finding("note", f"{file} comes from the earlier run {found.parent.parent.name}.")
        return found

    # --- deciding

    def preflight(self, *branches: checks.Check, required: bool = True) -> None:
        """Show the tree. What is NG raises PreflightFailed, or is a finding if not `required`."""
        text = checks.tree(branches)
        shell.show(text, display.tree(text))
        bad = [check for branch in branches for check in branch.leaves() if not check.ok]
        if bad and required:
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            raise PreflightFailed(
                f"{self.name} cannot go on",
                f"{bad[0].name}: {bad[0].detail}{more}",
                "mend what is marked [NG], then run this again",
            )
        for check in bad:
            self.finding("fail", f"{check.name}: {check.detail}")

    def plan(self, what: Review | Sequence[str]) -> None:
        """Show what would be done. A dry run stops after this."""
        if isinstance(what, Review):
            self._approvable = what
            what.save(self.folder / "review.json")
            self.artifact(self.folder / "review.json", "What was reviewed")
            shell.show(display.review_text(what), display.review_html(what))
        else:
            self._approvable = ActionPlan(self.environment.name, tuple(what))
            digest = self._approvable.digest[:DIGEST_DIGITS]
            shell.show(
                "\n".join([*what, f"Digest {digest}"]),
                f'{display.lines(what)}<p>Digest <code class="digest">{digest}</code></p>',
            )
        if self.dry_run:
            self.stopped, self.acted = "dry run", False

    def gate(self) -> None:
        """Open only for what was approved: `go` is then True. Never raises.

        `local` approves itself; elsewhere the `approve` parameter must be the plan's digest.
        """
        if self._approvable is None:
            raise RuntimeError("run.plan() comes before run.gate()")
        if self.dry_run:
            self.finding("note", "Dry run: nothing was changed.")
            return
        given = str(self.result.parameters.get("approve", ""))
        try:
            opened = approval(
                self.environment, self._approvable, given, self.dir.parent.parent, self.dir
            )
        except ApprovalMissing as closed:
            self.stopped, self.acted = "not approved", False
            self.finding("fail", str(closed))
            return
        self.allowed = opened.allowed
        self.approved = opened.how != NOTHING
        self.go = self.acted = not self._approvable.empty
        print(f"Gate: {opened.how}.")

    # --- ending

    def finish(self, next_step: str = "") -> None:
        """Write result.json and say the verdict. Raises VerdictFailed when the answer is no.

        After a dry run or a closed gate the next step is this notebook with the same
        parameters, for real.
        """
        if self.stopped and self._approvable is not None and not self._approvable.empty:
            digest = self._approvable.digest[:DIGEST_DIGITS]
            approval = "" if self.environment.is_local else f" --approve {digest}"
            command = f"runbook run {self.name} --env {self.environment.name}"
            next_step = f"{command}{self._options}{approval}"
        verdict = "fail" if self.result.failed else "pass" if self.acted else "no_change"
        self._finished = True
        self._close(verdict, next_step)
        text = f"Verdict: {verdict}."
        follow = f" Next: {next_step}" if next_step else ""
        shell.show(f"{text}{follow}", display.verdict(verdict, next_step))
        if verdict == "fail":
            reasons = [item.text for item in self.result.findings if item.level == "fail"]
            raise VerdictFailed(
                f"{self.name} says no", reasons[-1], next_step or "read the findings"
            )

    def failed(self, error: BaseException) -> None:
        """A cell raised: the result says so."""
        if self._finished:
            return
        text = str(error) if isinstance(error, RunbookError) else f"{type(error).__name__}: {error}"
        step = error.next_step if isinstance(error, RunbookError) else "read the traceback"
        findings = self.result.findings
        # Not kept: by hand, the cell may be mended and run again.
        self.result.findings = [*findings, FindingLine("fail", text)]
        self._close("fail" if isinstance(error, Finding) else "error", step)
        self.result.findings = findings

    def _close(self, verdict: str, next_step: str) -> None:
        self.result.write(self.folder, verdict, next_step)
        self._progress.remove()
        record.summarise(self.dir)

    def after_cell(self, error: BaseException | None) -> None:
        """Note a cell's end: its error, and that the next progress is a line of its own."""
        if error is not None:
            self.failed(error)
        self._live.end()
