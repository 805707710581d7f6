"""How true the load driver's numbers are: `python bench/load.py`, about two minutes, idle machine.

A server of its own answers each request after a drawn delay and logs when the kernel had the
request and when it answered; it spins on a core, so that answers wait for no wake-up. Against that
log stand the driver, its Locust mode, wrk and hey (where installed) at the same rates: the
achieved rate, p50, p95 and p99, and the CPU each tool spends on 1,000 requests. Then the
server stands still for two seconds: who hides it?

wrk cannot hold a rate; it runs with as many connections as the rate needs on average. Exit
code 1 when the driver misses a goal: rate within 0.5 %, percentiles within 2 % or 0.3 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from runbook.load.plan import LoadPlan  # noqa: E402
from runbook.load.run import run_driver  # noqa: E402
from runbook.load.schedule import constant  # noqa: E402
from runbook.load.stamped import StampedTransport, stamping  # noqa: E402

PERCENTILES = (50, 95, 99)
STALL_S = 2.0
_MEAN_DELAY_S = 0.004
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


class Server(asyncio.Protocol):
    """Answers after a lognormal delay; `log` has when each request came and was answered."""

    log: list[tuple[float, float]] = []  # noqa: RUF012 - one server a process
    random = np.random.default_rng(1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, StampedTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        came = self.transport.received_at_s
        delay = float(self.random.lognormal(np.log(_MEAN_DELAY_S), 0.4))
        asyncio.get_running_loop().call_later(delay, self._answer, came)

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


async def _serve(port: int, log: Path) -> None:
    loop = asyncio.get_running_loop()
    listening = socket.create_server(("127.0.0.1", port), backlog=1024)
    listening.setblocking(False)
    loop.add_reader(listening, _accept, loop, listening)
    done = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, done.set)
    loop.add_signal_handler(signal.SIGUSR1, time.sleep, STALL_S)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    await done.wait()
    np.save(log, np.array(Server.log))


@contextmanager
def server(log: Path) -> Iterator[tuple[str, int]]:
    """A server in a process of its own: its address and process id; the log is there at the end."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(log)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/", process.pid
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@dataclass(frozen=True)
class Seen:
    """What a tool reports; `cpu_ms` per 1,000 requests. NaN: it does not tell."""

    rate_rps: float
    percentiles_ms: tuple[float, ...]
    cpu_ms: float


def _driver(kind: str) -> Callable[[str, float, float, Path], Seen]:
    def run(url: str, rate_rps: float, seconds: float, folder: Path) -> Seen:
        plan = LoadPlan(url, constant(rate_rps, seconds), process="uniform")
        done = run_driver(plan, folder, driver=kind, workers=2)
        step = done.steps[0]
        found = (step.p50_ms, step.p95_ms, step.p99_ms)
        return Seen(
            step.achieved_rps, tuple(v or np.nan for v in found), done.cpu_ms_per_1000_requests
        )

    return run


def _child(command: list[str]) -> tuple[str, float]:
    """Output and CPU seconds of a command."""
    with tempfile.TemporaryFile("w+") as out:
        pid = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT).pid
        _, _, usage = os.wait4(pid, 0)
        out.seek(0)
        return out.read(), usage.ru_utime + usage.ru_stime


def _hey(url: str, rate_rps: float, seconds: float, folder: Path) -> Seen:
    workers = 10
    text, cpu_s = _child(
        ["hey", "-z", f"{seconds:.0f}s", "-c", str(workers), "-q", f"{rate_rps / workers}", url]
    )
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0])
    found = [re.findall(rf"{p}%+ in ([\d.]+) secs", text) for p in PERCENTILES]
    values = tuple(1e3 * float(v[0]) if v else np.nan for v in found)
    return Seen(rate, values, cpu_s * 1e6 / max(rate * seconds, 1))


def _wrk(url: str, rate_rps: float, seconds: float, folder: Path) -> Seen:
    script = folder.with_suffix(".lua")
    script.write_text(
        "done = function(s, l, r) for _, p in pairs({50, 95, 99}) do "
        'print("P" .. p .. " " .. l:percentile(p)) end end\n'
    )
    connections = max(round(rate_rps * _MEAN_DELAY_S * 1.1), 1)
    text, cpu_s = _child(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-s", str(script), url]
    )
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0])
    values = tuple(float(re.findall(rf"P{p} ([\d.]+)", text)[0]) / 1e3 for p in PERCENTILES)
    return Seen(rate, values, cpu_s * 1e6 / max(rate * seconds, 1))


