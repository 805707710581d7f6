"""A real service's history: its balancer's `RequestCount` of the last days, from CloudWatch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runbook import aws
from runbook.environment import Environment
from runbook.errors import InputInvalid
from runbook.lab.rows import Rows
from runbook.metrics.cloudwatch import MetricQuery, get_metrics
from runbook.metrics.service import service_identity

PREFIX = "cloudwatch:"
MOST_DAYS = 455
#: How long CloudWatch keeps each period, in days (CloudWatch API reference, GetMetricStatistics).
KEPT = ((60, 15), (300, 63), (3600, MOST_DAYS))
_HOUR = timedelta(hours=1)
#: The latest periods are left out: what is not published yet would look like no requests.
_UNPUBLISHED_PERIODS = 3


def recorded_rows(
    environment: Environment,
    days: int,
    *,
    now: datetime | None = None,
    balancer: str | None = None,
    cloudwatch: Any = None,
) -> Rows:
    """The requests of the last `days` days, each part in the finest period that is still kept.

    A period without a datapoint had no requests: a load balancer reports only while requests
    flow. What lies before the first datapoint is left out. Raises InputInvalid without any.
    """
    balancer = balancer or service_identity(environment).balancer
    cloudwatch = cloudwatch or aws.client(environment, "cloudwatch")
    bands = _bands(environment, days, now or datetime.now(UTC))
    step_s = bands[-1][2]
    parts: list[pd.Series[float]] = []
    told, silent, periods = [], 0, 0
    for start, end, period_s in bands:
        query = MetricQuery(
            "requests",
            "AWS/ApplicationELB",
            "RequestCount",
            "Sum",
            {"LoadBalancer": balancer},
            period_s,
        )
        found = get_metrics(cloudwatch, [query], start, end)["requests"].dropna()
        if not parts and found.empty:
            continue
        first = start if parts else found.index[0]
        at = pd.date_range(first, end, freq=f"{period_s}s", inclusive="left")
        counts = found.reindex(at)
        silent += int(counts.isna().sum())
        periods += len(at)
        pieces = period_s // step_s
        fine = pd.date_range(at[0], periods=len(at) * pieces, freq=f"{step_s}s")
        spread = np.repeat(counts.fillna(0.0).to_numpy(dtype=np.float64) / pieces, pieces)
        parts.append(pd.Series(spread, fine))
        told.append(f"{period_s} s from {at[0]:%Y-%m-%d %H:%M}")
    if not parts:
        raise InputInvalid(
            f"CloudWatch has no history of environment {environment.name}",
            f"its load balancer reported no RequestCount in the last {days} days",
            "ask for more --days, or give a CSV",
        )
    notes = [f"RequestCount of {balancer}, in periods of {', '.join(told)} UTC"]
    if len(told) > 1:
        notes.append(f"counts of longer periods are spread evenly over {step_s} s")
    if silent:
        notes.append(
            f"{silent} of {periods} periods without a datapoint: no requests, as a load balancer"
            " reports only while requests flow"
        )
    whole = pd.concat(parts)
    requests = np.asarray(whole, dtype=np.float64)
    return Rows(pd.DatetimeIndex(whole.index), requests, tuple(notes), 0)


def write_rows(path: Path, rows: Rows) -> Path:
    """Write `timestamp,requests`, so that the history can be replayed without AWS.

    Raises InputInvalid where nothing can be written.
    """
    frame = pd.DataFrame({"timestamp": rows.stamps, "requests": rows.requests})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False, date_format="%Y-%m-%dT%H:%M:%SZ", float_format="%.10g")
    except OSError as error:
        raise InputInvalid(
            f"The history cannot be written to {path}",
            error.strerror or str(error),
            "name a file in a folder you may write to",
        ) from error
    return path


def _bands(
    environment: Environment, days: int, now: datetime
) -> list[tuple[datetime, datetime, int]]:
    """(start, end, period) from the oldest on: edges on whole hours, ends on whole periods."""
    if environment.is_local:
        kept: tuple[tuple[int, int], ...] = ((environment.metric_period_s, days),)
    else:
        kept = KEPT
    finest_s = kept[0][0]
    whole = now.timestamp() // finest_s - _UNPUBLISHED_PERIODS
    edge = datetime.fromtimestamp(whole * finest_s, UTC)
    bands = []
    for period_s, age in kept:
        oldest = now - timedelta(days=min(age, days))
        # A whole hour, one that is still kept.
        start = oldest.replace(minute=0, second=0, microsecond=0) + _HOUR
        if start < edge:
            bands.append((start, edge, period_s))
            edge = start
        if days <= age:
            break
    return bands[::-1]
