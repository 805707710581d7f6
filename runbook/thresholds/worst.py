"""The worst lower bound of c_SLO over the task counts that may run, measured or not. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from runbook.capacity.curve import CapacityCurve, CountCurve
from runbook.errors import InputInvalid, MeasurementVoid
from runbook.thresholds.bounds import Constraints, Maximum, maximum

#: An interval this many times as high as low is called weak.
_WIDE = 1.5


@dataclass(frozen=True)
class Worst:
    """What the target rests on.

    `count` is the measured (or predicted) count whose lower bound decides, `lo_per_task_rps`
    that bound (requests/s per task), lower than the count's own where more tasks than it are
    thought to carry less each; `why` says so, "" when the bound is the count's own.
    """

    count: CountCurve
    lo_per_task_rps: float
    why: str = ""


def worst_bound(
    curve: CapacityCurve, constraints: Constraints, current: Mapping[str, float]
) -> tuple[Worst, Maximum, list[str]]:
    """The worst bound for any count in [MinTasks, MaxTasks], MaxTasks, and what to say of both.

    A count that is neither measured nor predicted is taken to carry, each task, no less than the
    lower of its two neighbours that are: round robin smooths arrivals over more tasks, shared
    things hold more tasks back, and either way it lies between. Beyond the highest the
    scalability law goes on where it is falling. Below the lowest nothing says how much worse it
    may be: refused. Raises InputInvalid, MeasurementVoid.
    """
    known = sorted((*curve.counts, *predicted_counts(curve)), key=lambda count: count.tasks)
    everywhere = min(count.lo_per_task_rps for count in known)
    if not everywhere > 0 or not math.isfinite(everywhere):
        raise MeasurementVoid(
            "No threshold can be recommended",
            f"the lower bound of c_SLO is {everywhere:g} requests/s per task",
            "run the load test again: runbook run 20_load_test",
        )
    headroom = constraints.headroom(curve.period_s)
    most = maximum(constraints, current, everywhere * headroom, curve.task_cpu)
    worst, findings = _within(curve, known, constraints.min_tasks, most.tasks)
    if worst.lo_per_task_rps < everywhere:
        # So many tasks carry less each that the peak may need more of them.
        most = maximum(constraints, current, worst.lo_per_task_rps * headroom, curve.task_cpu)
        worst, findings = _within(curve, known, constraints.min_tasks, most.tasks)
    return worst, most, [*most.findings, *findings, *_weakness(worst.count)]


def predicted_counts(curve: CapacityCurve) -> list[CountCurve]:
    """Counts that were not measured, as the model has them; costs are the nearest measured's.

    None of a model that is not trusted.
    """
    if curve.model is None or curve.model.doubt:
        return []
    made = []
    for item in curve.model.predictions:
        near = min(curve.counts, key=lambda count: abs(count.tasks - item.tasks))
        made.append(
            replace(
                near,
                tasks=item.tasks,
                c_slo_per_task_rps=item.c_slo_per_task_rps,
                lo_per_task_rps=item.lo_per_task_rps,
                hi_per_task_rps=item.hi_per_task_rps,
                censored=False,
                points=(),
                void=(),
            )
        )
    return made


def _within(
    curve: CapacityCurve, known: Sequence[CountCurve], fewest: int, most: int
) -> tuple[Worst, list[str]]:
    """The worst of the counts from `fewest` to `most`, with the assumptions that it takes."""
    lowest, highest = known[0], known[-1]
    fewest = max(fewest, 1)
    if fewest < lowest.tasks:
        raise InputInvalid(
            "No threshold can be recommended",
            f"{fewest} task(s) may run and fewer than {lowest.tasks} were not measured: one of "
            "few tasks carries less than one of many, nobody knows by how much",
            f"measure {fewest} task(s): runbook run 20_load_test with task_counts, or let "
            f"MinTasks be {lowest.tasks}",
        )
    candidates = [Worst(c, c.lo_per_task_rps) for c in known if fewest <= c.tasks <= most]
    findings = []
    for below, above in pairwise(known):
        first, last = max(below.tasks + 1, fewest), min(above.tasks - 1, most)
        if first > last:
            continue
        lower = min(below, above, key=lambda count: count.lo_per_task_rps)
        candidates.append(
            Worst(lower, lower.lo_per_task_rps, f"the bound for {_tasks(first, last)}")
        )
        findings.append(
            f"{_tasks(first, last)} were neither measured nor predicted: taken to carry no less "
            f"each than the worse of {below.tasks} and {above.tasks}, at least "
            f"{lower.lo_per_task_rps:.1f} requests/s"
        )
    if most > highest.tasks:
        beyond = _beyond(curve, highest, most)
        candidates.append(beyond)
        findings.append(
            f"{_tasks(max(highest.tasks + 1, fewest), most)} were not measured: "
            + (
                f"by the scalability law each of {most} carries "
                f"{1 - beyond.lo_per_task_rps / highest.lo_per_task_rps:.0%} less than each of "
                f"{highest.tasks}"
                if beyond.lo_per_task_rps < highest.lo_per_task_rps
                else f"c_SLO is assumed not to fall beyond {highest.tasks}, as round robin smooths "
                "arrivals further and the counts measured show no contention"
            )
        )
    worst = min(candidates, key=lambda item: item.lo_per_task_rps)
    if worst.count not in curve.counts:
        findings.append(
            f"c_SLO({worst.count.tasks}) was not measured: the queueing model predicts it from "
            "the counts that were"
        )
    return worst, findings


def _beyond(curve: CapacityCurve, highest: CountCurve, most: int) -> Worst:
    """The bound for more tasks than are known: as the law falls, never as it rises."""
    law, lo = curve.scalability, highest.lo_per_task_rps
    why = f"the bound for up to {most} tasks"
    if law is None:
        return Worst(highest, lo, why)
    share = (law.total_rps(most) / most) / (law.total_rps(highest.tasks) / highest.tasks)
    if share >= 1.0:
        return Worst(highest, lo, why)
    return Worst(highest, lo * share, f"{why}, {share:.0%} of it by the scalability law")


def _tasks(first: int, last: int) -> str:
    return f"{first} tasks" if first == last else f"{first} to {last} tasks"


def _weakness(count: CountCurve) -> list[str]:
    if count.censored:
        return [f"c_SLO({count.tasks}) is a lower bound: the service can carry more than stated"]
    if (count.hi_per_task_rps or 0.0) > _WIDE * count.lo_per_task_rps:
        return [
            f"weak: c_SLO({count.tasks}) is only known to lie within {count.interval} requests/s "
            "per task; a longer load test (load_budget_s) narrows that"
        ]
    return []
