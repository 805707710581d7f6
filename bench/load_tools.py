"""The tools that bench/load.py compares: the driver, its Locust mode, Locust itself, wrk, hey."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from load_truth import MEAN_DELAY_S

from runbook.load.measurement import RawLoad
from runbook.load.plan import LoadPlan
from runbook.load.run import run_driver
from runbook.load.schedule import Process, constant

PERCENTILES = (50, 95, 99)
#: Users of the tools that have some: hey's workers, Locust's users.
_USERS = 10
_LOCUST_FILE = """
from locust import HttpUser, constant_throughput, task

class Visitor(HttpUser):
    wait_time = constant_throughput({each})

    @task
    def get(self):
        self.client.get("/")
"""


@dataclass(frozen=True)
class Seen:
    """What a tool reports; CPU in ms per 1,000 requests. `raw` is the driver's own log.

    `zero_s`: the monotonic second at which that began. NaN: the tool does not tell.
    """

    percentiles_ms: tuple[float, ...]
    cpu_ms: float
    raw: RawLoad | None = None
    zero_s: float = 0.0


@dataclass(frozen=True)
class Tool:
    """`gated`: its numbers must be true, or the bench fails."""

    name: str
    run: Callable[[str, float, float, Path], Seen]
    process: Process = "uniform"
    gated: bool = False
    program: str = ""

    @property
    def installed(self) -> bool:
        return not self.program or shutil.which(self.program) is not None


def _driver(kind: str, process: Process) -> Callable[[str, float, float, Path], Seen]:
    def run(url: str, rate_rps: float, seconds: float, folder: Path) -> Seen:
        plan = LoadPlan(url, constant(rate_rps, seconds), process=process)
        done = run_driver(plan, folder, driver=kind, workers=2)
        step = done.steps[0]
        found = (step.p50_ms, step.p95_ms, step.p99_ms)
        return Seen(
            tuple(v or np.nan for v in found), done.cpu_ms_per_1000_requests, done.raw(),
            done.started_at_epoch_s - _wall_clock_s(),
        )  # fmt: skip

    return run


def _wall_clock_s() -> float:
    """What the wall clock is ahead of the monotonic one."""
    return time.time() - time.monotonic()


def _child(command: list[str]) -> tuple[str, float]:
    """Output and CPU seconds of a command."""
    with tempfile.TemporaryFile("w+") as out:
        pid = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT).pid
        _, _, usage = os.wait4(pid, 0)
        out.seek(0)
        return out.read(), usage.ru_utime + usage.ru_stime


def _locust(url: str, rate_rps: float, seconds: float, folder: Path) -> Seen:
    file = folder.with_suffix(".py")
    file.write_text(_LOCUST_FILE.format(each=rate_rps / _USERS))
    locust = [sys.executable, "-m", "locust", "-f", str(file)]
    # Its start-up costs more than a short run; the driver's is not counted either.
    _, start_cpu_s = _child([*locust, "--list"])
    _, cpu_s = _child(
        [*locust, "--headless", "-u", str(_USERS), "-r", str(_USERS), "-t", f"{seconds:.0f}s",
         "--host", url.rstrip("/"), "--csv", str(folder)]
    )  # fmt: skip
    with Path(f"{folder}_stats.csv").open() as stats:
        row = list(csv.DictReader(stats))[-1]
    values = tuple(float(row[f"{p}%"]) for p in PERCENTILES)
    return Seen(values, (cpu_s - start_cpu_s) * 1e6 / max(int(row["Request Count"]), 1))


def _hey(url: str, rate_rps: float, seconds: float, folder: Path) -> Seen:
    each = f"{rate_rps / _USERS}"
    text, cpu_s = _child(["hey", "-z", f"{seconds:.0f}s", "-c", str(_USERS), "-q", each, url])
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0])
    found = [re.findall(rf"{p}%+ in ([\d.]+) secs", text) for p in PERCENTILES]
    values = tuple(1e3 * float(v[0]) if v else np.nan for v in found)
    return Seen(values, cpu_s * 1e6 / max(rate * seconds, 1))


def _wrk(url: str, rate_rps: float, seconds: float, folder: Path) -> Seen:
    script = folder.with_suffix(".lua")
    script.write_text(
        "done = function(s, l, r) for _, p in pairs({50, 95, 99}) do "
        'print("P" .. p .. " " .. l:percentile(p)) end end\n'
    )
    connections = max(round(rate_rps * MEAN_DELAY_S * 1.1), 1)
    text, cpu_s = _child(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-s", str(script), url]
    )
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0])
    values = tuple(float(re.findall(rf"P{p} ([\d.]+)", text)[0]) / 1e3 for p in PERCENTILES)
    return Seen(values, cpu_s * 1e6 / max(rate * seconds, 1))


TOOLS = (
    Tool("runbook", _driver("builtin", "uniform"), gated=True),
    Tool("runbook, Poisson", _driver("builtin", "poisson"), "poisson", gated=True),
    Tool("runbook on Locust", _driver("locust", "uniform"), gated=True),
    Tool("Locust", _locust),
    Tool("wrk (holds no rate)", _wrk, program="wrk"),
    Tool("hey", _hey, program="hey"),
)
