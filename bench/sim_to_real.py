"""The policy lab's simulator beside the local region: the same load, the desired count of both.

    python bench/sim_to_real.py RUN [RUN ...] [--calibrate RUN] [--plot sim_to_real.png]

RUN is a run's folder with `30_analyse` and `60_verify` (`make demo` leaves one): what was really
offered each second, and the desired count as it was polled. The simulator gets the offered
requests, the thresholds of the run, and the capacity curve of the run's load test, which had
another shape of load; how long tasks take to start and to serve comes from the run given by
`--calibrate`, the first one unless told. A period agrees when the simulated count was within one
task of the real one in that period or in one beside it. What the luckiest count that never moves
would reach stands beside both figures: only what is above it was predicted. The last row holds
the periods of all runs that gave no delays. The table is printed as the documentation has it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure
from numpy.typing import NDArray

from runbook.capacity.curve import CapacityCurve
from runbook.lab.compiled import compile_policy
from runbook.lab.kernel import advance
from runbook.lab.policy import Policy
from runbook.lab.policy_file import policy_of
from runbook.lab.service import ServiceModel, Timing, service_model
from runbook.lab.times import frame, read_counts
from runbook.plots import colour, save, style

PUBLISH_S = 2.0
"""From a period's end to its evaluation in the local region (`publish_delay_s` of its settings)."""
GOAL_PCT = 95.0


class _Opaque(yaml.SafeLoader):
    """Sceptre's resolvers are of no interest here."""


_Opaque.add_multi_constructor("!", lambda loader, suffix, node: None)


@dataclass(frozen=True)
class Record:
    """What a verification saw, a row a second from the start of the load.

    `start_s` and `ready_s`: mean seconds from an order to running, from running to healthy; None
    without a scale-out.
    """

    name: str
    period_s: int
    low_periods: int
    offered: NDArray[np.float64]
    desired: NDArray[np.int64]
    running: NDArray[np.int64]
    healthy: NDArray[np.int64]
    numbers: dict[str, Any]
    curve: CapacityCurve
    start_s: float | None
    ready_s: float | None


def main() -> int:
    """Compare and print; 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--calibrate", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    records = [read_record(folder) for folder in given.runs]
    calibration = read_record(given.calibrate) if given.calibrate else records[0]
    start_s, ready_s = calibration.start_s or 0.0, calibration.ready_s or 0.0
    timing = Timing(
        start_s=start_s,
        ready_s=ready_s,
        publish_20_s=PUBLISH_S,
        publish_60_s=PUBLISH_S,
        drain_s=0.0,
    )
    print(
        f"tasks take {start_s:.1f} s to run and {ready_s:.1f} s to serve (run {calibration.name})\n"
    )
    print(
        "| run | periods | within 1 task and 1 period | best constant count"
        " | same count within 1 period | best constant count |"
    )
    print("|---|---|---|---|---|---|")
    simulated = [simulate(record, timing) for record in records]
    unseen: list[tuple[Record, NDArray[np.int64]]] = []
    for record, desired in zip(records, simulated, strict=True):
        known = record.name == calibration.name
        if not known:
            unseen.append((record, desired))
        print(_row(f"{record.name}{' (delays read off it)' if known else ''}", [(record, desired)]))
    if len(unseen) > 1:
        print(_row("all that gave no delays", unseen))
    missed = any(
        agreement(record, desired)[0] < GOAL_PCT
        for record, desired in zip(records, simulated, strict=True)
    )
    if given.plot:
        save(plot(records, simulated), given.plot)
    return int(missed)


def _row(name: str, played: list[tuple[Record, NDArray[np.int64]]]) -> str:
    """A row of the table over one or more runs, each weighed by its periods."""
    periods = [len(record.desired) // record.period_s for record, _ in played]
    shares = [(*agreement(record, desired), *best_constant(record)) for record, desired in played]
    near, same, lucky_near, lucky_same = np.average(shares, axis=0, weights=periods)
    return (
        f"| {name} | {sum(periods)} | {near:.0f} % | {lucky_near:.0f} % | {same:.0f} %"
        f" | {lucky_same:.0f} % |"
    )


def read_record(folder: Path) -> Record:
    """The record of a run's folder."""
    counts = read_counts(folder)
    seen, at = counts.record, counts.by_second
    traffic = frame(seen["traffic"])
    scaling = folder / "sceptre" / "config" / seen["environment"] / "scaling.yaml"
    numbers = yaml.load(scaling.read_text(encoding="utf-8"), Loader=_Opaque)["parameters"]
    return Record(
        seen["run_id"],
        int(seen["period_s"]),
        int(seen["compression"].get("alarm_low_periods", 15)),
        traffic["offered_rps"].to_numpy(dtype=np.float64),
        at["desired"].to_numpy(),
        at["running"].to_numpy(),
        at["healthy"].to_numpy(),
        numbers,
        CapacityCurve.load(folder / "30_analyse" / "capacity.json"),
        counts.lag_s("desired", "running"),
        counts.lag_s("running", "healthy"),
    )


