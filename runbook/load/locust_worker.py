"""A Locust worker on the driver's schedule: `python -m runbook.load.locust_worker HOST PORT`.

The plan comes from the master in a message, so a worker needs no file: any machine or
container that has this package and reaches the master can be one. Its clock must be right to
within what the load may be off by, as the schedule begins at a wall-clock second.
"""

# Locust patches the standard library when it is imported, so it comes first.
import locust  # isort: skip
import json
import logging
import sys
import time
from typing import Any

import gevent
import numpy as np
from geventhttpclient import HTTPClient
from locust.env import Environment
from locust.runners import WorkerRunner

from runbook.load.accounts import own_cpu_s
from runbook.load.connection import LOST, NOT_CONNECTED, TIMED_OUT, UNFINISHED
from runbook.load.kinds import choose
from runbook.load.plan import LoadPlan
from runbook.load.process import go_first
from runbook.load.schedule import arrivals
from runbook.load.share import Rows, numbers_of

#: Messages: the master's plan and its word to stop; a worker's steps and its last word.
PLAN, STOP, STEP, DONE = "runbook_plan", "runbook_stop", "runbook_step", "runbook_done"
_WAITING = 0


class ScheduledUser(locust.User):
    """Sends this worker's part of the arrivals, a greenlet for each; there is one a worker."""

    part: "Part"

    @locust.task
    def drive(self) -> None:
        """The whole part, then nothing more until the master ends the test."""
        self.part.run(self.environment)
        while True:
            gevent.sleep(3600)


class Part:
    """This worker's part of a plan while it runs; times are seconds after the start."""

    def __init__(self, runner: WorkerRunner, order: dict[str, Any]) -> None:
        self.runner = runner
        self.plan = LoadPlan.from_dict(json.loads(order["plan"]))
        self.intended_s = arrivals(
            self.plan.segments, seed=self.plan.seed, process=self.plan.process
        )
        self.kinds = self.plan.request_kinds()
        self.kind = choose(self.kinds, len(self.intended_s), self.plan.seed)
        self.numbers = np.array(
            numbers_of(order["index"], order["count"], len(self.intended_s)), dtype=np.int64
        )
        self.tokens: list[str] = order["tokens"] or [""]
        self.starts_at_epoch_s: float = order["starts_at_epoch_s"]
        size = len(self.numbers)
        self.sent_s, self.done_s = np.zeros(size), np.zeros(size)
        self.status = np.zeros(size, dtype=np.int16)
        self.sent = 0
        self.stopped = False
        self._zero = 0.0
        self._client = HTTPClient.from_url(
            self.plan.url,
            concurrency=self.plan.max_connections,
            connection_timeout=self.plan.timeout_s,
            network_timeout=self.plan.timeout_s,
        )

    def _now(self) -> float:
        return time.monotonic() - self._zero

    def run(self, environment: Environment) -> None:
        """Send everything that is due when it is due, then hand the rows over."""
        self._zero = time.monotonic() + self.starts_at_epoch_s - time.time()
        edges = np.cumsum([0.0, *(item.duration_s for item in self.plan.segments)])
        for step, edge in enumerate(edges):
            gevent.spawn_later(max(edge - self._now(), 0.0), self._tell, step)
        for row, number in enumerate(self.numbers.tolist()):
            # The intended start of the next arrival, in short waits so that a stop is heard.
            while not self.stopped and self.intended_s[number] > self._now():
                gevent.sleep(min(self.intended_s[number] - self._now(), 0.25))
            if self.stopped:
                break
            self.sent = row + 1
            gevent.spawn(self._send, environment, row, number)
        if not self.stopped:
            gevent.sleep(max(edges[-1] - self._now(), 0.0))
        give_up_s = self._now() + (1.0 if self.stopped else self.plan.drain_s)
        while (self.status[: self.sent] == _WAITING).any() and self._now() < give_up_s:
            gevent.sleep(0.02)
        self._say(DONE, -1)

    def _send(self, environment: Environment, row: int, number: int) -> None:
        self.sent_s[row] = self._now()
        kind = self.kinds[int(self.kind[number])]
        user = number % len(self.tokens)
        path, headers, body = kind.filled(
            self.plan.host, user=user, sequence=number, token=self.tokens[user]
        )
        length = 0
        try:
            answer = self._client.request(kind.method.upper(), path, body=body, headers=headers)
            length = len(answer.read())
            answer.release()
            status = int(answer.status_code)
        except TimeoutError:
            status = TIMED_OUT
        except ConnectionRefusedError:
            status = NOT_CONNECTED
        except Exception:
            # Whatever else ends a connection: the request got no answer.
            status = LOST
        self.done_s[row], self.status[row] = self._now(), status
        # Locust's own tables too count from the intended start.
        heard: Any = environment.events.request
        heard.fire(
            request_type=kind.method,
            name=kind.name,
            response_time=1000.0 * float(self.done_s[row] - self.intended_s[number]),
            response_length=length,
            exception=None if 200 <= status < 400 else RuntimeError(f"status {status}"),
            context={},
        )

    def _tell(self, step: int) -> None:
        if not self.stopped:
            self._say(STEP, step)

    def _say(self, name: str, step: int) -> None:
        done_s, status = self.done_s[: self.sent].copy(), self.status[: self.sent].copy()
        waiting = status == _WAITING
        done_s[waiting], status[waiting] = self._now(), UNFINISHED
        rows = Rows(self.numbers[: self.sent], self.sent_s[: self.sent].copy(), done_s, status)
        content = {"step": step, "cpu_s": own_cpu_s(), "at_s": self._now(), "rows": rows.pack()}
        self.runner.send_message(name, content)


def main(arguments: list[str]) -> int:
    """Entry of the process: serves one plan, then ends with the master. Exit code 0."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m runbook.load.locust_worker MASTER_HOST MASTER_PORT\n")
        return 2
    logging.basicConfig(level=logging.WARNING)
    go_first()
    environment = Environment(user_classes=[ScheduledUser])
    runner = environment.create_worker_runner(arguments[0], int(arguments[1]))

    def plan(environment: Environment, msg: Any, **_: Any) -> None:
        ScheduledUser.part = Part(runner, msg.data)

    def stop(environment: Environment, msg: Any, **_: Any) -> None:
        ScheduledUser.part.stopped = True

    runner.register_message(PLAN, plan)
    runner.register_message(STOP, stop)
    runner.greenlet.join()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
