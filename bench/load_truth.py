"""The other side of bench/load.py: a server that logs the truth, and a clock that only wakes up.

The server answers each request after a drawn delay and logs when the kernel had the request and
when it answered. It spins on a core, so that answers wait for no wake-up. The clock sleeps until
each arrival of a schedule as the driver does, and does nothing then: how late it is, is the
machine's doing.
"""

from __future__ import annotations

import asyncio
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runbook.load.process import go_first
from runbook.load.schedule import Process, arrivals, constant
from runbook.load.stamped import StampedTransport, stamping

STALL_S = 2.0
MEAN_DELAY_S = 0.004
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


class Server(asyncio.Protocol):
    """Answers after a lognormal delay; `log` has when each request came and was answered."""

    log: list[tuple[float, float]] = []  # noqa: RUF012 - one server a process
    random = np.random.default_rng(1)
    stall_after_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, StampedTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        came = self.transport.received_at_s
        loop = asyncio.get_running_loop()
        if Server.stall_after_s is not None:
            loop.call_later(Server.stall_after_s, time.sleep, STALL_S)
            Server.stall_after_s = None
        delay = float(self.random.lognormal(np.log(MEAN_DELAY_S), 0.4))
        loop.call_later(delay, self._answer, came)

    def _answer(self, came: float) -> None:
        if not self.transport.is_closing():
            # Logged before the write: the client cannot have the answer any earlier.
            self.log.append((came, time.monotonic()))
            self.transport.write(_ANSWER)


class Spinning(selectors.SelectSelector):
    """Never sleeps: what waking up costs the server is in no log, so it must not happen."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(0)


def _accept(loop: asyncio.AbstractEventLoop, listening: socket.socket) -> None:
    sock, _ = listening.accept()
    StampedTransport(loop, stamping(sock), Server())


async def _serve(log: Path) -> None:
    loop = asyncio.get_running_loop()
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listening.setblocking(False)
    loop.add_reader(listening, _accept, loop, listening)
    done = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, done.set)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    await done.wait()
    np.save(log, np.array(Server.log))


@contextmanager
def server(log: Path, stall_after_s: float | None = None) -> Iterator[str]:
    """A server in a process of its own: its address; the log is there at the end.

    `stall_after_s` after the first request it stands still once, for STALL_S.
    """
    command = [sys.executable, __file__, "serve", str(log)]
    if stall_after_s is not None:
        command.append(str(stall_after_s))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def clock_ms(rate_rps: float, seconds: float, process: Process, folder: Path) -> np.ndarray:
    """How late a process is that only wakes up for each arrival, beside the same server."""
    out = folder / "clock.npy"
    command = [sys.executable, __file__, "clock", str(out), str(rate_rps), str(seconds), process]
    with server(folder / "unused.npy"):
        subprocess.run(command, check=True)
    return np.load(out)


def _clock(out: Path, rate_rps: float, seconds: float, process: Process) -> None:
    go_first()
    due = arrivals(constant(rate_rps, seconds), process=process).tolist()
    zero = time.monotonic() + 0.2
    late_ms = []
    for at in due:
        while (left := zero + at - time.monotonic()) > 0:
            select.select([], [], [], left)
        late_ms.append(-1e3 * left)
    np.save(out, np.array(late_ms))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        Server.stall_after_s = float(sys.argv[3]) if len(sys.argv) > 3 else None
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Spinning())) as runner:
            runner.run(_serve(Path(sys.argv[2])))
    else:
        _clock(Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), sys.argv[5])  # type: ignore[arg-type]
