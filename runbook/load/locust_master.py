"""The driver beyond one machine: `python -m runbook.load.locust_master PLAN.json OUT_DIR`.

Locust's distributed mode: this master hands the plan to its workers, which send the same
arrivals that the built-in driver would, and joins what they recorded into the same files.
Workers are processes here unless `--port` is given: then it waits at that port for `--workers`
of them from elsewhere (docs/measuring.md: on Fargate). It speaks the
built-in driver's language of JSON lines on stdout.
"""

# Locust patches the standard library when it is imported, so it comes first.
import locust  # isort: skip
import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gevent
import numpy as np
from locust.env import Environment

from runbook.errors import LoadFailed, RunbookError
from runbook.load.accounts import busy_cpu_s
from runbook.load.locust_worker import DONE, PLAN, STEP, STOP, ScheduledUser
from runbook.load.measurement import RawLoad, StepStats, step_stats
from runbook.load.plan import LoadPlan
from runbook.load.process import emit
from runbook.load.recording import write_results
from runbook.load.share import Rows, together
from runbook.load.tokens import log_in

_READY_S = 30.0
_LEAD_S = 1.0
_LOOPBACK = "127.0.0.1"


class Edge:
    """What is known at the end of a step (or the start): CPU seconds and all workers' rows."""

    def __init__(self) -> None:
        self.busy_s = 0.0
        self.cpu_s: dict[str, float] = {}
        self.rows: dict[str, Rows] = {}


class Master:
    """Hands out the plan and collects what the workers say."""

    def __init__(self, plan: LoadPlan, workers: int, host: str, port: int) -> None:
        self.plan, self.workers = plan, workers
        self.classes = [kind.grouped_as for kind in plan.request_kinds()]
        self.edges = [Edge() for _ in (None, *plan.segments)]
        self.done: dict[str, Rows] = {}
        self.interrupted = False
        self.starts_at_epoch_s = 0.0
        self.runner = Environment(user_classes=[ScheduledUser]).create_master_runner(host, port)
        self.port: int = self.runner.server.port
        self.runner.register_message(STEP, self._step)
        self.runner.register_message(DONE, self._done)

    def stop(self) -> None:
        """End early: no further arrivals, results are kept."""
        if not self.interrupted:
            self.interrupted = True
            self.runner.send_message(STOP, {})

    def run(self) -> RawLoad:
        """Drive the whole schedule. Raises LoadFailed when workers are missing or go away."""
        tokens = log_in(self.plan.url, self.plan.accounts, self.plan.timeout_s)
        self._wait(_READY_S, lambda: len(self.runner.clients.ready) >= self.workers, "came")
        soonest = time.time() + _LEAD_S
        self.plan = self.plan.caught_up(soonest)
        self.starts_at_epoch_s = max(self.plan.start_at_epoch_s or 0.0, soonest)
        for index, client in enumerate(self.runner.clients.ready):
            order = {
                "plan": json.dumps(asdict(self.plan)),
                "index": index,
                "count": self.workers,
                "tokens": tokens,
                "starts_at_epoch_s": self.starts_at_epoch_s,
            }
            self.runner.send_message(PLAN, order, client.id)
        emit("ready", starts_at_epoch_s=self.starts_at_epoch_s)
        for edge, at_s in zip(self.edges, self.at_s, strict=True):
            wait_s = max(self.starts_at_epoch_s + at_s - time.time(), 0.0)
            gevent.spawn_later(wait_s, self._look, edge)
        self.runner.start(self.workers, spawn_rate=self.workers)
        patience_s = self.plan.duration_s + self.plan.drain_s + self.plan.timeout_s + _READY_S
        self._wait(patience_s, lambda: len(self.done) >= self.workers, "finished")
        return together(self.plan, self.done.values())

    def steps(self, raw: RawLoad) -> list[StepStats]:
        """The statistics of every step that all workers began."""
        ends = [edge for edge in self.edges if len(edge.rows) == self.workers]
        return [self._statistics(step, raw) for step in range(len(ends) - 1)]

    @property
    def at_s(self) -> list[float]:
        """When each segment begins, and when the last one ends."""
        durations = [item.duration_s for item in self.plan.segments]
        return [float(at_s) for at_s in np.cumsum([0.0, *durations])]

    @property
    def cpu_s(self) -> float:
        """CPU seconds that all workers spent on the steps."""
        whole = [sum(edge.cpu_s.values()) for edge in self.edges if len(edge.cpu_s) == self.workers]
        return whole[-1] - whole[0] if whole else 0.0

    def _look(self, edge: Edge) -> None:
        edge.busy_s = busy_cpu_s()

    def _wait(self, seconds: float, done: Any, what: str) -> None:
        until = time.monotonic() + seconds
        while not done():
            if time.monotonic() > until or (self.starts_at_epoch_s and self.runner.clients.missing):
                raise LoadFailed(
                    "The load's workers failed",
                    f"not all {self.workers} of them {what}",
                    "see the log beside the results; from elsewhere they must reach this port",
                )
            gevent.sleep(0.05)

    def _step(self, environment: Any, msg: Any, **_: Any) -> None:
        step = msg.data["step"]
        edge = self.edges[step]
        edge.cpu_s[msg.node_id] = msg.data["cpu_s"]
        edge.rows[msg.node_id] = Rows.unpack(msg.data["rows"])
        if step and len(edge.rows) == self.workers:
            raw = together(self.plan, edge.rows.values())
            emit("step", step=step - 1, **self._statistics(step - 1, raw).to_dict())

    def _done(self, environment: Any, msg: Any, **_: Any) -> None:
        self.done[msg.node_id] = Rows.unpack(msg.data["rows"])

    def _statistics(self, step: int, raw: RawLoad) -> StepStats:
        segment, before, after = self.plan.segments[step], self.edges[step], self.edges[step + 1]
        cpu_s = sum(after.cpu_s.values()) - sum(before.cpu_s.values())
        return step_stats(
            raw,
            self.at_s[step],
            self.at_s[step + 1],
            label=segment.label,
            rate_rps=segment.mean_rps,
            driver_cpu_cores=cpu_s / segment.duration_s,
            host_busy_cores=(after.busy_s - before.busy_s) / segment.duration_s,
            classes=self.classes,
        )


