"""Fleets: the same replay over many histories, on Dask: processes here, or any cluster."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from runbook.capacity.curve import CapacityCurve
from runbook.errors import InputInvalid, RunbookError
from runbook.lab.builtin import builtin
from runbook.lab.history import read_history
from runbook.lab.names import distinct
from runbook.lab.policy import Policy
from runbook.lab.replay import replay
from runbook.lab.service import Timing, service_model

_MAX_TIMES_PEAK = 10
_CONNECT_S = 15
_IN_FLIGHT_PER_THREAD = 2


@dataclass(frozen=True)
class Job:
    """What is played on every history. `policies` are built-in names, or policies as they are.

    `peak_tasks` 0 leaves the rates as they are; `max_tasks` None takes ten times the peak's.
    """

    curve: CapacityCurve
    policies: tuple[str | Policy, ...]
    peak_tasks: int = 30
    train_share: float = 0.5
    timezone: str = "UTC"
    max_tasks: int | None = None
    seeds: int = 5
    timing: Timing = field(default_factory=Timing)
    memory_gb: float | None = None


def play_one(name: str, content: bytes, job: Job, where: str = "") -> dict[str, Any]:
    """What the policies of `job` do on one history: `history` and `policies`, or its `error`.

    `content` is the CSV, so that a worker needs no disk of the client's; an error tells of the
    file as `where`, its path there (`name` unless given).
    """
    path = Path(name)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / path.name
            path.write_bytes(content)
            read = read_history(path, timezone=job.timezone, train_share=job.train_share)
        service = service_model(job.curve, timing=job.timing, memory_gb=job.memory_gb)
        history = read.scaled(service, job.peak_tasks or None)
        peak_rps = float(np.quantile(history.train_part.rate_rps, 0.99))
        peak = int(service.needed(np.array([peak_rps]))[0])
        most = job.max_tasks or _MAX_TIMES_PEAK * peak
        policies = [
            item
            if isinstance(item, Policy)
            else builtin(item, service, peak_tasks=peak, max_tasks=most)
            for item in job.policies
        ]
        outcomes = replay(policies, history, service, seeds=job.seeds, threads=1)
    except RunbookError as error:
        return {"name": name, "error": str(error).replace(str(path), where or name)}
    except Exception as error:
        # One history must not end the others' replay, whatever is wrong with it.
        return {"name": name, "error": f"{type(error).__name__}: {error}"}
    return {
        "name": name,
        "history": history.describe(),
        "policies": [item.to_dict() for item in outcomes],
    }


@contextmanager
def cluster(scheduler: str | None, workers: int | None = None) -> Iterator[Any]:
    """A Dask client: of the scheduler at an address, else of processes on this machine.

    Raises InputInvalid when nothing answers there.
    """
    dask = _dask()
    if scheduler is None:
        with (
            dask.LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=None
            ) as processes,
            dask.Client(processes) as client,
        ):
            yield client
        return
    try:
        client = dask.Client(scheduler, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:
        raise InputInvalid(
            f"The Dask scheduler {scheduler} cannot be used",
            str(error) or "it did not answer",
            "give its address as tcp://HOST:PORT, or leave --scheduler out",
        ) from error
    with client:
        yield client


def play_fleet(
    histories: Sequence[Path],
    job: Job,
    client: Any,
    progress: Callable[[int, int], None] = lambda done, many: None,
) -> list[dict[str, Any]]:
    """`play_one` for every history on the client's workers, in the order given.

    A few histories more than there are threads are held in memory at once. Raises InputInvalid
    when a file cannot be read.
    """
    results: dict[str, dict[str, Any]] = {}
    names = distinct(histories)
    waiting = iter(enumerate(histories))

    def submitted() -> Iterator[Any]:
        for number, path in waiting:
            given = (names[number], _content(path), job, str(path))
            yield client.submit(play_one, *given, key=f"lab-{number}", pure=False)

    queue = submitted()
    threads = max(1, sum(client.nthreads().values()))
    running = _dask().as_completed(
        [future for _, future in zip(range(_IN_FLIGHT_PER_THREAD * threads), queue, strict=False)]
    )
    for done in running:
        results[done.key] = done.result()
        done.release()
        progress(len(results), len(histories))
        following = next(queue, None)
        if following is not None:
            running.add(following)
    return [results[f"lab-{number}"] for number in range(len(histories))]


def totals(services: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each policy over all services: sums of task-hours and dollars, the worst violations."""
    played = [item["policies"] for item in services if "policies" in item]
    found = []
    for rows in zip(*played, strict=True):
        worst = max(rows, key=lambda row: float(row["violating_requests_pct"]))
        hours, oracle = (
            sum(row[key] for row in rows) for key in ("task_hours", "oracle_task_hours")
        )
        found.append(
            {
                "name": rows[0]["name"],
                "services": len(rows),
                "task_hours": hours,
                "oracle_task_hours": oracle,
                "over_oracle": hours / oracle if oracle else float("inf"),
                "cost_usd": sum(row["cost_usd"] for row in rows),
                "worst_violating_requests_pct": worst["violating_requests_pct"],
            }
        )
    return found


def _dask() -> Any:
    """Dask's distributed package, which the runbook's own image leaves out."""
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise InputInvalid(
            "Fleets cannot be played here",
            "Dask is not installed",
            "run this in the project's environment, or: pip install 'dask[distributed]'",
        ) from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputInvalid(
            f"{path} cannot be read", error.strerror or str(error), "give CSV files"
        ) from error
