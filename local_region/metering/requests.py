"""Requests, added up per period into the metrics of AWS/ApplicationELB."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from local_region.metering.access_log import Request

NAMESPACE = "AWS/ApplicationELB"
BIN_RATIO = 1.005
"""Neighbouring bins of response times differ by half a per cent: a percentile is right to a
quarter of that way up or down, and ten seconds of traffic are a few hundred values."""
_LOG_RATIO = math.log(BIN_RATIO)


@dataclass(frozen=True)
class Series:
    """One datapoint of one metric: values, each seen `counts` times."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    unit: str
    values: tuple[float, ...]
    counts: tuple[float, ...]


@dataclass
class _Tally:
    """What one load balancer, or one target group behind it, did in one period."""

    requests: int = 0
    per_target: float = 0.0
    response_us: Counter[int] = field(default_factory=Counter)
    target_codes: Counter[int] = field(default_factory=Counter)
    balancer_codes: Counter[int] = field(default_factory=Counter)


def response_bin(target_us: int) -> int:
    """The bin of a response time: below 200 microseconds its own value, above a power of 1.005."""
    if target_us < 200:
        return target_us
    return 200 + round(math.log(target_us / 200) / _LOG_RATIO)


def bin_value_s(number: int) -> float:
    """The response time a bin stands for, in seconds."""
    return number / 1e6 if number < 200 else 200e-6 * BIN_RATIO ** (number - 200)


class RequestTally:
    """Requests by period, load balancer and target group. `period_s` seconds, aligned to the epoch.

    `healthy(target group full name)` is the number of targets a request could have gone to.
    """

    def __init__(self, period_s: float, healthy: Callable[[str], int]) -> None:
        self._period_s, self._healthy = period_s, healthy
        self._periods: dict[float, dict[tuple[str, str | None], _Tally]] = {}

    def add(self, request: Request) -> None:
        """Book a request on the period in which it was done."""
        period = math.floor(request.at / self._period_s) * self._period_s
        tallies = self._periods.setdefault(period, defaultdict(_Tally))
        keys: list[tuple[str, str | None]] = [(request.load_balancer, None)]
        if request.target_group is not None:
            keys.append((request.load_balancer, request.target_group))
        for key in keys:
            self._book(tallies[key], request)

    def take(self, before: float) -> list[tuple[float, list[Series]]]:
        """The periods that began before `before` (epoch seconds), removed from the tally.

        Normally that is one; a line that came late adds an older one, to be merged there.
        """
        done = sorted(start for start in self._periods if start < before)
        return [(start, _series(self._periods.pop(start))) for start in done]

    def _book(self, tally: _Tally, request: Request) -> None:
        # ALB counts a request once a target has been chosen for it.
        if request.target is not None:
            tally.requests += 1
            healthy = self._healthy(request.target_group or "")
            tally.per_target += 1 / healthy if healthy else 0.0
        if request.from_target:
            tally.target_codes[request.status // 100] += 1
            if request.target_us is not None:
                tally.response_us[response_bin(request.target_us)] += 1
        elif request.details != "direct_response":
            tally.balancer_codes[request.status // 100] += 1


def _series(tallies: Mapping[tuple[str, str | None], _Tally]) -> list[Series]:
    found = []
    groups: dict[str, list[_Tally]] = defaultdict(list)
    for (balancer, group), tally in tallies.items():
        if group is None:
            found += _of_tallies({"LoadBalancer": balancer}, [tally], per_target=False)
        else:
            both = {"LoadBalancer": balancer, "TargetGroup": group}
            found += _of_tallies(both, [tally], per_target=True)
            groups[group].append(tally)
    for group, of_group in groups.items():
        found += _of_tallies({"TargetGroup": group}, of_group, per_target=True)
    return found


def _of_tallies(
    dimensions: Mapping[str, str], tallies: Iterable[_Tally], *, per_target: bool
) -> list[Series]:
    requests, each = 0, 0.0
    times: Counter[int] = Counter()
    codes: Counter[str] = Counter()
    for tally in tallies:
        requests += tally.requests
        each += tally.per_target
        times += tally.response_us
        for hundreds, count in tally.target_codes.items():
            codes[f"HTTPCode_Target_{hundreds}XX_Count"] += count
        if not per_target:
            for hundreds, count in tally.balancer_codes.items():
                if hundreds in (4, 5):
                    codes[f"HTTPCode_ELB_{hundreds}XX_Count"] += count
    found = []
    if times:
        bins = sorted(times)
        values = tuple(bin_value_s(number) for number in bins)
        counts = tuple(float(times[number]) for number in bins)
        found.append(Series(NAMESPACE, "TargetResponseTime", dimensions, "Seconds", values, counts))
    if requests:
        found.append(_count("RequestCount", dimensions, requests))
        if per_target:
            found.append(per_target_series(dimensions, each))
    found += [_count(name, dimensions, count) for name, count in sorted(codes.items())]
    return found


def per_target_series(dimensions: Mapping[str, str], value: float) -> Series:
    """RequestCountPerTarget: only its Sum means something."""
    return Series(NAMESPACE, "RequestCountPerTarget", dimensions, "Count", (value,), (1.0,))


def _count(name: str, dimensions: Mapping[str, str], count: int) -> Series:
    """A counter as ALB reports it: as many samples of 1, so Sum and SampleCount agree."""
    return Series(NAMESPACE, name, dimensions, "Count", (1.0,), (float(count),))
