"""What the past days were like: response time against the SLO, errors, alarms, scaling."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd

from runbook.environment import Environment
from runbook.errors import InputInvalid
from runbook.metrics.cloudwatch import service_metrics
from runbook.metrics.history import alarm_history, scaling_activities
from runbook.thresholds.configured import current_values

#: Datapoints of a minute are kept for so long (CloudWatch User Guide, "Metrics retention").
DAYS_MAX = 15.0


@dataclass(frozen=True)
class Review:
    """Frames as `service_metrics`, `alarm_history` and `scaling_activities` give them.

    `slo_ms` is the p95 that is promised, `budget_pct` the share of requests that may lie in
    periods beyond it, `errors_pct` the share that may be answered with 5xx.
    """

    metrics: pd.DataFrame
    alarms: pd.DataFrame
    activities: pd.DataFrame
    slo_ms: float
    budget_pct: float
    errors_pct: float

    @property
    def requests(self) -> float:
        """Requests that reached a task."""
        return float(self.metrics["requests"].sum())

    @property
    def violating_pct(self) -> float:
        """Requests in periods whose p95 was over the SLO, percent; 0 without requests."""
        slow = self.metrics["requests"][self.metrics["trt_p95_ms"] > self.slo_ms]
        return _percent(float(slow.sum()), self.requests)

    @property
    def failed_pct(self) -> float:
        """Requests answered with 5xx by a task or the balancer, percent."""
        by_balancer = float(self.metrics["elb_5xx"].sum())
        failed = float(self.metrics["target_5xx"].sum()) + by_balancer
        return _percent(failed, self.requests + by_balancer)

    def problems(self) -> list[str]:
        """Promises that were broken."""
        found = []
        if self.violating_pct > self.budget_pct:
            found.append(
                f"{self.violating_pct:.2f} % of the requests lie in periods whose p95 was over "
                f"{self.slo_ms:g} ms; {self.budget_pct:g} % may"
            )
        if self.failed_pct > self.errors_pct:
            found.append(
                f"{self.failed_pct:.2f} % of the requests were answered with 5xx; "
                f"{self.errors_pct:g} % may"
            )
        return found

    def story(self) -> list[str]:
        """What there was to see."""
        if not self.requests:
            return ["No request came, so nothing can be said of the response time."]
        went_off = int((self.alarms["to_state"] == "ALARM").sum())
        return [
            f"{self.requests:.0f} requests, at most {self.metrics['rate_rps'].max():.1f} a second "
            f"in a metric period",
            f"{went_off} times a scaling alarm went off, {len(self.activities)} scaling activities",
        ]

    def days(self) -> pd.DataFrame:
        """A row a day (UTC): requests, peak_rps, worst_p95_ms, violating_pct, failed, tasks_max."""
        frame = self.metrics
        slow = frame["requests"].where(frame["trt_p95_ms"] > self.slo_ms, 0.0)
        daily = pd.DataFrame(
            {
                "requests": frame["requests"],
                "slow": slow,
                "peak_rps": frame["rate_rps"],
                "worst_p95_ms": frame["trt_p95_ms"],
                "failed": frame["target_5xx"].fillna(0.0) + frame["elb_5xx"].fillna(0.0),
                "tasks_max": frame["running"],
            }
        ).groupby(pd.DatetimeIndex(frame.index).strftime("%Y-%m-%d"))
        found = daily.max()
        for column in ("requests", "slow", "failed"):
            found[column] = daily[column].sum()
        found["violating_pct"] = (100.0 * found.pop("slow") / found["requests"]).fillna(0.0)
        return found.rename_axis("day").reset_index()


def look_back(
    environment: Environment,
    *,
    days: float,
    budget_pct: float,
    errors_pct: float,
    now: datetime | None = None,
) -> Review:
    """Read the past `days` of the environment's service; the SLO is its P95StepThresholdS.

    Raises InputInvalid for days that CloudWatch no longer has, StackNotFound, AwsCallFailed.
    """
    if not 0 < days <= DAYS_MAX:
        raise InputInvalid(
            f"{days:g} days cannot be looked back on",
            f"CloudWatch keeps datapoints of a minute for {DAYS_MAX:g} days",
            "give fewer days",
        )
    end = now or datetime.now(UTC)
    start = end - timedelta(days=days)
    return Review(
        service_metrics(environment, start, end),
        alarm_history(environment, start, end),
        scaling_activities(environment, start, end),
        slo_ms=1000.0 * current_values(environment)["P95StepThresholdS"],
        budget_pct=budget_pct,
        errors_pct=errors_pct,
    )


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole else 0.0
