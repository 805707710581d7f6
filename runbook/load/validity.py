"""Whether a load step counts: the service must have been the limit, not the host or the driver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runbook.load.measurement import StepStats


@dataclass(frozen=True)
class Limits:
    """When a step is void. Defaults as measured on two cores (docs: the local region).

    `busy_fraction`: the share of the host's cores that may be busy in total; beyond it
    tasks, balancer and driver wait for each other. `quiet_throttle_pct`: when fewer
    CPU-quota periods than this were throttled, a missed SLO is the host's doing.
    `lag_share_of_slo`: the driver's own lateness (p99). It is no part of CloudWatch's response
    time; it only shifts arrivals, and a quarter of the SLO is far below the gap between two.
    `rate_tolerance_pct`: between the requests scheduled and those that left.
    `count_tolerance_pct`: between the balancer's count of requests and the driver's.
    """

    busy_fraction: float = 0.55
    quiet_throttle_pct: float = 5.0
    lag_share_of_slo: float = 0.25
    rate_tolerance_pct: float = 2.0
    failures_pct: float = 0.0
    count_tolerance_pct: float = 5.0


@dataclass(frozen=True)
class StepConditions:
    """What decides over a step. None means that the environment does not publish it.

    Times in ms, rates in requests/s, `throttled_pct` the share of CPU-quota periods in
    which the most throttled task had to wait.
    """

    slo_ms: float
    p95_ms: float | None
    requests: int
    failures: int
    offered_rps: float
    achieved_rps: float
    driver_lag_p99_ms: float
    host_busy_cores: float | None = None
    host_cores: int | None = None
    throttled_pct: float | None = None
    served: float | None = None
    balancer_requests: float | None = None


def void_reason(step: StepConditions, limits: Limits | None = None) -> str | None:
    """Why a step does not count, in one sentence, or None when it does."""
    return next(_reasons(step, limits or Limits()), None)


def driver_void_reason(
    step: StepStats, *, slo_ms: float, host_cores: int | None = None, limits: Limits | None = None
) -> str | None:
    """Why a step does not count, by what the driver knows alone; None when it does.

    `host_cores`: of the driver's machine when the service shares it, else None. Failures are a
    result here and void nothing; a step in which nothing was due cannot be void.
    """
    if step.requests == 0:
        return None
    # One that was due just before a step's end may leave just after it.
    strays = abs(step.achieved_rps - step.offered_rps) * (step.end_s - step.start_s) < 1.5
    conditions = StepConditions(
        slo_ms=slo_ms,
        p95_ms=0.0 if step.p95_ms is None else step.p95_ms,
        requests=step.requests,
        failures=0,
        offered_rps=step.offered_rps,
        achieved_rps=step.offered_rps if strays else step.achieved_rps,
        driver_lag_p99_ms=step.lag_p99_ms,
        host_busy_cores=step.host_busy_cores,
        host_cores=host_cores,
    )
    return void_reason(conditions, limits)


def _reasons(step: StepConditions, limits: Limits) -> Iterator[str]:
    """Everything that is wrong with a step, the most fundamental first."""
    if step.requests == 0 or step.p95_ms is None:
        yield "no response time was published for this period"
        return
    if step.failures > step.requests * limits.failures_pct / 100.0:
        yield f"{step.failures} of {step.requests} requests failed"
    missing_rps = abs(step.achieved_rps - step.offered_rps)
    if missing_rps > step.offered_rps * limits.rate_tolerance_pct / 100.0:
        yield f"the driver sent {step.achieved_rps:.1f} of {step.offered_rps:.1f} requests/s"
    allowed_lag_ms = limits.lag_share_of_slo * step.slo_ms
    if step.driver_lag_p99_ms > allowed_lag_ms:
        yield (
            f"the driver was late: p99 {step.driver_lag_p99_ms:.1f} ms, "
            f"allowed {allowed_lag_ms:.1f} ms"
        )
    if step.host_busy_cores is not None and step.host_cores:
        allowed_cores = limits.busy_fraction * step.host_cores
        if step.host_busy_cores > allowed_cores:
            yield (
                f"the host was the limit: {step.host_busy_cores:.2f} of {step.host_cores} cores "
                f"busy, allowed {allowed_cores:.2f}"
            )
    if step.balancer_requests is not None and step.served is not None:
        # A balancer counts a request when it comes in or when it is answered: either will do.
        apart = min(abs(step.balancer_requests - count) for count in (step.served, step.requests))
        if apart > step.requests * limits.count_tolerance_pct / 100.0:
            yield (
                f"the balancer counted {step.balancer_requests:.0f} requests, the driver "
                f"{step.requests}: someone else sends too, or metrics are missing"
            )
    quiet = step.throttled_pct is not None and step.throttled_pct < limits.quiet_throttle_pct
    if quiet and step.p95_ms > step.slo_ms:
        yield (
            f"p95 {step.p95_ms:.1f} ms with {step.throttled_pct:.1f} % throttled periods: "
            "the host, not the CPU quota, was the limit"
        )
