"""The compiled loop against the objects of `runbook.scaling`, tick for tick."""

import dataclasses
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.lab.additions import cpu_steps, cpu_steps_in
from runbook.lab.builtin import alarms_of, builtin, cpu_tracking, p95_step, requests_tracking
from runbook.lab.compiled import compile_policy
from runbook.lab.kernel import advance
from runbook.lab.policy import Policy
from runbook.lab.service import ServiceModel
from runbook.scaling.semantics import CHOICES, DEFAULT, Semantics


def compiled(policy, service, arrivals, bounds, tick_s, initial, semantics=DEFAULT, cuts=()):
    """Trace and account of the compiled loop; played in pieces at `cuts`."""
    arguments, account, _ = compile_policy(
        policy,
        service,
        np.array(bounds, dtype=np.int64),
        tick_s=tick_s,
        ticks=len(arrivals),
        initial_tasks=initial,
        semantics=semantics,
    )
    demand = service.needed(arrivals / tick_s)
    trace = np.zeros((len(arrivals), 3), dtype=np.int32)
    edges = [0, *cuts, len(arrivals)]
    for first, last in pairwise(edges):
        advance(arrivals[first:last], demand[first:last], *arguments, trace[first:last])
    return trace, account


def agree(events, policy, service, arrivals, bounds, tick_s=20, initial=3, semantics=DEFAULT):
    trace, account = compiled(policy, service, arrivals, bounds, tick_s, initial, semantics)
    slow = events.Events(policy, service, arrivals, bounds, tick_s, initial, semantics).run()
    assert [tuple(row) for row in trace.tolist()] == slow.trace
    assert account[:, 2].sum() == sum(slow.violating)
    assert account[:, 3].sum() == pytest.approx(slow.task_s)
    return trace


ROUGH = np.random.default_rng(3)


def rough(ticks: int, seed: int, tick_s: int, silent: bool = False) -> np.ndarray:
    """Arrivals that wander, jump, and with `silent` cease for a while."""
    generator = np.random.default_rng(seed)
    level = np.exp(np.cumsum(generator.normal(0, 0.06, ticks)))
    jumps = np.repeat(generator.choice([0.3, 1.0, 1.0, 3.0], ticks // 90 + 1), 90)[:ticks]
    rate = np.clip(150 * level * jumps, 0, 2500)
    if silent:
        rate[ticks // 3 : ticks // 3 + 60] = 0.0
    return generator.poisson(rate * tick_s).astype(float)


@pytest.mark.parametrize(
    "name", ["cpu-50-60s", "cpu-70-20s", "requests-60s", "step-p95", "static-peak"]
)
def test_built_in_policies_agree_for_a_day(name: str, service: ServiceModel, events: ModuleType):
    policy = builtin(name, service, peak_tasks=20, max_tasks=60)
    low, high = (20, 20) if policy.fixed_tasks else (policy.min_tasks, policy.max_tasks)
    initial = policy.fixed_tasks or 3
    trace = agree(events, policy, service, rough(4320, 5, 20), [(0, low, high)], 20, initial)
    assert policy.fixed_tasks or len(set(trace[:, 0].tolist())) > 4


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    tracked = []
    cooldown = st.sampled_from([0.0, 20.0, 60.0, 300.0])
    if draw(st.booleans()):
        tracked.append(requests_tracking(draw(st.floats(500, 3500)), 60, draw(cooldown), 60.0))
    if draw(st.booleans()) or not tracked:
        period_s = draw(st.sampled_from([20, 60]))
        item = cpu_tracking(draw(st.floats(30, 90)), period_s, draw(cooldown), draw(cooldown))
        if draw(st.booleans()):
            item = dataclasses.replace(
                item, policy=dataclasses.replace(item.policy, disable_scale_in=True)
            )
        short = dataclasses.replace(alarms_of(period_s), low_periods=draw(st.integers(3, 15)))
        tracked.append(dataclasses.replace(item, alarms=short))
    stepped = []
    if draw(st.booleans()):
        stepped.append(p95_step(20.0, add=draw(st.sampled_from([None, 2])), cpu_floor_pct=40.0))
    if draw(st.booleans()):
        steps = [[70.0, 10], [90.0, 40]]
        stepped.append(cpu_steps(20, draw(st.integers(1, 3)), draw(cooldown), steps))
    if draw(st.booleans()):
        steps = [[draw(st.floats(20, 60)), 10], [15.0, 50]]
        period_s = draw(st.sampled_from([20, 60]))
        stepped.append(cpu_steps_in(period_s, draw(st.integers(1, 5)), draw(cooldown), steps))
    return Policy("drawn", 1, 60, tuple(tracked), tuple(stepped))


@st.composite
def semantics(draw: st.DrawFn) -> Semantics:
    values = {}
    for choice in CHOICES:
        if choice.name == "low_sample_scope":
            continue
        if choice.name == "evaluation_range_extra":
            values[choice.name] = draw(st.integers(0, 5))
        elif choice.is_range:
            values[choice.name] = draw(st.floats(*choice.allowed))
        else:
            values[choice.name] = draw(st.sampled_from(choice.allowed))
    return Semantics(**values)


@settings(max_examples=25)
@given(
    policies(),
    semantics(),
    st.integers(0, 10_000),
    st.sampled_from([(23.0, 20.0), (60.0, 0.0), (140.0, 60.0)]),
    st.booleans(),
    st.sampled_from([0.0, 20.0, 50.0]),
)
def test_random_policies_and_choices_agree(
    service: ServiceModel, events: ModuleType, policy, choices, seed, times, silent, publish_20_s
):
    slow = service.with_timing(
        start_s=times[0],
        ready_s=times[1],
        publish_20_s=publish_20_s,
        startup_cpu_pct=50.0,
        zero_requests_reported=not silent,
    )
    bounds = [(0, 1, 60), (120, 6, 60), (240, 1, 12), (360, 1, 60)]
    agree(events, policy, slow, rough(700, seed, 20, silent), bounds, 20, 3, choices)


def test_pieces_give_what_the_whole_gives(service: ServiceModel):
    policy = builtin("step-p95", service, peak_tasks=20, max_tasks=60)
    arrivals = rough(9000, 8, 20)
    whole, account = compiled(policy, service, arrivals, [(0, 1, 60)], 20, 3)
    cut, cut_account = compiled(
        policy, service, arrivals, [(0, 1, 60)], 20, 3, cuts=(1, 2, 700, 4320, 4321)
    )
    assert (whole == cut).all()
    np.testing.assert_allclose(account, cut_account)
