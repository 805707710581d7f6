"""A policy in plain words, for tables that people read."""

from __future__ import annotations

from collections.abc import Iterator

from runbook.lab.policy import Policy, Stepped, Tracked

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def words(policy: Policy) -> str:
    """What the policy does, in one sentence of clauses."""
    if policy.fixed_tasks is not None:
        return f"always {policy.fixed_tasks} tasks"
    return "; ".join(_clauses(policy))


def _clauses(policy: Policy) -> Iterator[str]:
    cooldowns = {
        (t.policy.scale_out_cooldown_s, t.policy.scale_in_cooldown_s) for t in policy.tracked
    }
    for item in policy.tracked:
        yield _tracked(item)
    if len(cooldowns) == 1:
        out_s, in_s = cooldowns.pop()
        yield f"cooldowns {out_s:g} s out, {in_s:g} s in"
    for step in policy.stepped:
        yield _stepped(step)
    if policy.predictive is not None:
        yield (
            "never under what an hourly forecast needs at"
            f" {policy.predictive.requests_per_target:g} requests per task and minute,"
            f" {policy.predictive.buffer_s / 60.0:.0f} min ahead"
        )
    for action in policy.schedule:
        days = (
            "" if len(action.weekdays) == 7 else " " + "/".join(_DAYS[d] for d in action.weekdays)
        )
        bounds = [
            f"{which} {tasks}"
            for which, tasks in (("at least", action.min_tasks), ("at most", action.max_tasks))
            if tasks is not None
        ]
        yield f"from {action.at:%H:%M} UTC{days} {' and '.join(bounds)} tasks"
    if policy.min_tasks > 1:
        yield f"at least {policy.min_tasks} tasks"
    yield from policy.notes


def _tracked(item: Tracked) -> str:
    target, period_s = item.policy.target, item.alarms.period_s
    held = (
        f"CPU {target:g} %" if item.metric == "cpu" else f"{target:g} requests per task and minute"
    )
    return f"holds {held}, {period_s} s metrics"


def _stepped(item: Stepped) -> str:
    threshold = item.rule.threshold
    parts = []
    for step in item.policy.steps:
        adds = step.adjustment > 0
        edge = threshold + ((step.lower if adds else step.upper) or 0.0)
        level = f"CPU {edge:g} %" if item.metric == "cpu" else f"p95 {1000.0 * edge:g} ms"
        unit = " %" if item.policy.adjustment_type == "PercentChangeInCapacity" else ""
        parts.append(f"{step.adjustment:+g}{unit} tasks {'over' if adds else 'under'} {level}")
    floor = f" while CPU is over {item.cpu_floor_pct:g} %" if item.cpu_floor_pct else ""
    return f"{', '.join(parts)}{floor} ({item.period_s} s metrics)"
