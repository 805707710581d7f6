"""The numbers the local region runs with, and which of them compress AWS's time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

AWS_METRIC_PERIOD_S = 60
AWS_ALARM_HIGH_PERIODS = 3
AWS_ALARM_LOW_PERIODS = 15


@dataclass(frozen=True)
class Settings:
    """Periods are seconds, counts of periods say so.

    `alarm_high_periods` is what AWS is reported to use for target tracking's AlarmHigh;
    `alarm_low_periods` is compressed (AWS is reported to use 15), so that a scale-in is seen
    within a minute. Reports print both (`compression`).
    """

    region: str = "eu-west-1"
    account_id: str = "000000000000"
    period_s: int = 10
    alarm_high_periods: int = AWS_ALARM_HIGH_PERIODS
    alarm_low_periods: int = 6
    publish_delay_s: float = 2.0
    """Metering has put a period's data this long after its end; alarms are evaluated then."""
    report_zero_requests: bool = True
    """RequestCountPerTarget is 0, not missing, in a quiet period (AWS's pages disagree)."""
    reconcile_interval_s: float = 0.2
    stabilise_timeout_s: float = 420.0
    """How long CloudFormation waits for an ECS deployment (AWS: 3 hours)."""
    stop_timeout_s: float = 8.0
    container_engine: str = ""
    """`docker` or `podman`: tasks are containers of their images. Empty: tasks are processes."""

    def compression(self) -> dict[str, Any]:
        """Local numbers beside AWS's, for reports: local reaction times are not AWS's."""
        return {
            "metric_period_s": self.period_s,
            "aws_metric_period_s": AWS_METRIC_PERIOD_S,
            "alarm_high_periods": self.alarm_high_periods,
            "aws_alarm_high_periods": AWS_ALARM_HIGH_PERIODS,
            "alarm_low_periods": self.alarm_low_periods,
            "aws_alarm_low_periods": AWS_ALARM_LOW_PERIODS,
            "health_check_time_factor": self.period_s / AWS_METRIC_PERIOD_S,
        }
