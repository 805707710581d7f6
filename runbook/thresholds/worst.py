"""The worst lower bound of c_SLO over the task counts that may run, measured or not. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from runbook.capacity.curve import CapacityCurve, CountCurve
from runbook.errors import InputInvalid, MeasurementVoid
from runbook.thresholds.bounds import Constraints, Maximum, bounds, maximum

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
    worst, most, findings = _settled(curve, known, constraints, current)
    return worst, most, [*most.findings, *findings, *_weakness(worst.count)]


def _settled(
    curve: CapacityCurve,
    known: Sequence[CountCurve],
    constraints: Constraints,
    current: Mapping[str, float],
) -> tuple[Worst, Maximum, list[str]]:
    """The fewest tasks at most that carry the peak by the bound that so many tasks have.

    More tasks may lower the bound that their number came from, so it is asked again until it
    stands, or until the law says that no number of tasks carries the peak.
    """
    headroom = constraints.headroom(curve.period_s)
    peak_rps = constraints.expected_peak_rps or 0.0
    tasks = max(constraints.min_tasks, 1)
    while True:
        worst, findings = _within(curve, known, constraints.min_tasks, tasks)
        rate_rps = worst.lo_per_task_rps * headroom
        most = maximum(constraints, current, rate_rps, curve.task_cpu)
        # The law is asked only beyond what is known: below, fewer tasks may carry more in all.
        beyond = tasks >= known[-1].tasks and tasks * rate_rps < peak_rps
        if beyond and headroom * _reach_rps(curve, known, tasks) <= peak_rps:
            return _overloaded(curve, known, constraints, current)
        if most.tasks <= tasks:
            return worst, most, findings
        tasks = most.tasks


def _overloaded(
    curve: CapacityCurve,
    known: Sequence[CountCurve],
    constraints: Constraints,
    current: Mapping[str, float],
) -> tuple[Worst, Maximum, list[str]]:
    """As many tasks as carry the most, for a peak that no number of them carries."""
    headroom, fewest = constraints.headroom(curve.period_s), max(constraints.min_tasks, 1)
    fitting = bounds(constraints, curve.task_cpu)
    fits = fitting[0].tasks if fitting else math.inf
    # Without the peak: what is configured, or the bound that was asked for.
    without = replace(constraints, expected_peak_rps=None)
    kept = maximum(without, current, known[0].lo_per_task_rps * headroom, curve.task_cpu)
    best = curve.scalability.best_tasks if curve.scalability else None
    turns = () if best is None else (math.floor(best), math.ceil(best))
    totals_rps = {}
    for wanted in sorted({kept.tasks, *(count.tasks for count in known), *turns}):
        tasks = int(min(max(wanted, fewest), fits))
        worst, _ = _within(curve, known, constraints.min_tasks, tasks)
        totals_rps[tasks] = tasks * worst.lo_per_task_rps * headroom
    tasks = max(totals_rps, key=lambda count: totals_rps[count])
    worst, findings = _within(curve, known, constraints.min_tasks, tasks)
    reach_rps = headroom * _reach_rps(curve, known, tasks)
    short = (
        f"A peak of {constraints.expected_peak_rps:g} requests/s cannot be carried by more tasks: "
        f"with headroom {_tasks(tasks, tasks)} carry {totals_rps[tasks]:.0f} requests/s, and by "
        f"the scalability law more of them never more than {reach_rps:.0f}; find what the tasks "
        "share (the store, for one) and let it take more, or make requests cheaper, then measure "
        "again: runbook run 20_load_test"
    )
    why = (
        f"a peak of {constraints.expected_peak_rps:g} requests/s is more than any number of tasks "
        f"carries; {_tasks(tasks, tasks)} carry {totals_rps[tasks]:.0f} requests/s with headroom"
    )
    fit = (f"{bound.tasks} tasks fit: {bound.why}" for bound in fitting)
    return worst, Maximum(tasks, why, (short, *fit)), findings


def _reach_rps(curve: CapacityCurve, known: Sequence[CountCurve], tasks: int) -> float:
    """The total that this many tasks, or any more of them, carry at most by the law."""
    law, highest = curve.scalability, known[-1]
    if law is None or (law.contention <= 0 and law.coherency <= 0):
        return math.inf
    of_law = highest.lo_per_task_rps * highest.tasks / law.total_rps(highest.tasks)
    from_tasks = max(tasks, highest.tasks)
    best = law.best_tasks
    if best is None:
        return of_law * law.rate_rps / law.contention
    return of_law * max(
        law.total_rps(max(from_tasks, turn)) for turn in (math.floor(best), math.ceil(best))
    )


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
                f"arrivals further{_no_contention(curve)}"
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


def _no_contention(curve: CapacityCurve) -> str:
    """Whether the counts measured speak for no contention; a lower bound tells nothing of it."""
    if curve.scalability is not None:
        return " and the counts measured show no contention"
    usable = sum(not count.censored for count in curve.counts)
    if usable > 1:
        return "; the curve has no scalability law, so contention cannot be told"
    return (
        f"; contention cannot be told from {'one count' if usable else 'lower bounds'}: measure "
        "another count, runbook run 20_load_test with task_counts"
    )


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
