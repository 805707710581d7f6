"""How capacity grows with the tasks: the universal scalability law (Gunther), and the knee."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Efficiency:
    """What each of `tasks` tasks carries, over what each of the fewest did, with its interval.

    Above 1 where round robin smooths arrivals more than the tasks get in each other's way.
    """

    tasks: int
    share: float
    lo: float
    hi: float


@dataclass(frozen=True)
class Scalability:
    """X(n) = rate * n / (1 + contention * (n - 1) + coherency * n * (n - 1)), requests/s.

    `residual_pct` is the largest gap to a given point. `efficiency` is that of the most tasks,
    `efficiencies` has each count's against the fewest.
    """

    rate_rps: float
    contention: float
    coherency: float
    residual_pct: float
    efficiency: float
    counts: tuple[int, ...]
    efficiencies: tuple[Efficiency, ...] = ()

    def total_rps(self, tasks: int) -> float:
        """The total rate that the law gives for a task count."""
        loss = 1.0 + self.contention * (tasks - 1) + self.coherency * tasks * (tasks - 1)
        return self.rate_rps * tasks / loss

    @property
    def best_tasks(self) -> float | None:
        """Beyond this many tasks more of them carry less; None: never."""
        if self.coherency <= 0:
            return None
        return float(np.sqrt(max(1.0 - self.contention, 0.0) / self.coherency))

    def sentence(self) -> str:
        """The finding, in words."""
        each = (
            ", ".join(
                f"{item.tasks} tasks {item.share:.0%} ({item.lo:.0%} to {item.hi:.0%})"
                for item in self.efficiencies
            )
            or f"{max(self.counts)} tasks {self.efficiency:.0%}"
        )
        told = f"scaling efficiency against {min(self.counts)} task(s): {each}"
        if self.contention < 0.005 and self.coherency < 0.0005:
            law = "nothing that the tasks share holds them back up to there"
        else:
            best = self.best_tasks
            end = "" if best is None else f"; beyond {best:.0f} tasks more of them would carry less"
            law = f"contention {self.contention:.1%}, coherency {self.coherency:.2%}{end}"
        return f"{told}: {law}; {self.fit_text}"

    @property
    def fit_text(self) -> str:
        """How well the law describes the counts it was fitted to, in words."""
        if self.residual_pct >= 0.1:
            return f"the scalability law is off by {self.residual_pct:.1f} % at most"
        return (
            f"{len(self.counts)} counts are too few to test the scalability law, it passes through "
            "them"
            if len(self.counts) <= 3
            else "the scalability law passes through the counts"
        )


def fit_usl(
    per_task_rps: Mapping[int, float], intervals: Mapping[int, tuple[float, float]] | None = None
) -> Scalability | None:
    """The law through the rates per task by task count; None with fewer than two counts.

    `intervals` has the bounds of the rates; from those of two counts the interval of their
    ratio follows, their errors being independent.

    With two counts contention alone is fitted. All three numbers stay at zero or above, so
    tasks that carry more each in company show no contention rather than a negative one.
    """
    # Imported here: a second that every notebook which only reads a curve would pay.
    from scipy.optimize import nnls

    counts = sorted(per_task_rps)
    if len(counts) < 2:
        return None
    n = np.array(counts, dtype=np.float64)
    rates = np.array([per_task_rps[count] for count in counts])
    # 1 / rate is linear in the law's numbers: nonnegative least squares, relative errors.
    columns = [np.ones_like(n), n - 1, n * (n - 1)][: 3 if len(counts) > 2 else 2]
    design = np.stack(columns, axis=1) * rates[:, None]
    solved, _ = nnls(design, np.ones_like(n))
    base, linear, square = (*solved, 0.0)[:3]
    if base <= 0:
        return None
    fitted = 1.0 / (design / rates[:, None] @ solved)
    return Scalability(
        rate_rps=float(1.0 / base),
        contention=float(linear / base),
        coherency=float(square / base),
        residual_pct=float(100.0 * np.abs(fitted / rates - 1.0).max()),
        efficiency=float(rates[-1] / rates[0]),
        counts=tuple(counts),
        efficiencies=_efficiencies(per_task_rps, intervals or {}),
    )


def _efficiencies(
    per_task_rps: Mapping[int, float], intervals: Mapping[int, tuple[float, float]]
) -> tuple[Efficiency, ...]:
    """Of every count with a known interval against the fewest tasks; ratios in logarithms."""
    fewest = min(per_task_rps)
    made = []
    for tasks in sorted(intervals.keys() & per_task_rps.keys() - {fewest}):
        if fewest not in intervals:
            break
        (low_1, high_1), (low_n, high_n) = intervals[fewest], intervals[tasks]
        one, many = per_task_rps[fewest], per_task_rps[tasks]
        below = float(np.hypot(np.log(many / low_n), np.log(high_1 / one)))
        above = float(np.hypot(np.log(high_n / many), np.log(one / low_1)))
        ratio = many / one
        made.append(
            Efficiency(tasks, ratio, ratio * float(np.exp(-below)), ratio * float(np.exp(above)))
        )
    return tuple(made)


def knee_rps(rates_rps: Sequence[float], p95_ms: Sequence[float]) -> float | None:
    """Where p95 bends: the break of the best two straight pieces through its logarithm.

    A cross-check that knows no SLO. None with fewer than 6 points or no bend upwards.
    """
    if len(rates_rps) < 6:
        return None
    order = np.argsort(rates_rps)
    x = np.asarray(rates_rps, dtype=np.float64)[order]
    y = np.log(np.maximum(np.asarray(p95_ms, dtype=np.float64)[order], 1e-6))
    best, bend = np.inf, None
    for place in np.linspace(x[1], x[-2], 60):
        design = np.stack([np.ones_like(x), x, np.maximum(x - place, 0.0)], axis=1)
        beta, *_ = np.linalg.lstsq(design, y, rcond=None)
        error = float(((design @ beta - y) ** 2).sum())
        if error < best and beta[2] > 0:
            best, bend = error, float(place)
    return bend
