"""c_SLO of one task count from its own steps alone: the logistic fit, or a lower bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runbook.capacity.crossing import Crossing, StepBlocks, find_crossing
from runbook.capacity.curve import VoidStep
from runbook.capacity.measured import LoadTest
from runbook.capacity.sample import ALLOWED_SLOW_SHARE, MIN_BLOCKS, Sample
from runbook.errors import MeasurementVoid, SloMissed

#: Steps within this fraction of c_SLO are "near": the interval rests on them.
NEAR = 0.12
#: They must be two steps' worth of blocks: with one, nobody knows how much steps differ.
MIN_NEAR_BLOCKS = 2 * MIN_BLOCKS
#: Below this share of a task's CPU, never having left the SLO says too little.
MIN_CENSORED_UTILISATION = 0.6
#: With more resamples than this without a crossing the interval is weak; with half, it is none.
_UNRESOLVED_WEAK, _UNRESOLVED_VOID = 0.05, 0.5
_TOLD_REASONS = 2
"""Of why steps are void; a table has them all."""


@dataclass(frozen=True)
class Direct:
    """c_SLO in requests/s per task with its interval; `hi` is None where it is a lower bound.

    `crossing` is the fit, None where there is none; `blocks` counts the blocks of time near
    c_SLO; `notes` say what weakens it.
    """

    rate: float
    lo: float
    hi: float | None
    crossing: Crossing | None
    blocks: int
    notes: tuple[str, ...]


def fit_direct(
    test: LoadTest,
    tasks: int,
    samples: Sequence[Sample],
    void: Sequence[VoidStep],
    cost_s: float,
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> Direct:
    """c_SLO from the steps of one task count; `cost_s` is the CPU a request costs.

    Raises MeasurementVoid when void steps leave it open or slowness does not follow the load,
    SloMissed when every rate misses the SLO.
    """
    if len(samples) < 3:
        raise _void(tasks, void, f"only {len(samples)} of {len(samples) + len(void)} steps count")
    cut = [sample.blocks(test.slo_ms) for sample in samples]
    found = find_crossing(
        cut, ALLOWED_SLOW_SHARE, confidence=confidence, resamples=resamples, seed=seed
    )
    missed = [step.rate_rps for step in cut if step.share > ALLOWED_SLOW_SHARE]
    if len(missed) == len(cut):
        raise SloMissed(
            f"The SLO of {test.slo_ms:g} ms is missed with {tasks} task(s) at every rate",
            f"even {min(missed):.1f} requests/s per task were too many",
            "find what is slow before scaling: look at the service itself, its store, its CPU",
        )
    if not missed or found is None or found.rate_rps > max(step.rate_rps for step in cut):
        return _lower_bound(test, tasks, cut, missed, void, found, cost_s)
    if found.unresolved > _UNRESOLVED_VOID:
        raise _void(tasks, void, _no_rise(cut))
    rate = found.rate_rps
    near = [step for step in cut if abs(step.rate_rps - rate) <= NEAR * rate]
    notes = _doubts(tasks, near, void, rate)
    if found.unresolved > _UNRESOLVED_WEAK:
        notes.append(f"weak interval: {found.unresolved:.0%} of the resamples had no crossing")
    if found.lo_rps <= 0:
        raise _void(
            tasks, void, f"the interval of c_SLO around {rate:.1f} reaches {found.lo_rps:.1f}"
        )
    # Resamples may extrapolate; nobody carries more than the CPU share allows.
    hi = min(found.hi_rps, max(test.share_cores / cost_s, rate))
    return Direct(rate, found.lo_rps, hi, found, _blocks(near), tuple(notes))


def _lower_bound(
    test: LoadTest,
    tasks: int,
    cut: Sequence[StepBlocks],
    missed: Sequence[float],
    void: Sequence[VoidStep],
    found: Crossing | None,
    cost_s: float,
) -> Direct:
    """c_SLO when the SLO was never left for good: the highest rate up to which it was kept.

    A rate that missed it ends that: what is kept above is no proof of what is kept below.
    """
    lowest_miss = min(missed, default=float("inf"))
    kept = [
        step.rate_rps
        for step in cut
        if step.share <= ALLOWED_SLOW_SHARE and step.rate_rps < lowest_miss
    ]
    if not kept:
        raise _void(tasks, void, _no_rise(cut))
    rate = max(kept)
    used = rate * cost_s / test.share_cores
    if used < MIN_CENSORED_UTILISATION and (void or missed):
        raise _void(
            tasks,
            void,
            f"the highest rate up to which the SLO was kept, {rate:.1f} requests/s per task, "
            f"uses only {used:.0%} of a task's CPU" + (f"; {_no_rise(cut)}" if missed else ""),
        )
    near = [step for step in cut if abs(step.rate_rps - rate) <= NEAR * rate]
    notes = _doubts(tasks, near, void, rate)
    notes.append("the SLO was never left for good: c_SLO is a lower bound")
    lo = min(rate, found.lo_rps) if found else rate
    if lo <= 0:
        raise _void(tasks, void, f"the interval of c_SLO around {rate:.1f} reaches {lo:.1f}")
    return Direct(rate, lo, None, found, _blocks(near), tuple(notes))


def _no_rise(cut: Sequence[StepBlocks]) -> str:
    """That slowness does not follow the load, with the shares that show it."""
    shares = ", ".join(
        f"{100 * step.share:.1f} % at {step.rate_rps:.0f}/s"
        for step in sorted(cut, key=lambda step: step.rate_rps)
    )
    return (
        f"the share of slow requests does not rise with the rate ({shares}): something else than "
        "load makes them slow"
    )


def _blocks(steps: Sequence[StepBlocks]) -> int:
    return sum(len(step.requests) for step in steps)


def _doubts(
    tasks: int, near: Sequence[StepBlocks], void: Sequence[VoidStep], rate: float
) -> list[str]:
    """What weakens the interval. Raises MeasurementVoid when void steps were the decisive ones."""
    decisive = [step for step in void if abs(step.rate_per_task_rps - rate) <= NEAR * rate]
    count = _blocks(near)
    if count >= MIN_NEAR_BLOCKS:
        return []
    if decisive:
        raise _void(
            tasks,
            decisive,
            f"{len(decisive)} steps near the crossing at {rate:.1f} requests/s per task are void "
            f"and the rest give {count} blocks of time, {MIN_NEAR_BLOCKS} are needed",
        )
    return [
        f"weak interval: {count} blocks of time near the crossing, {MIN_NEAR_BLOCKS} needed "
        f"({MIN_BLOCKS} a step, two steps)"
    ]


def _void(tasks: int, void: Sequence[VoidStep], why: str) -> MeasurementVoid:
    told = sorted({step.reason for step in void})
    more = [f"and {len(told) - _TOLD_REASONS} more like these"] if len(told) > _TOLD_REASONS else []
    reasons = "; ".join([*told[:_TOLD_REASONS], *more])
    return MeasurementVoid(
        f"No capacity can be stated for {tasks} task(s)",
        f"{why} ({reasons})" if reasons else why,
        "end what else uses this machine, then run the load test again: runbook run 20_load_test",
    )
