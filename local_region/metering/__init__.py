"""Metering: what balancer, tasks and machine did in each period, as CloudWatch metrics."""

from local_region.metering.metering import Metering, start

__all__ = ["Metering", "start"]
