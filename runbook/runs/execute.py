"""One notebook through papermill: limited in time, stoppable, nothing left behind.

Papermill runs in a thread of its own. The main thread stays free to hear signals, which
neither papermill nor nbclient pass on to the kernel.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_core.utils import ensure_event_loop

from runbook.errors import NotebookFailed, Stopped
from runbook.runs import kernel
from runbook.runs.progress import Report, read

#: A cell may take this many seconds; a notebook sets no limit of its own.
CELL_TIMEOUT_S = 3600.0
_START_TIMEOUT_S = 120
#: An interrupted cell has this long for its `finally` blocks.
_GRACE_S = 20.0
#: A second request to stop after this many seconds means: no more patience.
_SAME_REQUEST_S = 1.0
_LOOK_S = 0.2


@dataclass(frozen=True)
class Execution:
    """How an execution ended: `error` is "" or the failed cell's last word."""

    duration_s: float
    error: str = ""
    exception: str = ""


def execute(
    path: Path,
    output: Path,
    parameters: Mapping[str, Any],
    *,
    cwd: Path,
    cell_timeout_s: float = CELL_TIMEOUT_S,
    on_progress: Callable[[Report], None] | None = None,
) -> Execution:
    """Run a notebook with checked parameters and save it, also when a cell fails.

    The kernel is this interpreter. On KeyboardInterrupt or Stopped in the calling thread the
    cell is interrupted, then kernel and children are ended, and the exception goes on.
    """
    kernel.allow()
    worker = _Worker(path, output, dict(parameters), cwd, cell_timeout_s)
    family: set[psutil.Process] = set()
    started = time.monotonic()
    worker.start()
    try:
        while not worker.done.wait(_LOOK_S):
            _note_family(family, started)
            report = read(output.parent)
            if report and on_progress:
                on_progress(report)
    except BaseException:
        _stop(worker)
        raise
    finally:
        kernel.end([process for process in family if process.is_running()], grace_s=2.0)
    return Execution(time.monotonic() - started, worker.error, worker.exception)


def _note_family(family: set[psutil.Process], started: float) -> None:
    """Remember what the kernel started, once in two seconds: should it die, nobody else knows."""
    if int((time.monotonic() - started) / _LOOK_S) % 10 == 0:
        for pid in kernel.OwnKernelManager.running:
            family.update(kernel.descendants(pid))


def _stop(worker: _Worker) -> None:
    asked_at = time.monotonic()
    kernel.interrupt()
    try:
        while time.monotonic() - asked_at < _GRACE_S:
            try:
                if worker.done.wait(_LOOK_S):
                    break
            except (KeyboardInterrupt, Stopped):
                # Supervisors signal the process and its group: one request, heard twice.
                if time.monotonic() - asked_at > _SAME_REQUEST_S:
                    raise
    finally:
        kernel.kill()
        worker.done.wait(_GRACE_S)


class _Worker(threading.Thread):
    """Papermill in a thread; what it raised is kept as text.

    `done` is waited for, not the thread: a join that a signal interrupts takes the thread for
    ended (CPython, until 3.12).
    """

    def __init__(
        self, path: Path, output: Path, parameters: dict[str, Any], cwd: Path, timeout_s: float
    ) -> None:
        super().__init__(name=f"notebook-{path.stem}", daemon=True)
        self.path, self.output, self.parameters = path, output, parameters
        self.cwd, self.timeout_s = cwd, timeout_s
        self.error, self.exception = "", ""
        self.done = threading.Event()

    def run(self) -> None:
        """Execute; never raises."""
        try:
            self._execute()
            # This thread's loop, which jupyter_client opened and nobody else closes.
            ensure_event_loop().close()
        finally:
            self.done.set()

    def _execute(self) -> None:
        # Imported here: a second of imports that `runbook list` must not pay.
        import papermill
        from papermill.exceptions import PapermillExecutionError

        logging.getLogger("papermill").setLevel(logging.ERROR)
        try:
            papermill.execute_notebook(
                str(self.path),
                str(self.output),
                parameters=self.parameters,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                start_timeout=_START_TIMEOUT_S,
                execution_timeout=self.timeout_s,
                kernel_manager_class=kernel.OwnKernelManager,
                resources={"metadata": {"path": str(self.cwd)}},
            )
        except PapermillExecutionError as error:
            self.exception = str(error.ename)
            self.error = f"{error.ename}: {error.evalue}"
        except Exception as error:
            self.exception = type(error).__name__
            self.error = f"{type(error).__name__}: {error}".split("\n", 1)[0]


def failure(name: str, execution: Execution) -> NotebookFailed:
    """The error for a notebook that stopped."""
    return NotebookFailed(
        f"Notebook {name} stopped", execution.error, f"read {name}/report.html of the run"
    )