TOOLS: dict[str, Callable[[str, float, float, Path], Seen]] = {
    "runbook": _driver("builtin"),
    "runbook, Locust": _driver("locust"),
    "wrk": _wrk,
    "hey": _hey,
}


def truth_ms(log: Path) -> tuple[float, ...]:
    """The percentiles of the server's own log, in milliseconds."""
    came, answered = np.load(log).T
    return tuple(np.percentile((answered - came) * 1e3, PERCENTILES, method="inverted_cdf"))


def _row(*cells: object) -> None:
    sys.stdout.write("| " + " | ".join(str(cell) for cell in cells) + " |\n")
    sys.stdout.flush()


def _head(*names: str) -> None:
    _row(*names)
    _row(*("---" for _ in names))


def compare(rates: list[float], seconds: float, folder: Path) -> list[str]:
    """Print a row for each tool and rate; the goals that the driver missed."""
    missed = []
    _head("tool", "rate asked", "achieved", "p50 / truth ms", "p95 / truth ms", "p99 / truth ms",
          "CPU ms per 1,000")  # fmt: skip
    for rate in rates:
        for name, tool in _installed():
            log = folder / f"{name}-{rate:.0f}.npy"
            with server(log) as (url, _):
                seen = tool(url, rate, seconds, folder / f"{name}-{rate:.0f}")
            truth = truth_ms(log)
            pairs = list(zip(seen.percentiles_ms, truth, strict=True))
            _row(name, f"{rate:.0f}", f"{seen.rate_rps:.1f}",
                 *(f"{a:.2f} / {b:.2f}" for a, b in pairs), f"{seen.cpu_ms:.0f}")  # fmt: skip
            if name == "runbook":
                off = [p for p, (a, b) in zip(PERCENTILES, pairs, strict=True)
                       if abs(a - b) > max(0.02 * b, 0.3)]  # fmt: skip
                missed += [f"p{p} at {rate:.0f}/s" for p in off]
                if abs(seen.rate_rps / rate - 1) > 0.005:
                    missed.append(f"rate at {rate:.0f}/s")
    return missed


def stall(rate: float, seconds: float, folder: Path) -> list[str]:
    """Print what each tool says of a server that stood still; the driver's failure, if any."""
    missed = []
    # Due evenly during the stall, requests wait 2 s to 0 s: the slowest hundredth of all.
    true_p99 = 1e3 * STALL_S * (1 - 0.01 * seconds / STALL_S)
    _head("tool", f"p99 ms with a stall of {STALL_S:.0f} s (truth {true_p99:.0f})")
    for name, tool in _installed():
        with server(folder / "stall.npy") as (url, pid):
            stopper = subprocess.Popen(["sh", "-c", f"sleep {seconds / 2}; kill -USR1 {pid}"])
            seen = tool(url, rate, seconds, folder / f"stall-{name}")
            stopper.wait()
        _row(name, f"{seen.percentiles_ms[2]:.0f}")
        if name == "runbook" and abs(seen.percentiles_ms[2] / true_p99 - 1) > 0.05:
            missed.append("p99 of the stall")
    return missed


def _installed() -> Iterator[tuple[str, Callable[[str, float, float, Path], Seen]]]:
    for name, tool in TOOLS.items():
        if name.startswith("runbook") or shutil.which(name):
            yield name, tool
        else:
            sys.stderr.write(f"{name} is not installed and left out\n")


def main() -> int:
    """Exit code 0, or 1 when the driver missed a goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", type=float, nargs="+", default=[50.0, 300.0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        loop = asyncio.SelectorEventLoop(Spinning())
        loop.run_until_complete(_serve(0, options.serve))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        missed = compare(options.rates, options.seconds, Path(folder))
        missed += stall(100.0, options.seconds, Path(folder))
    sys.stdout.write(f"missed goals: {', '.join(missed) or 'none'}\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
