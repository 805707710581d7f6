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
import logging
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gevent
from locust.env import Environment

from runbook.errors import LoadFailed, RunbookError
from runbook.load.accounts import busy_cpu_s
from runbook.load.locust_worker import EVENT, PLAN, STOP
from runbook.load.measurement import RawLoad, StepStats, step_stats
from runbook.load.plan import LoadPlan
from runbook.load.process import emit
from runbook.load.recording import write_results
from runbook.load.share import Rows, Together
from runbook.load.tokens import log_in

_READY_S = 60.0
_LEAD_S = 1.0
#: A worker that Locust misses may only be short of CPU; after this long it is gone.
_SILENT_S = 10.0
_LOOPBACK = "127.0.0.1"
_COUNTS = ("sent", "outstanding", "failures")


class Edge:
    """What is known at the end of a step (or the start): CPU seconds, of each worker and all."""

    def __init__(self) -> None:
        self.busy_s = 0.0
        self.cpu_s: dict[str, float] = {}


class Master:
    """Hands out the plan and collects what the workers say."""

    def __init__(self, plan: LoadPlan, workers: int, host: str, port: int) -> None:
        self.plan, self.workers = plan, workers
        self.classes = [kind.grouped_as for kind in plan.request_kinds()]
        self.edges = [Edge() for _ in (None, *plan.segments)]
        self.rows = Together(plan)
        self.ticks: dict[str, dict[str, Any]] = {}
        self.done: dict[str, int] = {}
        self.refused: RunbookError | None = None
        self.interrupted = False
        self.starts_at_epoch_s = 0.0
        self.runner = Environment().create_master_runner(host, port)
        self.port: int = self.runner.server.port
        self.runner.register_message(EVENT, self._hear)

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
        caught_up = self.plan.caught_up(soonest)
        self.starts_at_epoch_s = max(caught_up.start_at_epoch_s or 0.0, soonest)
        self.plan = replace(caught_up, start_at_epoch_s=self.starts_at_epoch_s)
        self.rows = Together(self.plan)
        for index, client in enumerate(self.runner.clients.ready):
            order = {
                "plan": asdict(self.plan),
                "index": index,
                "count": self.workers,
                "tokens": tokens,
            }
            self.runner.send_message(PLAN, order, client.id)
        emit("ready", starts_at_epoch_s=self.starts_at_epoch_s)
        patience_s = self.plan.duration_s + self.plan.drain_s + self.plan.timeout_s + _READY_S
        patience_s += max(self.starts_at_epoch_s - time.time(), 0.0)
        self._wait(patience_s, lambda: len(self.done) >= self.workers, "finished")
        return self.rows.raw()

    def steps(self, raw: RawLoad) -> list[StepStats]:
        """The statistics of every step that all workers drove to its end."""
        ends = [edge for edge in self.edges if len(edge.cpu_s) == self.workers]
        return [self._statistics(step, raw) for step in range(len(ends) - 1)]

    @property
    def cpu_s(self) -> float:
        """CPU seconds that all workers spent on the steps."""
        whole = [sum(edge.cpu_s.values()) for edge in self.edges if len(edge.cpu_s) == self.workers]
        return whole[-1] - whole[0] if whole else 0.0

    def _wait(self, seconds: float, done: Any, what: str) -> None:
        now = heard = time.monotonic()
        until = now + seconds
        while not done():
            now = time.monotonic()
            if self.refused:
                raise self.refused
            if self.interrupted and not self.starts_at_epoch_s:
                raise LoadFailed("The load was stopped", "it had not begun yet", "start it again")
            if not (self.starts_at_epoch_s and self.runner.clients.missing):
                heard = now
            if now > min(until, heard + _SILENT_S):
                raise LoadFailed(
                    "The load's workers failed",
                    f"not all {self.workers} of them {what}",
                    "see the log beside the results; from elsewhere they must reach this port",
                )
            gevent.sleep(0.05)

    def _hear(self, environment: Any, msg: Any, **_: Any) -> None:
        event, worker = msg.data, msg.node_id
        match event["event"]:
            case "rows":
                self.rows.put(Rows.unpack(event["rows"]))
            case "tick":
                self._tick(worker, event)
            case "edge":
                self._edge(worker, event["edge"], event["cpu_s"])
            case "done":
                self.done[worker] = event["connections_opened"]
            case "error":
                self.refused = LoadFailed(event["what"], event["why"], event["next_step"])

    def _tick(self, worker: str, tick: dict[str, Any]) -> None:
        """Tell how far all are once each has said it anew."""
        self.ticks[worker] = tick
        if len(self.ticks) == self.workers:
            told, self.ticks = self.ticks.values(), {}
            sums = {name: sum(one[name] for one in told) for name in _COUNTS}
            emit("tick", elapsed_s=tick["elapsed_s"], **sums)

    def _edge(self, worker: str, number: int, cpu_s: float) -> None:
        edge = self.edges[number]
        if not edge.cpu_s:
            edge.busy_s = busy_cpu_s()
        edge.cpu_s[worker] = cpu_s
        if number and len(edge.cpu_s) == self.workers:
            statistics = self._statistics(number - 1, self.rows.raw())
            emit("step", step=number - 1, **statistics.to_dict())

    def _statistics(self, step: int, raw: RawLoad) -> StepStats:
        segment, before, after = self.plan.segments[step], self.edges[step], self.edges[step + 1]
        cpu_s = sum(after.cpu_s.values()) - sum(before.cpu_s.values())
        starts_s = sum(item.duration_s for item in self.plan.segments[:step])
        return step_stats(
            raw,
            starts_s,
            starts_s + segment.duration_s,
            label=segment.label,
            rate_rps=segment.mean_rps,
            driver_cpu_cores=cpu_s / segment.duration_s,
            host_busy_cores=(after.busy_s - before.busy_s) / segment.duration_s,
            classes=self.classes,
        )


def _start_workers(count: int, port: int) -> list[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "runbook.load.locust_worker", _LOOPBACK, str(port)]
    return [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr) for _ in range(count)
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
            connections_opened=sum(master.done.values()),
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