def simulate(record: Record, timing: Timing) -> NDArray[np.int64]:
    """The desired count of each second, by the policy lab's loop."""
    service = service_model(record.curve, timing=timing)
    policy = _policy(record, service)
    bounds = np.array([[0, policy.min_tasks, policy.max_tasks]], dtype=np.int64)
    arguments, _, _ = compile_policy(
        policy,
        service,
        bounds,
        tick_s=1,
        ticks=len(record.offered),
        initial_tasks=int(record.desired[0]),
    )
    trace = np.zeros((len(record.offered), 3), dtype=np.int32)
    advance(record.offered, service.needed(record.offered), *arguments, trace)
    return trace[:, 0].astype(np.int64)


def _policy(record: Record, service: ServiceModel) -> Policy:
    numbers = {**record.numbers, "MetricPeriodS": record.period_s}
    policy = policy_of(record.name, numbers, {}, service)
    tracked = tuple(
        replace(item, alarms=replace(item.alarms, low_periods=record.low_periods))
        for item in policy.tracked
    )
    return replace(policy, tracked=tracked)


def agreement(record: Record, simulated: NDArray[np.int64]) -> tuple[float, float]:
    """Percent of periods within one task, and with the same count, at most a period apart."""
    period = record.period_s
    ends = np.arange(period - 1, len(simulated), period)
    near = same = 0
    for end in ends:
        beside = simulated[max(0, end - period) : end + period + 1]
        apart = int(np.abs(beside - record.desired[end]).min())
        near += apart <= 1
        same += apart == 0
    return 100.0 * near / len(ends), 100.0 * same / len(ends)


def best_constant(record: Record) -> tuple[float, float]:
    """What the luckiest count that never moves would agree with: what the figures are worth."""
    constant = [
        agreement(record, np.full(len(record.desired), count))
        for count in np.unique(record.desired)
    ]
    return max(near for near, _ in constant), max(same for _, same in constant)


def plot(records: list[Record], simulated: list[NDArray[np.int64]]) -> Figure:
    """Offered rate, and the desired count of both, a row a run."""
    with style():
        figure = Figure(figsize=(7.2, 2.6 * len(records)))
        rows = figure.subplots(len(records), 1, squeeze=False)[:, 0]
        for axes, record, desired in zip(rows, records, simulated, strict=True):
            second = np.arange(len(desired))
            rate = axes.twinx()
            rate.plot(second, record.offered, color="#bbbbbb", linewidth=0.8)
            rate.set_ylabel("requests/s")
            axes.step(second, record.desired, where="post", color=colour(0), label="local region")
            axes.step(
                second, desired, where="post", color=colour(1), linestyle="--", label="policy lab"
            )
            near, _ = agreement(record, desired)
            axes.set_title(f"{record.name}: {near:.0f} % of periods within a task and a period")
            axes.set_ylabel("desired tasks")
            axes.set_ylim(bottom=0)
            axes.set_zorder(rate.get_zorder() + 1)
            axes.patch.set_visible(False)
            axes.legend(loc="upper left", framealpha=1.0)
        rows[-1].set_xlabel("seconds of load")
    return figure


if __name__ == "__main__":
    sys.exit(main())
