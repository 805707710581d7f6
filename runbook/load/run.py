"""Running the driver as a process of its own and following it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runbook.errors import InputInvalid, LoadFailed
from runbook.load.plan import LoadPlan
from runbook.load.recording import PLAN_FILE, DriverRun, read_results

#: Called with every event of the driver; a true answer ends the run early.
OnEvent = Callable[[dict[str, Any]], bool | None]
_STOP_GRACE_S = 15.0
#: The built-in driver is one process; Locust's distributed mode has as many as asked for.
DRIVERS = ("builtin", "locust")
#: How long before its schedule begins a driver is best called: its processes take that to start.
START_UP_S = {"builtin": 1.5, "locust": 12.0}


def check_driver(driver: str, workers: int) -> None:
    """Raises InputInvalid unless there is such a driver with so many workers."""
    wrong = ""
    if driver not in DRIVERS:
        wrong = f"{driver!r} is none of {', '.join(DRIVERS)}"
    elif workers < 1:
        wrong = f"it would have {workers} workers"
    if wrong:
        raise InputInvalid(
            "The load's driver cannot be used", wrong, "use builtin, or locust with workers"
        )


def run_driver(
    plan: LoadPlan,
    out_dir: Path,
    on_event: OnEvent | None = None,
    *,
    driver: str = DRIVERS[0],
    workers: int = 2,
) -> DriverRun:
    """Drive a plan in a child process and return what it measured.

    `on_event` sees the driver's JSON events (`ready`, `tick`, `step`, `finished`); when it
    returns true, the driver is asked to end and what it measured so far is returned.
    With `driver` "locust" the load comes from `workers` processes; the results are the same.
    No child outlives this call, whatever raises. Raises LoadFailed and InputInvalid.
    """
    check_driver(driver, workers)
    out_dir.mkdir(parents=True, exist_ok=True)
    plan_path = plan.save(out_dir / PLAN_FILE)
    log = out_dir / "driver.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, *_module(driver, workers), str(plan_path), str(out_dir)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, "PYTHONPATH": _python_path()},
            # A terminal's Ctrl-C goes to us; we end the driver in our own order.
            start_new_session=True,
        )
    try:
        refused = _follow(process, on_event)
        code = process.wait(_STOP_GRACE_S)
    finally:
        _end(process)
    if refused:
        raise LoadFailed(refused["what"], refused["why"], refused["next_step"])
    if code != 0:
        raise LoadFailed("The load driver failed", f"exit code {code}", f"read {log}")
    return read_results(out_dir)


def _module(driver: str, workers: int) -> list[str]:
    if driver == DRIVERS[0]:
        return ["-m", "runbook.load.driver"]
    return ["-m", "runbook.load.locust_master", "--workers", str(workers)]


def _python_path() -> str:
    """The project's root first, so that the child imports this very package."""
    root = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return f"{root}{os.pathsep}{inherited}" if inherited else root


def _events(process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(b"{"):
            yield json.loads(line)


def _follow(process: subprocess.Popen[bytes], on_event: OnEvent | None) -> dict[str, Any] | None:
    """Hand events on until the driver ends; its `error` event, if any, is returned."""
    refused = None
    asked = False
    for event in _events(process):
        if event["event"] == "error":
            refused = event
        elif on_event is not None and on_event(event) and not asked:
            asked = True
            process.send_signal(signal.SIGTERM)
    return refused


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave no child behind: ask first, then insist."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
