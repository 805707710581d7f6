"""What a load run measured, and its statistics: pure functions over recorded requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from runbook.errors import InputInvalid
from runbook.load.connection import FAILURE_NAMES, OVERFLOW, TIMED_OUT, UNFINISHED

Floats = NDArray[np.float64]
#: Histograms hold microseconds from 1 us to 60 s with three significant digits.
HISTOGRAM_RANGE_US = (1, 60_000_000)
HISTOGRAM_DIGITS = 3
PERCENTILES = (50, 95, 99)
#: With fewer requests a percentile rests on too few beyond it (ten, for these).
MIN_REQUESTS = {95: 200, 99: 1000}


@dataclass(frozen=True)
class Progress:
    """How far something long has come; seconds are estimates of the whole, not of a step."""

    phase: str
    message: str
    done_s: float
    total_s: float


@dataclass(frozen=True)
class RawLoad:
    """One row a request, in the order of the intended start; seconds after the run's start.

    `status` is the HTTP status, or one of the negative codes of `runbook.load.connection`.
    `kind` is the index of the request's kind in the plan; None: there is only one.
    """

    intended_s: Floats
    sent_s: Floats
    done_s: Floats
    status: NDArray[np.int16]
    kind: NDArray[np.int16] | None = None

    def __len__(self) -> int:
        return len(self.intended_s)

    def between(self, start_s: float, end_s: float) -> RawLoad:
        """The requests meant to start in [start_s, end_s)."""
        first, last = np.searchsorted(self.intended_s, [start_s, end_s])
        return self.where(slice(int(first), int(last)))

    def where(self, part: slice | NDArray[np.bool_]) -> RawLoad:
        """Some of the requests, in the same order."""
        kind = None if self.kind is None else self.kind[part]
        return RawLoad(
            self.intended_s[part], self.sent_s[part], self.done_s[part], self.status[part], kind
        )

    def by_class(self, classes: Sequence[str]) -> dict[str, RawLoad]:
        """The requests of each route class, given each kind's class; classes without any aside."""
        if self.kind is None or len(set(classes)) == 1:
            return {classes[0]: self} if len(self) else {}
        of_each = np.array(classes)[self.kind]
        return {name: self.where(of_each == name) for name in sorted(set(of_each.tolist()))}

    @property
    def succeeded(self) -> NDArray[np.bool_]:
        """Whether each request got a 2xx or 3xx answer."""
        return np.asarray((self.status >= 200) & (self.status < 400))

    @property
    def timed(self) -> NDArray[np.bool_]:
        """Which requests have a meaningful duration.

        Good answers, and those never given: their wait is a lower bound. Quick refusals
        would flatter the percentiles; they are counted as failures instead.
        """
        waited = (self.status == TIMED_OUT) | (self.status == UNFINISHED)
        return np.asarray(self.succeeded | waited)

    @property
    def latency_ms(self) -> Floats:
        """Milliseconds from the intended start to the whole answer, of all requests.

        A request that left a little early counts from when it left.
        """
        return (self.done_s - np.minimum(self.intended_s, self.sent_s)) * 1000.0

    @property
    def lag_ms(self) -> Floats:
        """How late the driver itself was: sent minus intended, in milliseconds."""
        return (self.sent_s - self.intended_s) * 1000.0

    def failure_kinds(self) -> dict[str, int]:
        """The failures by what happened: `HTTP 503`, `timed out`, ..."""
        codes, counts = np.unique(self.status[~self.succeeded], return_counts=True)
        return {
            FAILURE_NAMES.get(int(code), f"HTTP {int(code)}"): int(count)
            for code, count in zip(codes, counts, strict=True)
        }

    def save(self, path: Path) -> Path:
        """Write the arrays as a compressed `.npz`."""
        columns = {item.name: getattr(self, item.name) for item in fields(self)}
        np.savez_compressed(path, **{k: v for k, v in columns.items() if v is not None})
        return path

    @classmethod
    def load(cls, path: Path) -> RawLoad:
        """Read what `save` wrote. Raises InputInvalid."""
        try:
            with np.load(path) as content:
                known = {item.name for item in fields(cls)}
                return cls(**{name: content[name] for name in content.files if name in known})
        except (OSError, ValueError, TypeError) as error:
            raise InputInvalid(
                f"{path} holds no recorded requests",
                str(error),
                "run the load test again: runbook run 20_load_test",
            ) from error


