"""The CPU bucket on a clock that only moves when told."""

import json
from dataclasses import dataclass

import pytest

from app.throttle import CpuBucket, CpuShare

SHARE = 0.25  # 25 ms per 100 ms


@dataclass
class FakeClock:
    now_s: float = 1000.0
    cpu_s: float = 3.0

    def monotonic(self):
        return self.now_s

    def process_time(self):
        return self.cpu_s

    def sleep(self, seconds):
        assert seconds >= 0
        self.now_s += seconds + 1e-4  # as every real sleep, a little late

    def work(self, cpu_s):
        self.now_s += cpu_s
        self.cpu_s += cpu_s


@pytest.fixture
def clock():
    return FakeClock()


def test_nobody_waits_within_the_quota(clock):
    bucket = CpuBucket(SHARE, clock)
    for _ in range(100):
        bucket.wait()
        clock.work(0.005)
        clock.now_s += 0.095
    assert bucket.stat.nr_throttled == 0
    assert bucket.stat.nr_periods in {100, 101}


def test_busy_work_is_held_to_the_share(clock):
    bucket = CpuBucket(SHARE, clock)
    began_s, cpu_before_s = clock.now_s, clock.cpu_s
    for _ in range(1000):
        bucket.wait()
        clock.work(0.003)
    share = (clock.cpu_s - cpu_before_s) / (clock.now_s - began_s)
    assert share == pytest.approx(SHARE, rel=0.03)
    assert bucket.stat.nr_throttled / bucket.stat.nr_periods > 0.9
    assert bucket.stat.usage_usec == pytest.approx((3.0 + 2.997) * 1e6)


def test_what_is_overdrawn_is_paid_back_by_later_periods(clock):
    bucket = CpuBucket(SHARE, clock)
    bucket.wait()
    clock.work(0.08)  # 55 ms over: two full periods and a part of a third
    began_s = clock.now_s
    bucket.wait()
    assert clock.now_s == pytest.approx(1000.3, abs=0.001)
    assert bucket.stat.nr_throttled == 3
    assert bucket.stat.throttled_usec == pytest.approx((clock.now_s - began_s) * 1e6, abs=3)


def test_idle_periods_do_not_save_up(clock):
    bucket = CpuBucket(SHARE, clock)
    clock.now_s += 60
    bucket.wait()
    clock.work(0.026)
    bucket.wait()
    assert bucket.stat.nr_throttled == 1


def _call(share, path):
    return share({"PATH_INFO": path}, lambda *_: None)


def _working_app(clock, cpu_s):
    def app(environ, start_response):
        clock.work(cpu_s)
        return [b"a", b"b"]

    return app


@pytest.mark.parametrize(
    ("path", "waits"), [("/products", True), ("/health", False), ("/ready", False)]
)
def test_only_probes_go_past(clock, path, waits):
    share = CpuShare(_working_app(clock, 0.03), SHARE, clock=clock)
    _call(share, "/products")
    before_s = clock.now_s
    assert _call(share, path) == [b"ab"]
    assert (clock.now_s - before_s > 0.05) is waits


def test_the_body_is_produced_and_closed_inside_the_share(clock):
    closed = []

    class Body:
        def __iter__(self):
            clock.work(0.04)
            yield b"late"

        def close(self):
            closed.append(True)

    share = CpuShare(lambda *_: Body(), SHARE, clock=clock)
    assert _call(share, "/products") == [b"late"]
    assert closed == [True]
    before_s = clock.now_s
    _call(share, "/products")
    assert clock.now_s - before_s > 0.05


def test_counts_are_written_at_most_once_a_second(clock, tmp_path):
    path = tmp_path / "stat.json"
    share = CpuShare(_working_app(clock, 0.03), SHARE, path, clock)
    _call(share, "/products")
    first = json.loads(path.read_text())
    assert set(first) == {"nr_periods", "nr_throttled", "throttled_usec", "usage_usec"}
    _call(share, "/products")
    assert json.loads(path.read_text()) == first
    clock.now_s += 1
    _call(share, "/ready")
    second = json.loads(path.read_text())
    assert second["nr_throttled"] >= 1
    assert second["usage_usec"] - first["usage_usec"] == 60_000
    assert list(tmp_path.iterdir()) == [path]