def _start_workers(count: int, port: int) -> list[subprocess.Popen[bytes]]:
    # `select` wakes up ten times sharper than `epoll`, whose timers are whole milliseconds.
    environment = {**os.environ, "GEVENT_BACKEND": "select"}
    command = [sys.executable, "-m", "runbook.load.locust_worker", _LOOPBACK, str(port)]
    return [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment) for _ in range(count)
    ]


def _drive(options: argparse.Namespace) -> dict[str, Any]:
    plan = LoadPlan.load(options.plan)
    here = options.port == 0
    master = Master(plan, options.workers, _LOOPBACK if here else "*", options.port)
    for name in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(name, master.stop)
    processes = _start_workers(options.workers, master.port) if here else []
    try:
        raw = master.run()
        return write_results(
            options.out_dir,
            master.plan,
            raw,
            master.steps(raw),
            started_at_epoch_s=master.starts_at_epoch_s,
            interrupted=master.interrupted,
            connections_opened=0,
            cpu_s=master.cpu_s,
        )
    finally:
        master.runner.quit()
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(10.0)


def main(arguments: list[str]) -> int:
    """Entry of the process. Exit code 0 with results written, 2 with an `error` event."""
    assert locust
    parser = argparse.ArgumentParser(prog="python -m runbook.load.locust_master")
    parser.add_argument("plan", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--workers", type=int, default=2, help="how many take part")
    parser.add_argument("--port", type=int, default=0, help="wait for them here; 0: start them")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    try:
        summary = _drive(options)
    except RunbookError as error:
        emit("error", what=error.what, why=error.why, next_step=error.next_step)
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    emit("finished", **summary)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
