"""The service's own metrics, as CloudWatch reads them out of a log: embedded metric format.

For each class of requests (`read`, `write`, `credential`) the log gets one line per
interval, not one per request: latency and time spent in the store as values with
counts, so that CloudWatch computes true percentiles, and the number of 5xx answers.
One more line tells the connection pool: its size, the most that were in use, and how often
somebody had to wait for one.

Latency is the time inside the application. What the balancer measures beyond it is
waiting for a thread and the network. Values are rounded to two significant digits.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

READ, WRITE, CREDENTIAL = "read", "write", "credential"

_UNMEASURED = frozenset({"/health", "/ready"})
_VALUES_MAX = 100  # of one metric in one line; CloudWatch ignores a line with more


def request_class(method: str, path: str) -> str | None:
    """READ, WRITE or CREDENTIAL; None for what is no work of a client: checks, preflights."""
    if path in _UNMEASURED or method == "OPTIONS":
        return None
    if method in ("GET", "HEAD"):
        return READ
    return CREDENTIAL if method == "POST" and path.startswith("/user/") else WRITE


@dataclass
class _Interval:
    """What is counted until the next flush."""

    latency_ms: dict[str, Counter[float]] = field(default_factory=dict)
    store_ms: dict[str, Counter[float]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    pool_in_use: int = 0
    pool_waits: int = 0


class Metrics:
    """Counts requests and writes lines; safe for threads."""

    def __init__(
        self,
        namespace: str,
        version: str,
        pool_size: int,
        write: Callable[[str], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._namespace = namespace
        self._version = version
        self._pool_size = pool_size
        self._write = write
        self._clock = clock
        self._lock = threading.Lock()
        self._interval = _Interval()
        self._stopped = threading.Event()

    def add(self, kind: str, latency_s: float, store_s: float, failed: bool) -> None:
        """Count one answered request of that class."""
        latency_ms, store_ms = _rounded(latency_s * 1e3), _rounded(store_s * 1e3)
        with self._lock:
            interval = self._interval
            interval.latency_ms.setdefault(kind, Counter())[latency_ms] += 1
            interval.store_ms.setdefault(kind, Counter())[store_ms] += 1
            interval.errors[kind] += failed

    def pool_used(self, connections: int) -> None:
        """Count that so many connections were in use at once."""
        self._interval.pool_in_use = max(self._interval.pool_in_use, connections)

    def pool_waited(self) -> None:
        """Count that a connection was wanted while all were in use."""
        with self._lock:
            self._interval.pool_waits += 1

    def flush(self) -> None:
        """Write what was counted since the last time."""
        with self._lock:
            interval, self._interval = self._interval, _Interval()
        for kind in sorted(interval.latency_ms):
            latency = _parts(interval.latency_ms[kind])
            store = _parts(interval.store_ms[kind])
            for part in range(max(len(latency), len(store))):
                metrics: dict[str, tuple[str, Any]] = {}
                if part < len(latency):
                    metrics["Latency"] = ("Milliseconds", latency[part])
                if part < len(store):
                    metrics["StoreTime"] = ("Milliseconds", store[part])
                if part == 0:
                    metrics["ServerErrors"] = ("Count", interval.errors[kind])
                self._line({"RequestClass": kind}, metrics)
        self._line(
            {},
            {
                "PoolSize": ("Count", self._pool_size),
                "PoolInUse": ("Count", interval.pool_in_use),
                "PoolWaits": ("Count", interval.pool_waits),
            },
        )

    def run(self, interval_s: float) -> None:
        """Flush every `interval_s` until `stop`, from a thread of its own."""
        threading.Thread(target=self._run, args=[interval_s], name="metrics", daemon=True).start()

    def stop(self) -> None:
        """Write what is left."""
        self._stopped.set()
        self.flush()

    def _run(self, interval_s: float) -> None:
        while not self._stopped.wait(interval_s):
            self.flush()

    def _line(self, dimensions: dict[str, str], metrics: dict[str, tuple[str, Any]]) -> None:
        directive = {
            "Namespace": self._namespace,
            "Dimensions": [list(dimensions)],
            "Metrics": [{"Name": name, "Unit": unit} for name, (unit, _) in metrics.items()],
        }
        line = {
            "_aws": {"Timestamp": round(self._clock() * 1e3), "CloudWatchMetrics": [directive]},
            "version": self._version,
            **dimensions,
            **{name: value for name, (_, value) in metrics.items()},
        }
        self._write(json.dumps(line, separators=(",", ":")) + "\n")


def _rounded(value_ms: float) -> float:
    return float(f"{value_ms:.2g}")


def _parts(counts: Counter[float]) -> list[dict[str, Any]]:
    """The values in the form of a CloudWatch histogram, as many as one line may hold each."""
    ordered = sorted(counts)
    return [
        {
            "Values": values,
            "Counts": [counts[value] for value in values],
            "Max": values[-1],
            "Min": values[0],
            "Count": sum(counts[value] for value in values),
            "Sum": round(sum(value * counts[value] for value in values), 3),
        }
        for values in (
            ordered[start : start + _VALUES_MAX] for start in range(0, len(ordered), _VALUES_MAX)
        )
    ]
