"""How well the capacity is predicted: `python bench/capacity.py [LOAD_TEST.json ...]`.

Of each load test given, every task count in turn is held back: the queueing model is fitted to the
others and predicts c_SLO for it. Then half of the steps of each count, drawn at random several
times: the model is fitted to the other half and predicts their p95. Of what it predicts it knows
the task count and when requests arrive, nothing that was measured there. A model that is refused
predicts nothing, and that is a goal missed too.

Because nobody knows the true capacity of a real service, whole load tests of simulated services
follow, run by the load test's own protocol, which places its steps itself, and judged by a truth
from a far longer simulation: one service that is a queue of the model's kind, and one that is not.
How often the model is refused there is told; a goal for which nothing at all was found is missed.

A load test to feed it: `runbook run 20_load_test -p 'task_counts=[1, 2, 3]' -p load_budget_s=240`.
Exit code 1 when a goal is missed: c_SLO of an unseen task count within 10 %, p95 below the knee
within 15 % (medians), coverage 90 % (not shown to be less: the upper end of its Wilson interval).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from capacity_service import ALIKE, UNLIKE, Service, SimulatedRig  # noqa: E402

from runbook.capacity.curve import CapacityCurve  # noqa: E402
from runbook.capacity.experiment import ExperimentPlan, conduct  # noqa: E402
from runbook.capacity.fit import NEAR, fit_curve  # noqa: E402
from runbook.capacity.measured import LoadTest  # noqa: E402
from runbook.capacity.queue_bootstrap import bootstrap  # noqa: E402
from runbook.capacity.queue_fit import model_steps  # noqa: E402
from runbook.capacity.queue_model import QueueModel, fit_model, predicted_p95_ms  # noqa: E402
from runbook.capacity.queue_step import ModelStep  # noqa: E402
from runbook.capacity.sample import ALLOWED_SLOW_SHARE  # noqa: E402
from runbook.errors import RunbookError  # noqa: E402

SPLITS = 6
#: The task counts of a simulated load test, and those whose c_SLO is judged.
MEASURED, JUDGED = (1, 3), (1, 2, 3)


def _row(*cells: object) -> None:
    sys.stdout.write("| " + " | ".join(str(cell) for cell in cells) + " |\n")
    sys.stdout.flush()


def _head(*names: str) -> None:
    _row(*names)
    _row(*("---" for _ in names))


def _fit(test: LoadTest, steps: Sequence[ModelStep]) -> QueueModel | None:
    return fit_model(steps, share_cores=test.share_cores, slo_ms=test.slo_ms,
                     allowed_share=ALLOWED_SLOW_SHARE)  # fmt: skip


def held_out_counts(test: LoadTest) -> list[str]:
    """Print c_SLO predicted against measured for each count held back; the goals missed."""
    missed, steps = [], model_steps(test)
    _head("tasks held back", "c_SLO predicted", "95 %", "measured", "95 %", "off", "residuals")
    for tasks in test.task_counts:
        model = _fit(test, [step for step in steps if step.tasks != tasks])
        own = replace(test, steps=tuple(step for step in test.steps if step.tasks == tasks))
        measured = fit_curve(own, predict_up_to=1).counts[0]
        found = bootstrap(model).capacity(tasks) if model and not model.doubt else None
        if found is None or measured.direct is None:
            why = model.doubt if model else "too few steps"
            _row(tasks, f"nothing: {why or 'no crossing was measured'}", *[""] * 5)
            missed.append(f"c_SLO({tasks}): nothing predicted")
            continue
        rate, lo, hi = measured.direct
        off = found.rate_per_task_rps / rate - 1
        _row(tasks, f"{found.rate_per_task_rps:.1f}",
             f"{found.lo_per_task_rps:.1f}-{found.hi_per_task_rps:.1f}", f"{rate:.1f}",
             f"{lo:.1f}-{hi:.1f}", f"{off:+.1%}", f"{model.rms_residual:.1f}")  # fmt: skip
        missed += [f"c_SLO({tasks})"] if abs(off) > 0.10 else []
    return missed


def held_out_rates(test: LoadTest, curve: CapacityCurve) -> dict[int, list[float]]:
    """By task count: how far p95 below the knee is off, relative, in steps not fitted to.

    Next to the crossing p95 jumps from under 10 ms to over 50: there the share of slow requests
    can be predicted, p95 cannot, and c_SLO says it already.
    """
    rng, steps = np.random.default_rng(1), model_steps(test)
    below = {count.tasks: (1 - NEAR) * count.c_slo_per_task_rps for count in curve.counts}
    gaps: dict[int, list[float]] = {tasks: [] for tasks in test.task_counts}
    for _ in range(SPLITS):
        held: set[int] = set()
        for tasks in test.task_counts:
            own = [number for number, step in enumerate(steps) if step.tasks == tasks]
            held |= set(rng.choice(own, len(own) // 2, replace=False).tolist())
        model = _fit(test, [step for number, step in enumerate(steps) if number not in held])
        if model is None or model.doubt:
            continue
        calm = [s for s in (steps[n] for n in held) if s.rate_per_task_rps <= below[s.tasks]]
        for step, p95_ms in zip(calm, predicted_p95_ms(model, calm), strict=True):
            gaps[step.tasks].append(p95_ms / step.percentile_ms(95) - 1)
    return gaps


def held_out(test: LoadTest) -> list[str]:
    """Print both for a recorded load test; the goals missed."""
    missed = held_out_counts(test)
    sys.stdout.write(f"\np95 below the knee of steps not fitted to, {SPLITS} random halves\n\n")
    _head("tasks", "steps predicted", "p95 off (median)", "worst")
    for tasks, gaps in held_out_rates(test, fit_curve(test, predict_up_to=1)).items():
        if not gaps:
            _row(tasks, 0, "nothing predicted", "")
            missed.append(f"p95 with {tasks}: nothing predicted")
            continue
        off = np.abs(gaps)
        _row(tasks, len(gaps), f"{np.median(off):.1%}", f"{off.max():.1%}")
        missed += [f"p95 with {tasks}"] if np.median(off) > 0.15 else []
    return missed


def wilson(covered: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z = 1.959964
    middle = (covered + z**2 / 2) / (of + z**2)
    half = z / (of + z**2) * np.sqrt(covered * (of - covered) / of + z**2 / 4)
    return middle - half, middle + half


Found = dict[tuple[int, str], list[tuple[float, float, float]]]


def _collect(curve: CapacityCurve, found: Found) -> None:
    for count in curve.counts:
        high = count.hi_per_task_rps or np.inf
        reported = (count.c_slo_per_task_rps, count.lo_per_task_rps, high)
        found.setdefault((count.tasks, "reported"), []).append(reported)
        if count.direct:
            found.setdefault((count.tasks, "logistic fit alone"), []).append(count.direct)
    for item in curve.model.predictions if curve.model else ():
        predicted = (item.c_slo_per_task_rps, item.lo_per_task_rps, item.hi_per_task_rps)
        found.setdefault((item.tasks, "predicted"), []).append(predicted)


def simulated(service: Service, repeats: int, first_seed: int) -> list[str]:
    """Print what whole load tests of a simulated service find against its truth; goals missed."""
    truth = {tasks: service.c_slo_rps(tasks) for tasks in JUDGED}
    found: Found = {}
    gaps: list[float] = []
    nothing = refused = 0
    for seed in range(first_seed, first_seed + repeats):
        with tempfile.TemporaryDirectory() as folder:
            try:
                test = conduct(SimulatedRig(service, seed), ExperimentPlan(task_counts=MEASURED),
                               Path(folder), run_id=f"seed {seed}")  # fmt: skip
                curve = fit_curve(test, resamples=300, predict_up_to=max(JUDGED))
            except RunbookError as error:
                nothing += 1
                sys.stderr.write(f"seed {seed}: {error}\n")
                continue
            _collect(curve, found)
            refused += bool(curve.model is None or curve.model.doubt)
            gaps += [gap for some in held_out_rates(test, curve).values() for gap in some]
    sys.stdout.write(f"\n{service.name}: {repeats} load tests\n\n")
    _head("tasks", "c_SLO", "truth", "mean error", "error (SD)", "within 10 %", "interval width",
          "covers", "95 % of that")  # fmt: skip
    goals = [(tasks, "reported") for tasks in MEASURED]
    goals += [(tasks, "predicted") for tasks in JUDGED if tasks not in MEASURED]
    missed = [
        f"c_SLO({tasks}), {service.name}: nothing {how}"
        for tasks, how in goals
        if (tasks, how) not in found
    ]
    for (tasks, how), values in sorted(found.items()):
        rate, lo, hi = np.array(values).T
        covered = int(((lo <= truth[tasks]) & (truth[tasks] <= hi)).sum())
        low, high = wilson(covered, len(values))
        off = np.abs(rate / truth[tasks] - 1)
        _row(tasks, how, f"{truth[tasks]:.1f}", f"{rate.mean() / truth[tasks] - 1:+.1%}",
             f"{rate.std() / truth[tasks]:.1%}", f"{(off <= 0.10).mean():.0%}",
             f"{np.median(hi - lo) / truth[tasks]:.1%}", f"{covered} of {len(values)}",
             f"{low:.0%}-{high:.0%}")  # fmt: skip
        if how != "logistic fit alone" and high < 0.9:
            missed.append(f"coverage with {tasks}, {service.name}")
        if how == "predicted" and np.median(off) > 0.10:
            missed.append(f"c_SLO({tasks}), {service.name}")
    off = np.abs(gaps)
    told = f"off by {np.median(off):.1%} (median of {len(off)})" if gaps else "nothing predicted"
    stated = repeats - nothing
    share = f" ({refused / stated:.0%})" if stated else ""
    sys.stdout.write(
        f"\np95 below the knee of steps not fitted to: {told}; the model was refused in {refused} "
        f"of {stated}{share}; {nothing} of {repeats} ({nothing / repeats:.0%}) load tests stated "
        "no capacity\n"
    )
    if not gaps:
        missed.append(f"p95, {service.name}: nothing predicted")
    elif np.median(off) > 0.15:
        missed.append(f"p95, {service.name}")
    return missed


def main() -> int:
    """Exit code 0, or 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("load_test", type=Path, nargs="*", help="load_test.json of 20_load_test")
    parser.add_argument("--repeats", type=int, default=60, help="load tests of each simulation")
    parser.add_argument("--first-seed", type=int, default=1, help="of the simulated load tests")
    options = parser.parse_args()
    missed = []
    for path in options.load_test:
        sys.stdout.write(f"\n{path}\n\n")
        missed += held_out(LoadTest.load(path))
    if options.repeats:
        for service in (ALIKE, UNLIKE):
            missed += simulated(service, options.repeats, options.first_seed)
    sys.stdout.write(f"\nmissed goals: {', '.join(missed) or 'none'}\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
