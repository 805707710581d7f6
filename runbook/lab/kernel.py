"""The replay's loop: one service under one policy, a tick at a time, compiled by numba.

Flat on purpose: numbers and arrays in, arrays changed in place, so that a core does millions of
ticks a second and memory does not grow with the history. The rules are those of
`runbook.scaling`: its scalar core is compiled here as it is, and `kernel_rules` repeats the
combination of policies, which tests hold to `decide` step for step.

A tick, in this order: bounds, tasks that have started, alarms whose datapoint has been
published, the decision, then the traffic of the tick, then the ends of metric periods.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runbook.lab import jit
from runbook.lab.jit import compiled
from runbook.lab.kernel_alarms import see_step, see_tracking
from runbook.lab.kernel_rules import any_alarm, decide_flat, observe_flat
from runbook.lab.kernel_service import capacity, gather, next_due, publish, stop_tasks
from runbook.lab.layout import DRAIN_S, POINTS, SLO_S, TICK_S
from runbook.scaling import arithmetic

_NEVER = 2**62


@compiled
def _advance(  # noqa: PLR0912, PLR0915 - one flat loop, see above
    arrivals: Any,
    demand: Any,
    tables: Any,
    service: Any,
    delays: Any,
    streams: Any,
    tracking_i: Any,
    tracking_f: Any,
    step_i: Any,
    step_f: Any,
    steps: Any,
    semantics: Any,
    bounds: Any,
    state: Any,
    activities: Any,
    ring: Any,
    sums: Any,
    alarm_bits: Any,
    newest: Any,
    starts: Any,
    account: Any,
    trace: Any,
) -> None:
    """Play `arrivals` (requests per tick) and add up in `account` (a row a day).

    `demand` is the oracle's task count per tick. Shapes and columns: `runbook.lab.layout`.
    `bounds` holds (first tick, min, max) rows, ascending. `trace` takes desired, running and
    serving tasks per tick; with no rows nothing is recorded. State carries over to a next call.
    """
    tick_s = service[TICK_S]
    start_ticks, ready_ticks, judge_ticks, day_ticks = delays[0], delays[1], delays[2], delays[3]
    base_ticks = delays[4]
    slots = starts.shape[1]
    n_streams, n_tracking, n_step = streams.shape[0], tracking_i.shape[0], step_i.shape[0]
    tick = state[0]
    desired, running, serving = state[1], state[2], state[3]
    starting = state[4]
    bound = state[5]
    minimum, maximum = bounds[bound, 1], bounds[bound, 2]
    bound_tick = bounds[bound + 1, 0] if bound + 1 < bounds.shape[0] else _NEVER
    last_demand, last_serving = state[6], state[7]
    violating_run, longest_run = state[8], state[9]
    backlog = sums[n_streams, 0]
    judged_requests, judged_slow = sums[n_streams, 1], sums[n_streams, 2]
    slot = tick % slots
    judge_left = judge_ticks - tick % judge_ticks
    day_left = day_ticks - tick % day_ticks
    day = tick // day_ticks
    requests_sum = 0.0
    violating_requests = 0.0
    violating_minutes = 0
    task_ticks = 0
    demand_ticks = 0
    drained = 0
    outs = 0
    ins = 0
    under = 0.0
    over = 0.0
    under_ticks = 0
    over_ticks = 0
    unsteady_ticks = 0
    lost = 0.0
    slow_sum = 0.0
    peak = 0
    # Since metrics were last added up, which is every `base_ticks`.
    base_left = base_ticks - tick % base_ticks
    base_requests = base_used = base_slow = 0.0
    base_running = base_serving = 0
    due_tick = next_due(streams)
    watching = True
    # What follows from the number of serving tasks, until it changes.
    known = -1
    able = slow_backlog = most_backlog = cpu_s = offset = slope = 0.0

    for i in range(arrivals.shape[0]):
        now_s = tick * tick_s
        before = desired

        # Bounds: scheduled actions and the forecast's floor move the count at once.
        if tick >= bound_tick:
            while bound + 1 < bounds.shape[0] and bounds[bound + 1, 0] <= tick:
                bound += 1
            minimum, maximum = bounds[bound, 1], bounds[bound, 2]
            bound_tick = bounds[bound + 1, 0] if bound + 1 < bounds.shape[0] else _NEVER
        if desired < minimum:
            desired = minimum
        elif desired > maximum:
            desired = maximum

        # Tasks that were on their way.
        if starting > 0 or serving < running:
            arrived = starts[0, slot]
            if arrived > 0:
                starts[0, slot] = 0
                starting -= arrived
                running += arrived
                starts[1, (slot + ready_ticks) % slots] += arrived
            ready = starts[1, slot]
            starts[1, slot] = 0
            serving += ready

        if watching:
            watching = observe_flat(activities, desired, running, now_s, semantics)

        # Alarms whose newest datapoint has just been published.
        if tick == due_tick:
            for s in range(n_streams):
                if streams[s, 4] > tick:
                    continue
                streams[s, 4] += streams[s, 0]
                at = streams[s, 5]
                streams[s, 5] = at + 1 if at + 1 < POINTS else 0
                for p in range(n_tracking):
                    if tracking_i[p, 0] == s:
                        see_tracking(
                            p, s, ring, at, tracking_i, tracking_f, semantics, alarm_bits, newest
                        )
                for p in range(n_step):
                    if step_i[p, 0] == s:
                        see_step(
                            p,
                            n_tracking + p,
                            s,
                            ring,
                            at,
                            step_i,
                            step_f,
                            semantics,
                            alarm_bits,
                            newest,
                        )
            due_tick = next_due(streams)
            if any_alarm(alarm_bits):
                desired = decide_flat(
                    desired,
                    running,
                    minimum,
                    maximum,
                    now_s,
                    tracking_i,
                    tracking_f,
                    step_i,
                    step_f,
                    steps,
                    semantics,
                    alarm_bits,
                    newest,
                    activities,
                    service[SLO_S],
                )
                watching = True

        # The service follows: new tasks start, surplus ones stop, those not yet running first.
        if desired != before:
            if desired > before:
                outs += 1
            else:
                ins += 1
            change = desired - running - starting
            if change > 0:
                starting += change
                starts[0, (slot + start_ticks) % slots] += change
            elif change < 0:
                starting, running, serving, stopped = stop_tasks(
                    -change, slot, start_ticks, ready_ticks, starting, running, serving, starts
                )
                drained += stopped

        # The traffic of this tick.
        count = arrivals[i]
        if serving != known:
            known = serving
            able, slow_backlog, most_backlog, cpu_s, offset, slope = capacity(
                serving, tables, service
            )
        slow = 1.0
        if serving > 0:
            used = (backlog + count) * cpu_s
            waited = backlog
            backlog += count - able
            if backlog > 0.0:
                used = able * cpu_s
                if backlog > most_backlog:
                    lost += backlog - most_backlog
                    backlog = most_backlog
            else:
                backlog = 0.0
            if waited + backlog <= slow_backlog:
                slow = 1.0 / (1.0 + math.exp(offset - slope * count))
        else:
            used = 0.0
            lost += backlog + count
            backlog = 0.0
        slow_count = slow * count
        base_requests += count
        base_used += used
        base_slow += slow_count
        base_running += running
        base_serving += serving
        base_left -= 1
        if base_left == 0:
            base_left = base_ticks
            for s in range(n_streams):
                gather(
                    s,
                    base_requests,
                    base_used,
                    base_slow,
                    base_running,
                    base_serving,
                    streams,
                    sums,
                )
                streams[s, 3] -= base_ticks
                if streams[s, 3] == 0:
                    publish(s, running, service, streams, sums, ring)
            base_requests = base_used = base_slow = 0.0
            base_running = base_serving = 0

        # What it was worth.
        judged_requests += count
        judged_slow += slow_count
        requests_sum += count
        slow_sum += slow_count
        task_ticks += running + starting
        wanted = demand[i]
        demand_ticks += wanted
        if serving < wanted:
            under += (wanted - serving) / wanted
            under_ticks += 1
        elif serving > wanted:
            over += (serving - wanted) / wanted if wanted > 0 else 1.0
            over_ticks += 1
        if tick > 0:
            moved_s, moved_d = serving - last_serving, wanted - last_demand
            if (moved_s > 0) != (moved_d > 0) or (moved_s < 0) != (moved_d < 0):
                unsteady_ticks += 1
        last_demand, last_serving = wanted, serving
        peak = max(peak, running + starting)
        if trace.shape[0] > 0:
            trace[i, 0], trace[i, 1], trace[i, 2] = desired, running, serving
        judge_left -= 1
        if judge_left == 0:
            judge_left = judge_ticks
            if judged_slow > 0.05 * judged_requests * (1.0 + 1e-12):
                violating_minutes += 1
                violating_requests += judged_requests
                violating_run += 1
                longest_run = max(longest_run, violating_run)
            else:
                violating_run = 0
            judged_requests = 0.0
            judged_slow = 0.0
        tick += 1
        slot = slot + 1 if slot + 1 < slots else 0
        day_left -= 1
        if day_left == 0 or i == arrivals.shape[0] - 1:
            account[day, 0] += requests_sum
            account[day, 1] += violating_requests
            account[day, 2] += violating_minutes
            account[day, 3] += task_ticks * tick_s + drained * service[DRAIN_S]
            account[day, 4] += demand_ticks * tick_s
            account[day, 5] += outs
            account[day, 6] += ins
            account[day, 7] += under * tick_s
            account[day, 8] += over * tick_s
            account[day, 9] += under_ticks * tick_s
            account[day, 10] += over_ticks * tick_s
            account[day, 11] += unsteady_ticks * tick_s
            account[day, 12] += lost
            account[day, 13] += slow_sum
            account[day, 14] = max(account[day, 14], peak)
            requests_sum = violating_requests = under = over = lost = slow_sum = 0.0
            violating_minutes = task_ticks = demand_ticks = drained = outs = ins = 0
            under_ticks = over_ticks = unsteady_ticks = peak = 0
            if day_left == 0:
                day_left = day_ticks
                day += 1

    for s in range(n_streams):
        gather(s, base_requests, base_used, base_slow, base_running, base_serving, streams, sums)
    state[0] = tick
    state[1], state[2], state[3] = desired, running, serving
    state[4] = starting
    state[5] = bound
    state[6], state[7] = last_demand, last_serving
    state[8], state[9] = violating_run, longest_run
    sums[n_streams, 0] = backlog
    sums[n_streams, 1], sums[n_streams, 2] = judged_requests, judged_slow


def _sources() -> str:
    """A digest of all that is compiled here."""
    here = Path(__file__).parent
    files = [
        *sorted(here.glob("kernel*.py")),
        here / "jit.py",
        here / "layout.py",
        Path(arithmetic.__file__),
    ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _entry(sources: str) -> Callable[..., None]:
    def entry(*arguments: Any) -> None:
        # Numba's cache knows this file and the values bound here, not the functions called;
        # with the digest among them compiled code is never older than its sources.
        if sources:
            _advance(*arguments)

    return jit.entry(entry)


advance = _entry(_sources())
"""`_advance`, compiled once and kept on disk (beside this file, else in the user's cache)."""