@dataclass(frozen=True)
class StepStats:
    """One step as the driver saw it.

    `rate_rps` is the planned rate, `offered_rps` the scheduled arrivals, `achieved_rps`
    what left within the step, `served_rps` the good answers that came back within it.
    Percentiles are of the time from the intended start; None without a timed request.
    `lag_p95_ms`, `lag_p99_ms` are the driver's own lateness; cores are CPU seconds a second.
    `by_class` has requests, failures and percentiles of each route class, and which of these
    are weak.
    """

    label: str
    start_s: float
    end_s: float
    rate_rps: float
    requests: int
    offered_rps: float
    achieved_rps: float
    served_rps: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    failures: int
    lag_p95_ms: float
    lag_p99_ms: float
    driver_cpu_cores: float
    host_busy_cores: float
    failure_kinds: dict[str, int] = field(default_factory=dict)
    by_class: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def weak(self) -> str:
        """Which percentiles have too few requests behind them, in words; "" for none."""
        return weak_percentiles(self.requests)

    def to_dict(self) -> dict[str, Any]:
        """The statistics as JSON-able values."""
        return asdict(self)


def percentile_ms(values_ms: Floats, percent: float) -> float | None:
    """The nearest-rank percentile, None for no values."""
    if len(values_ms) == 0:
        return None
    return float(np.percentile(values_ms, percent, method="inverted_cdf"))


def weak_percentiles(requests: int) -> str:
    """Which percentiles are weak with this many requests, in words; "" for none."""
    return ", ".join(
        f"p{percent}: {requests} requests, {needed} needed"
        for percent, needed in MIN_REQUESTS.items()
        if requests < needed
    )


def _class_stats(part: RawLoad) -> dict[str, Any]:
    latency_ms = part.latency_ms[part.timed]
    return {
        "requests": len(part),
        "failures": int((~part.succeeded).sum()),
        **{f"p{percent}_ms": percentile_ms(latency_ms, percent) for percent in PERCENTILES},
        "weak": weak_percentiles(len(part)),
    }


def step_stats(
    raw: RawLoad,
    start_s: float,
    end_s: float,
    *,
    label: str,
    rate_rps: float,
    driver_cpu_cores: float,
    host_busy_cores: float,
    classes: Sequence[str] = ("read",),
) -> StepStats:
    """The statistics of the requests meant to start in [start_s, end_s).

    `classes` names the route class of each kind of request.
    """
    part = raw.between(start_s, end_s)
    seconds = max(end_s - start_s, 1e-9)
    latency_ms = part.latency_ms[part.timed]
    p50, p95, p99 = (percentile_ms(latency_ms, percent) for percent in PERCENTILES)
    left = (raw.sent_s >= start_s) & (raw.sent_s < end_s) & (raw.status != OVERFLOW)
    answered = (raw.done_s >= start_s) & (raw.done_s < end_s) & raw.succeeded
    return StepStats(
        label=label,
        start_s=start_s,
        end_s=end_s,
        rate_rps=rate_rps,
        requests=len(part),
        offered_rps=len(part) / seconds,
        achieved_rps=int(left.sum()) / seconds,
        served_rps=int(answered.sum()) / seconds,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        failures=int((~part.succeeded).sum()),
        lag_p95_ms=percentile_ms(part.lag_ms, 95) or 0.0,
        lag_p99_ms=percentile_ms(part.lag_ms, 99) or 0.0,
        driver_cpu_cores=driver_cpu_cores,
        host_busy_cores=host_busy_cores,
        failure_kinds=part.failure_kinds(),
        by_class={name: _class_stats(some) for name, some in part.by_class(classes).items()},
    )


def histogram(latency_ms: Floats) -> HdrHistogram:
    """A histogram of latencies in microseconds; values beyond 60 s count as 60 s."""
    low, high = HISTOGRAM_RANGE_US
    result = HdrHistogram(low, high, HISTOGRAM_DIGITS)
    micros = np.clip(np.rint(latency_ms * 1000.0), low, high).astype(np.int64)
    for value, count in zip(*np.unique(micros, return_counts=True), strict=True):
        result.record_value(int(value), int(count))
    return result


def merge(histograms: Sequence[HdrHistogram]) -> HdrHistogram:
    """One histogram of all: exact, as they share their buckets."""
    result = HdrHistogram(*HISTOGRAM_RANGE_US, HISTOGRAM_DIGITS)
    for item in histograms:
        result.add(item)
    return result
