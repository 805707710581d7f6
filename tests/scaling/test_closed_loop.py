"""The parts together: a service under a load curve, scaled by its own alarms, one tick a period.

Tasks start and stop within a period and the metric is exactly load per task, so what is seen here
is the semantics alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from runbook.scaling.alarms import AlarmState, evaluate_alarm
from runbook.scaling.decision import ScalableTarget, apply_decision, decide
from runbook.scaling.signals import TargetTrackingSignal
from runbook.scaling.state import ScalingState, observe
from runbook.scaling.target_tracking import AlarmSettings, TargetTrackingPolicy, alarms_for

PERIOD_S = 60
SETTINGS = AlarmSettings(period_s=PERIOD_S)


@dataclass
class Service:
    """One target tracking policy on requests per task, target 100."""

    policy: TargetTrackingPolicy
    target: ScalableTarget
    state: ScalingState = field(default_factory=lambda: ScalingState(1, 1))
    metric: list[float | None] = field(default_factory=list)
    alarms: dict[str, AlarmState] = field(
        default_factory=lambda: {"high": "INSUFFICIENT_DATA", "low": "INSUFFICIENT_DATA"}
    )

    def tick(self, load: float | None, now_s: float) -> int:
        """One period with this load in all (None: nothing is reported); the new desired count."""
        self.state = observe(self.state, running=self.state.desired, now_s=now_s)
        self.metric.append(None if load is None else load / max(1, self.state.running))
        newest = None
        for spec in alarms_for(self.policy, SETTINGS):
            verdict = evaluate_alarm(spec.rule, self.metric, self.alarms[spec.side])
            self.alarms[spec.side] = verdict.state
            newest = verdict.newest
        signal = TargetTrackingSignal(self.policy, self.alarms["high"], self.alarms["low"], newest)
        decision = decide(self.target, [signal], self.state, now_s)
        self.state = apply_decision(self.state, decision, now_s)
        return self.state.desired


def run(load: Callable[[int], float | None], periods: int, maximum: int = 20) -> list[int]:
    """Desired count at the end of each period."""
    service = Service(TargetTrackingPolicy("requests", 100.0), ScalableTarget(1, maximum))
    return [service.tick(load(i), i * PERIOD_S) for i in range(periods)]


def test_a_step_up_is_answered_after_three_periods_and_once():
    desired = run(lambda i: 50.0 if i < 10 else 350.0, 40)
    assert desired[:12] == [1] * 12
    assert desired[12:] == [4] * 28


def test_a_step_down_is_answered_after_fifteen_periods():
    desired = run(lambda i: 390.0 if i < 10 else 90.0, 40)
    assert desired[9:24] == [4] * 15
    assert desired[24] == 1
    assert set(desired[24:]) == {1}


def test_load_just_under_the_target_changes_nothing():
    assert set(run(lambda i: 95.0, 60)) == {1}


def test_when_the_metric_falls_silent_the_count_stays():
    desired = run(lambda i: 390.0 if i < 10 else None, 60)
    assert set(desired[9:]) == {4}


@given(
    st.lists(st.tuples(st.integers(1, 40), st.floats(0, 3000)), min_size=1, max_size=5),
    st.integers(1, 20),
)
def test_steady_load_is_served_at_or_below_the_target_without_flapping(pieces, maximum):
    loads = [load for length, load in pieces for _ in range(length)]
    steady = pieces[-1][1]
    loads += [steady] * 90
    desired = run(lambda i: loads[i], len(loads), maximum)
    assert all(1 <= count <= maximum for count in desired)
    assert len(set(desired[-20:])) == 1
    if steady / maximum <= 100.0:
        assert steady / desired[-1] <= 100.0 * (1 + 1e-9)
    # Scale-in leaves at most what the 10 % gap below the target and whole tasks explain.
    if desired[-1] > 1:
        needed_with_gap = steady / 90.0
        assert desired[-1] <= max(needed_with_gap + 1, steady / 100.0 + 1)
