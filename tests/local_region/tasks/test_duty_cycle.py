"""The duty cycle: its arithmetic, and the loop that stops and continues, without processes."""

from __future__ import annotations

import signal

import pytest

from local_region.tasks import duty_cycle
from local_region.tasks.duty_cycle import WINDOW_S, DutyCycle, Quota


def test_credit_of_a_quarter_core_is_25_ms():
    quota = Quota(0.25)
    assert quota.credit_s == pytest.approx(0.025)
    assert not quota.must_stop(0.024)
    assert quota.must_stop(0.025)


def test_overshoot_is_paid_back_by_the_next_window():
    quota = Quota(0.25, stopped=True)
    assert quota.next_window(0.035, 1)
    assert quota.remaining_s(0.035) == pytest.approx(0.015)


def test_large_overshoot_keeps_it_stopped():
    quota = Quota(0.25, stopped=True)
    # 75 ms are the credit of three windows: this one and the next two.
    assert [quota.next_window(0.075, 1) for _ in range(3)] == [False, False, True]


def test_unspent_credit_is_lost():
    quota = Quota(0.25)
    quota.next_window(0.0, 10)
    assert quota.remaining_s(0.0) == pytest.approx(0.025)


def test_periods_are_counted_like_cpu_stat():
    quota = Quota(0.25)
    quota.next_window(0.01, 1)
    quota.stopped = True
    quota.next_window(0.04, 2)
    assert (quota.nr_periods, quota.nr_throttled) == (3, 2)


class Machine:
    """A clock and one process that burns a whole core while it is not stopped."""

    def __init__(self, monkeypatch):
        self.now, self.used, self.running = 100.0, 0.0, True
        monkeypatch.setattr(duty_cycle, "process_cpu_s", lambda pid: self.used)
        monkeypatch.setattr(duty_cycle, "process_tree", lambda pid: [pid])

    def clock(self):
        return self.now

    def signal(self, group, number):
        self.running = number == signal.SIGCONT

    def pass_time(self, seconds):
        self.now += seconds
        self.used += seconds if self.running else 0.0


@pytest.mark.parametrize("cores", [0.25, 0.5])
def test_busy_process_gets_its_share(monkeypatch, cores):
    machine = Machine(monkeypatch)
    duty = DutyCycle(machine.clock, machine.signal)
    duty.add("t", 1, cores)
    while machine.now < 110:
        wait_s = duty.step()
        assert wait_s is not None
        machine.pass_time(max(wait_s, 0.0005))
    assert machine.used / 10 == pytest.approx(cores, rel=0.03)
    usage = duty.usage("t")
    assert usage is not None
    assert usage["nr_throttled"] == pytest.approx(100, abs=3)
    assert usage["throttled_s"] == pytest.approx(10 * (1 - cores), rel=0.05)


def test_idle_process_is_looked_at_rarely(monkeypatch):
    machine = Machine(monkeypatch)
    machine.running = False
    duty = DutyCycle(machine.clock, machine.signal)
    duty.add("t", 1, 0.25)
    steps = 0
    while machine.now < 101:
        machine.now += duty.step() or WINDOW_S
        steps += 1
    assert steps < 150


def test_nothing_to_do_without_tasks():
    assert DutyCycle(lambda: 1.0).step() is None


def test_all_are_continued_at_the_end(monkeypatch):
    machine = Machine(monkeypatch)
    duty = DutyCycle(machine.clock, machine.signal)
    duty.add("t", 1, 0.1)
    machine.used = 1.0
    duty.step()
    assert not machine.running
    duty.release_all()
    assert machine.running
