"""A Locust worker on the driver's schedule: `python -m runbook.load.locust_worker HOST PORT`.

Its requests are sent by a driver process of its own (`runbook.load.part`), so they leave and
are timed as everywhere else; the worker hands on what master and driver have to say. It has no
Locust users: Locust moves those to other workers when one is not heard of for three seconds, but
an arrival of the schedule belongs to one worker.
The plan comes from the master in a message, so a worker needs no file: any machine or
container that has this package and reaches the master can be one. Its clock must be right to
within what the load may be off by, as the schedule begins at a wall-clock second.
"""

# Locust patches the standard library when it is imported, so it comes first.
import json
import logging
import subprocess
import sys
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import WorkerRunner

from runbook.load.accounts import own_cpu_s
from runbook.load.process import go_first

#: Messages: the master's plan and its word to stop; an event of a worker's driver.
PLAN, STOP, EVENT = "runbook_plan", "runbook_stop", "runbook_event"
_COMMAND = [sys.executable, "-m", "runbook.load.part"]


class Part:
    """The process that sends this worker's part of the arrivals."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        # Its first line: it has its imports behind it, and will begin on time.
        self.process.stdout.readline()
        self.runner: WorkerRunner

    def order(self, content: dict[str, Any]) -> None:
        """What the process is to do."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(content).encode() + b"\n")
        self.process.stdin.flush()

    def follow(self) -> None:
        """Hand on everything that it says, to its end."""
        assert self.process.stdout is not None
        last = ""
        for line in self.process.stdout:
            event = json.loads(line)
            last = event["event"]
            if last == "edge":
                event["cpu_s"] += own_cpu_s()
            self.runner.send_message(EVENT, event)
        if last not in ("done", "error"):
            failure = {
                "what": "The load's workers failed",
                "why": f"the driver of one ended with code {self.process.wait()}",
                "next_step": "see the log beside the results, or the worker's own",
            }
            self.runner.send_message(EVENT, {"event": "error", **failure})

    def stop(self) -> None:
        """No further arrivals; what was measured is still told."""
        self.process.terminate()


def main(arguments: list[str]) -> int:
    """Entry of the process: serves one plan, then ends with the master. Exit code 0."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m runbook.load.locust_worker MASTER_HOST MASTER_PORT\n")
        return 2
    logging.basicConfig(level=logging.WARNING)
    go_first()
    # Before the master hears of this worker, as the plan then begins within a second.
    part = Part()
    runner = part.runner = Environment().create_worker_runner(arguments[0], int(arguments[1]))

    def plan(environment: Environment, msg: Any, **_: Any) -> None:
        part.order(msg.data)
        gevent.spawn(part.follow)

    def stop(environment: Environment, msg: Any, **_: Any) -> None:
        part.stop()

    runner.register_message(PLAN, plan)
    runner.register_message(STOP, stop)
    runner.greenlet.join()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
