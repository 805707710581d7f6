"""What the driver and its host spend: CPU seconds, read at each step's edges."""

from __future__ import annotations

import resource
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Account:
    """CPU seconds spent until `at_s`, a second of the run: the driver's own, the host's."""

    at_s: float
    own_cpu_s: float
    busy_cpu_s: float

    @classmethod
    def taken(cls, at_s: float) -> Account:
        """The account as it stands now."""
        return cls(at_s, own_cpu_s(), busy_cpu_s())


def busy_cpu_s() -> float:
    """CPU seconds this host has spent on anything since it started, over all cores."""
    times = psutil.cpu_times()._asdict()
    busy = ("user", "nice", "system", "irq", "softirq", "steal")
    return float(sum(times.get(name, 0.0) for name in busy))


def own_cpu_s() -> float:
    """CPU seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
