"""The search through policies: played on the train window, the better ones varied.

A policy is a set of *genes*, each one of an ordered list of values. Random ones are played first;
then children of the best so far: each gene from one of two parents, a few of them moved along
their list, by smaller and smaller ways.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runbook.lab.history import History
from runbook.lab.policy import Policy
from runbook.lab.policy_file import policy_of
from runbook.lab.replay import play
from runbook.lab.service import MOST_COUNTS, ServiceModel

_FIRST_SHARE, _ROUNDS, _PARENTS = 0.25, 12, 12
_SECOND_PARENT, _MOST_MOVED = 0.3, 3
_FAR, _NEAR = 0.25, 0.03
"""How far a gene moves, as a share of its list's length: in the first and in the last round."""
_PRICE = 0.5
"""Task-hours that violating requests over the limit count as in the ranking: so many times the
policy's own for twice the limit."""
_MOST_STEPS = 20
_SATURATED_PCT = 97
_BEYOND = 2
_FAST_S = 20
_TARGETS_PER_PCT = 2
_DOWN_RUNG_PCT = 4
_GENES: dict[str, tuple[Any, ...]] = {
    # Percent of the CPU at c_SLO.
    "cpu_share": tuple(range(50, 103)),
    "cpu_period_s": (20,) * 7 + (60,),
    "out_s": (0, 20, 40, 60, 120),
    "in_s": (0, 60, 120, 180, 300, 600),
    # Of the tasks at the peak.
    "min_share": (0.0, 0.03, 0.07, 0.1, 0.13, 0.17, 0.2, 0.25, 0.3),
    # A ladder of steps on one datapoint: its first rung in CPU percent above the target, how many
    # percent apart the rungs are, how many times the tasks that would bring CPU back to the target
    # each of them adds, and the last one as many times more: a CPU at its end hides the load.
    "first_rung": (None, -14, -12, -10, -8, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 8, 10),
    "rung": (2, 3, 4, 6),
    "gain": tuple(round(0.6 + 0.1 * at, 1) for at in range(30)),
    "last_gain": (1.0, 1.0, 1.5, 2.0, 3.0),
    "step_cooldown_s": (0, 20, 40, 60, 80),
    # Steps that remove tasks sooner than target tracking does: after so many datapoints of 20 s
    # under a share of the target, to what brings CPU up to another share of it.
    "in_periods": (None, 3, 6, 9, 12, 15, 20, 25, 30),
    "in_below": (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96),
    "in_aim": (0.75, 0.8, 0.85, 0.88, 0.91, 0.94, 0.97, 1.0),
    "forecast_share": (None, None, None, None, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0),
    "buffer_s": (300, 600, 900, 1800),
}

Genes = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """What a policy did on the train window with the lower bounds of the capacity.

    `task_hours` are by day. They are those with the measured capacity as well: metrics that count
    CPU or requests do not feel where the SLO is, unless requests queue.
    """

    violating_pct: float
    task_hours_by_day: NDArray[np.float64]

    @property
    def task_hours(self) -> float:
        """The sum over days."""
        return float(self.task_hours_by_day.sum())


@dataclass(frozen=True)
class Candidate:
    """A policy of the search, with what it takes to write it down, and how it did on train."""

    numbers: Mapping[str, Any]
    extra: Mapping[str, Any]
    policy: Policy
    trial: Trial


