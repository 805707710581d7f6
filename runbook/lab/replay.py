"""Playing histories: policies over the same arrivals, chunk by chunk, on all cores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runbook.lab.compiled import DAY_S, JUDGE_S, compile_policy
from runbook.lab.floors import bounds_over_time
from runbook.lab.history import History
from runbook.lab.kernel import advance
from runbook.lab.outcome import Outcome, outcome
from runbook.lab.policy import Policy
from runbook.lab.prices import metrics_usd
from runbook.lab.service import ServiceModel
from runbook.lab.unknowns import variations
from runbook.lab.words import words
from runbook.scaling.semantics import DEFAULT, Semantics

RESOLUTION_S = 20
"""Seconds a tick: divides 60 s and 20 s, so that no policy gains by rounding of delays."""
_CHUNK = 40_320
_INITIAL_HEADROOM = 0.7
_FEWEST_DAYS, _HOUR_S = 3, 3600


@dataclass(frozen=True)
class Played:
    """The raw account of one policy: (seeds, blocks, columns), and the longest violation."""

    account: NDArray[np.float64]
    longest_s: float
    trace: NDArray[np.int32]


def play(
    policies: Sequence[Policy],
    history: History,
    service: ServiceModel,
    *,
    seeds: Sequence[int | None] = (0,),
    semantics: Semantics | Sequence[Semantics] = DEFAULT,
    services: Sequence[ServiceModel] | None = None,
    resolution_s: int = RESOLUTION_S,
    learned: NDArray[np.float64] | None = None,
    trace: bool = False,
    threads: int | None = None,
    judge_s: int = JUDGE_S,
    block_s: int = DAY_S,
) -> list[Played]:
    """Play every policy over the same arrivals of every seed (None: the rate, no chance).

    `semantics` may differ by policy, and so may the service (`services`), as the capacity bound
    or the times of it. `learned` are hourly rates before the history, for forecasts. With `trace`
    the desired, running and serving tasks of each tick are kept (first seed). Memory: one chunk
    of arrivals, a row a day and policy; the history itself.
    """
    ticks = history.seconds // resolution_s
    many = [semantics] * len(policies) if isinstance(semantics, Semantics) else list(semantics)
    models = [service] * len(policies) if services is None else list(services)
    tasks = _initial(history, service)
    floors = {
        id(policy): bounds_over_time(policy, history, resolution_s, learned) for policy in policies
    }
    results: list[list[NDArray[np.float64]]] = [[] for _ in policies]
    longest = [0] * len(policies)
    traces: list[NDArray[np.int32]] = [np.zeros((0, 3), dtype=np.int32)] * len(policies)
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        for number, seed in enumerate(seeds):
            keep = trace and number == 0
            runs = [
                _Run(
                    *compile_policy(
                        policy,
                        model,
                        floors[id(policy)],
                        tick_s=resolution_s,
                        ticks=ticks,
                        initial_tasks=_within(policy, tasks),
                        semantics=choice,
                        judge_s=judge_s,
                        block_s=block_s,
                    ),
                    [],
                )
                for policy, model, choice in zip(policies, models, many, strict=True)
            ]
            for arrivals in history.draws(resolution_s, seed, _CHUNK):
                demand = service.needed(arrivals / resolution_s)
                same = ([value] * len(runs) for value in (arrivals, demand, keep))
                list(pool.map(_Run.advance, runs, *same))
            for index, run in enumerate(runs):
                results[index].append(run.account)
                longest[index] = max(longest[index], int(run.state[9]))
                if keep:
                    traces[index] = np.concatenate(run.kept)
    return [
        Played(np.array(accounts), float(run_longest * judge_s), kept)
        for accounts, run_longest, kept in zip(results, longest, traces, strict=True)
    ]


def replay(
    policies: Sequence[Policy],
    history: History,
    service: ServiceModel,
    *,
    seeds: int = 5,
    semantics: Semantics = DEFAULT,
    resolution_s: int = RESOLUTION_S,
    learned: NDArray[np.float64] | None = None,
    threads: int | None = None,
) -> list[Outcome]:
    """Play the policies with Poisson arrivals of `seeds` seeds and say what each was worth."""
    by_day = history.seconds >= _FEWEST_DAYS * DAY_S
    played = play(
        policies,
        history,
        service,
        seeds=range(seeds),
        semantics=semantics,
        resolution_s=resolution_s,
        learned=learned,
        threads=threads,
        block_s=DAY_S if by_day else _HOUR_S,
    )
    seconds = float(history.seconds // resolution_s * resolution_s)
    return [
        outcome(
            policy.name,
            words(policy),
            item.account,
            item.longest_s,
            seconds,
            service.task_hour_usd,
            metrics_usd=metrics_usd(policy.fast_alarms, seconds),
            blocks="day" if by_day else "hour",
        )
        for policy, item in zip(policies, played, strict=True)
    ]


@dataclass
class _Run:
    arguments: tuple[NDArray[Any], ...]
    account: NDArray[np.float64]
    state: NDArray[np.int64]
    kept: list[NDArray[np.int32]]

    def advance(self, arrivals: NDArray[np.float64], demand: NDArray[np.int64], keep: bool) -> None:
        trace = np.zeros((len(arrivals) if keep else 0, 3), dtype=np.int32)
        advance(arrivals, demand, *self.arguments, trace)
        if keep:
            self.kept.append(trace)


def _initial(history: History, service: ServiceModel) -> int:
    """Tasks to begin with: what the first minutes need, with some room."""
    first = max(1, 300 // history.step_s)
    rate = history.rate_rps[:first].max() / _INITIAL_HEADROOM
    return int(service.needed(np.array([rate]))[0])


def _within(policy: Policy, tasks: int) -> int:
    if policy.fixed_tasks is not None:
        return policy.fixed_tasks
    return max(policy.min_tasks, min(tasks, policy.max_tasks))


def sweep(
    policies: Sequence[Policy],
    history: History,
    service: ServiceModel,
    *,
    seed: int = 0,
    learned: NDArray[np.float64] | None = None,
) -> list[dict[str, dict[str, Any]]]:
    """How each policy fares with each unknown at another value; see `unknowns.variations`.

    For each policy {"unknown=value": {"over_oracle", "violating_requests_pct"}}, and the same for
    "as assumed", which is played with the same arrivals.
    """
    varied = variations(service)
    grid = [(policy, item) for policy in policies for item in varied]
    played = play(
        [item.of(policy) for policy, item in grid],
        history,
        service,
        seeds=(seed,),
        semantics=[item.semantics for _, item in grid],
        services=[item.service for _, item in grid],
        learned=learned,
    )
    found: list[dict[str, dict[str, Any]]] = []
    for index in range(len(policies)):
        rows = {}
        for offset, item in enumerate(varied):
            total = played[index * len(varied) + offset].account.sum(axis=(0, 1))
            rows[item.label] = {
                "over_oracle": float(total[3] / max(total[4], 1e-9)),
                "violating_requests_pct": float(100.0 * total[1] / max(total[0], 1e-12)),
            }
        found.append(rows)
    return found
