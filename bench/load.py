"""How true the load driver's numbers are: `python bench/load.py`, five minutes, idle machine.

The truth is the log of a server (load_truth.py) that stamps each request and its answer. Against
it stand the driver, with even and with random arrivals, the driver on Locust's workers, and as
people run them Locust, wrk and hey (where installed), at the same rates: the achieved rate by the
server's log, p50, p95 and p99, and the CPU each tool spends on 1,000 requests. Both logs
together tell where a request of the driver's was beside the server, and a clock that only
wakes up for each arrival what of that is the machine's. Then the server stands still for two
seconds: who hides it?

wrk cannot hold a rate; it runs with as many connections as the rate needs on average. Exit code 1
when the driver, on Locust or not, misses a goal: rate within 0.5 %, percentiles within 2 %
or 0.3 ms, p95 and p99 of the stall within 5 %.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from load_tools import PERCENTILES, TOOLS, Seen, Tool
from load_truth import STALL_S, clock_ms, server

from runbook.load.schedule import arrivals, constant

RATE_GOAL, SHARE_GOAL, MS_GOAL, STALL_GOAL = 0.005, 0.02, 0.3, 0.05
_STALL_RATE_RPS = 100.0


def truth_ms(log: np.ndarray) -> tuple[float, ...]:
    """The percentiles of the server's own log, in milliseconds."""
    came, answered = log.T
    return _percentiles((answered - came) * 1e3)


def _percentiles(values_ms: np.ndarray) -> tuple[float, ...]:
    return tuple(np.percentile(values_ms, PERCENTILES, method="inverted_cdf"))


def _rate(at_s: np.ndarray) -> float:
    return (len(at_s) - 1) / (at_s.max() - at_s.min())


def parts_ms(seen: Seen, log: np.ndarray) -> dict[str, np.ndarray]:
    """Where each request of the driver's was, beside the server. Rows in order of the latency.

    On one machine bytes arrive in the order in which they are sent, so the n-th that left is
    the n-th that came.
    """
    assert seen.raw is not None
    raw = seen.raw.where(seen.raw.succeeded)
    order = np.argsort(raw.sent_s)
    came, answered = (log[np.argsort(log[:, 0])] - seen.zero_s).T
    slowest_last = np.argsort(raw.latency_ms[order])
    parts = {
        "late to leave": raw.lag_ms[order],
        "there": 1e3 * (came - raw.sent_s[order]),
        "server": 1e3 * (answered - came),
        "back": 1e3 * (raw.done_s[order] - answered),
    }
    return {name: part[slowest_last] for name, part in parts.items()}


def _row(*cells: object) -> None:
    sys.stdout.write("| " + " | ".join(str(cell) for cell in cells) + " |\n")
    sys.stdout.flush()


def _head(*names: str) -> None:
    sys.stdout.write("\n")
    _row(*names)
    _row(*("---" for _ in names))


def compare(rates: list[float], seconds: float, folder: Path) -> tuple[list[str], list[tuple]]:
    """Print a row for each tool and rate; the goals missed, and the gated tools' runs."""
    missed, runs = [], []
    _head("tool", "asked /s", "came /s", "p50 / truth ms", "p95 / truth ms", "p99 / truth ms",
          "CPU ms per 1,000", "true")  # fmt: skip
    for rate in rates:
        for tool in _installed():
            name = f"{re.sub(r'[^a-z]+', '-', tool.name.lower())}-{rate:.0f}"
            with server(folder / f"{name}.npy") as url:
                seen = tool.run(url, rate, seconds, folder / name)
            log = np.load(folder / f"{name}.npy")
            # Random arrivals have another rate than their mean's: that of the schedule counts.
            asked = _rate(arrivals(constant(rate, seconds), process=tool.process))
            came = _rate(log[:, 0])
            pairs = list(zip(seen.percentiles_ms, truth_ms(log), strict=True))
            off = [f"p{percent} by {seen_ms - true_ms:+.2f} ms"
                   for percent, (seen_ms, true_ms) in zip(PERCENTILES, pairs, strict=True)
                   if not abs(seen_ms - true_ms) <= max(SHARE_GOAL * true_ms, MS_GOAL)]  # fmt: skip
            if abs(came / asked - 1) > RATE_GOAL:
                off.append(f"rate by {100 * (came / asked - 1):+.1f} %")
            _row(tool.name, f"{asked:.1f}", f"{came:.1f}",
                 *(f"{a:.2f} / {b:.2f}" for a, b in pairs), f"{seen.cpu_ms:.0f}",
                 "off: " + ", ".join(off) if off else "yes")  # fmt: skip
            if tool.gated:
                runs.append((tool, rate, seen, log))
                missed += [f"{tool.name} at {rate:.0f}/s: {one}" for one in off]
    return missed, runs


def take_apart(runs: list[tuple], seconds: float, folder: Path) -> None:
    """Print where the driver's requests were, and how late a bare clock is at the same moments."""
    _head("tool", "asked /s", "late to leave, p50 / p95 / p99 ms", "a bare clock's",
          "there", "back", "slowest hundredth: late, there, server, back ms")  # fmt: skip

    def three(values_ms: np.ndarray) -> str:
        return " / ".join(f"{value:.2f}" for value in _percentiles(values_ms))

    for tool, rate, seen, log in runs:
        parts = parts_ms(seen, log)
        clock = clock_ms(rate, seconds, tool.process, folder)
        count = max(len(log) // 100, 1)
        slowest = ", ".join(f"{part[-count:].mean():.2f}" for part in parts.values())
        _row(tool.name, f"{rate:.0f}", three(parts["late to leave"]), three(clock),
             three(parts["there"]), three(parts["back"]), slowest)  # fmt: skip


def stall(seconds: float, folder: Path) -> list[str]:
    """Print what each tool says of a server that stood still; the goals missed."""
    missed = []
    # Due evenly during the stall, requests wait 2 s to 0 s: the slowest of all.
    true_ms = [1e3 * STALL_S * (1 - (1 - p / 100) * seconds / STALL_S) for p in (95, 99)]
    _head("tool", f"p95 ms with a stall of {STALL_S:.0f} s (truth {true_ms[0]:.0f})",
          f"p99 ms (truth {true_ms[1]:.0f})", "the stall is")  # fmt: skip
    for tool in _installed():
        if tool.process == "poisson":
            continue
        with server(folder / "stall.npy", seconds / 2) as url:
            seen = tool.run(url, _STALL_RATE_RPS, seconds, folder / "stall")
        told = seen.percentiles_ms[1:]
        shown = all(abs(a / b - 1) <= STALL_GOAL for a, b in zip(told, true_ms, strict=True))
        _row(tool.name, *(f"{value:.0f}" for value in told), "shown" if shown else "hidden")
        if tool.gated and not shown:
            missed.append(f"{tool.name}: the stall")
    return missed


def _installed() -> Iterator[Tool]:
    for tool in TOOLS:
        if tool.installed:
            yield tool


def main() -> int:
    """Exit code 0, or 1 when the driver missed a goal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", type=float, nargs="+", default=[50.0, 300.0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    options = parser.parse_args()
    for tool in TOOLS:
        if not tool.installed:
            sys.stderr.write(f"{tool.program} is not installed and left out\n")
    with tempfile.TemporaryDirectory() as folder:
        missed, runs = compare(options.rates, options.seconds, Path(folder))
        take_apart(runs, options.seconds, Path(folder))
        missed += stall(options.seconds, Path(folder))
    sys.stdout.write(f"\nmissed goals: {'; '.join(missed) or 'none'}\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