class Search:
    """Finds policies with few task-hours and at most `limit_pct` violating requests on `train`.

    `lower` is `service` with the lower capacity bounds. Policies are written for `service`, as
    they would be deployed (the forecast's floor too), and judged on `lower`.
    """

    def __init__(
        self,
        train: History,
        service: ServiceModel,
        lower: ServiceModel,
        *,
        limit_pct: float,
        peak_tasks: int,
        max_tasks: int,
        high_resolution: bool = True,
        seed: int = 7,
    ) -> None:
        self._train, self._service, self._lower = train, service, lower
        self._limit_pct, self._peak, self._max = limit_pct, peak_tasks, max_tasks
        self._genes = dict(_GENES)
        if not high_resolution:
            self._genes |= {"cpu_period_s": (60,), "first_rung": (None,), "in_periods": (None,)}
        # The stack tracks requests as well; held to what no task can serve they decide nothing.
        beyond = math.ceil(_BEYOND * 60.0 * service.most_rps[min(peak_tasks, MOST_COUNTS)])
        self._aside = {"RequestsPerTarget": beyond}
        self._generator = np.random.default_rng(seed)
        self._seen: dict[str, tuple[Genes, Candidate]] = {}

    @property
    def limit_pct(self) -> float:
        """What a policy may violate on train, percent of requests."""
        return self._limit_pct

    @property
    def found(self) -> list[Candidate]:
        """Every candidate played."""
        return [candidate for _, candidate in self._seen.values()]

    @property
    def calmest(self) -> Candidate:
        """The one with the fewest violating requests, of several the cheapest."""
        return min(self.found, key=lambda item: (item.trial.violating_pct, item.trial.task_hours))

    @property
    def allowed_pct(self) -> float:
        """The limit; beyond what even the calmest breaks where no candidate keeps it."""
        calmest_pct = self.calmest.trial.violating_pct
        return self._limit_pct + (calmest_pct if calmest_pct > self._limit_pct else 0.0)

    def run(self, candidates: int) -> None:
        """Play about `candidates` policies."""
        first = int(_FIRST_SHARE * candidates)
        self._play([self._random() for _ in range(first)])
        each = (candidates - first) // _ROUNDS
        for way in np.geomspace(_FAR, _NEAR, _ROUNDS):
            parents = self._parents()
            self._play([self._child(parents, float(way)) for _ in range(each)])

    def judge(self, policies: Sequence[Policy]) -> list[Trial]:
        """How the policies do on the train window."""
        played = play(
            policies,
            self._train,
            self._service,
            services=[self._lower] * len(policies),
            seeds=(0,),
        )
        found = []
        for item in played:
            days = item.account[0]
            requests, violating = days[:, 0].sum(), days[:, 1].sum()
            percent = float(100.0 * violating / max(requests, 1e-12))
            found.append(Trial(percent, days[:, 3] / 3600.0))
        return found

    def _random(self) -> Genes:
        return {
            name: values[int(self._generator.integers(len(values)))]
            for name, values in self._genes.items()
        }

    def _child(self, parents: list[Genes], way: float) -> Genes:
        first, second = (parents[int(self._generator.integers(len(parents)))] for _ in range(2))
        child = {
            name: (second if self._generator.random() < _SECOND_PARENT else first)[name]
            for name in self._genes
        }
        many = int(self._generator.integers(1, _MOST_MOVED + 1))
        for name in map(str, self._generator.choice(list(self._genes), many, replace=False)):
            values = self._genes[name]
            step = float(self._generator.normal(0.0, max(0.7, way * len(values))))
            at = values.index(child[name]) + round(math.copysign(max(1.0, abs(step)), step))
            child[name] = values[min(max(at, 0), len(values) - 1)]
        return child

    def _parents(self) -> list[Genes]:
        allowed = self.allowed_pct

        def rank(pair: tuple[Genes, Candidate]) -> float:
            trial = pair[1].trial
            over = max(0.0, trial.violating_pct - allowed) / self._limit_pct
            return trial.task_hours * (1.0 + _PRICE * over)

        return [genes for genes, _ in sorted(self._seen.values(), key=rank)[:_PARENTS]]

    def _play(self, many: list[Genes]) -> None:
        fresh: dict[str, tuple[Genes, dict[str, Any], dict[str, Any], Policy]] = {}
        for genes in many:
            numbers, extra = self._written(genes)
            key = repr((numbers, extra))
            if key not in self._seen:
                policy = policy_of("tuned", numbers, extra, self._service)
                fresh[key] = genes, numbers, extra, policy
        trials = self.judge([item[3] for item in fresh.values()])
        for (key, (genes, numbers, extra, policy)), trial in zip(
            fresh.items(), trials, strict=True
        ):
            self._seen[key] = genes, Candidate(numbers | self._aside, extra, policy, trial)

    def _written(self, genes: Genes) -> tuple[dict[str, Any], dict[str, Any]]:
        """The genes as scaling.yaml has them."""
        full_pct = self._service.cpu_pct_at_c_slo(self._peak)
        target = round(_TARGETS_PER_PCT * full_pct * genes["cpu_share"] / 100.0) / _TARGETS_PER_PCT
        target = min(max(1.0, target), 100.0)
        least = max(1, round(genes["min_share"] * self._peak))
        numbers: dict[str, Any] = {
            "MinTasks": least,
            "MaxTasks": max(self._max, least),
            "CpuTarget": int(target) if target.is_integer() else target,
            "EcsMetricPeriodS": genes["cpu_period_s"],
            "ScaleOutCooldownS": genes["out_s"],
            "ScaleInCooldownS": genes["in_s"],
        }
        extra: dict[str, Any] = {}
        if genes["first_rung"] is not None and genes["cpu_period_s"] == _FAST_S:
            extra["cpu_steps"] = {
                "period_s": _FAST_S,
                "periods": 1,
                "cooldown_s": genes["step_cooldown_s"],
                "steps": _ladder(target, **{name: genes[name] for name in _LADDER}),
            }
        down = None
        if genes["in_periods"] is not None and genes["cpu_period_s"] == _FAST_S:
            down = _ladder_down(target, genes["in_below"], genes["in_aim"])
        if down:
            extra["cpu_steps_in"] = {
                "period_s": _FAST_S,
                "periods": genes["in_periods"],
                "cooldown_s": genes["in_s"],
                "steps": down,
            }
        if genes["forecast_share"] is not None:
            full_rps = self._service.carried_rps(self._peak) / self._peak
            extra["predictive"] = {
                "requests_per_target": round(60.0 * genes["forecast_share"] * full_rps),
                "buffer_s": genes["buffer_s"],
            }
        return numbers, extra


def _ladder_down(target_pct: float, below: float, aim: float) -> list[list[float]]:
    """Steps [below CPU percent, remove percent] that bring CPU up to `aim` x the target at most.

    To a tenth of a percent; AWS removes one task at least, which of few tasks is more than that.
    """
    edges = [round(below * target_pct - _DOWN_RUNG_PCT * at, 1) for at in range(_MOST_STEPS)]
    steps = [
        [edge, math.floor(100.0 * (1.0 - edge / (aim * target_pct)))]
        for edge in edges
        if edge > 0.0
    ]
    return [step for step in steps if step[1] >= 1]


_LADDER = ("first_rung", "rung", "gain", "last_gain")


def _ladder(
    target_pct: float, first_rung: float, rung: int, gain: float, last_gain: float
) -> list[list[float]]:
    """Steps [above CPU percent, add percent]: what target tracking would add, without its wait.

    Target tracking adds in proportion to the metric, but only after three datapoints; a ladder of
    steps does so after one. AWS allows 20 steps a policy.
    """
    first = min(max(1.0, target_pct + first_rung), _SATURATED_PCT)
    above = [first + rung * at for at in range(_MOST_STEPS) if first + rung * at < 100.0]
    gains = [gain] * (len(above) - 1) + [gain * last_gain]
    return [
        [at, max(1, math.ceil(100.0 * times * (at + rung / 2 - target_pct) / target_pct))]
        for at, times in zip(above, gains, strict=True)
    ]
