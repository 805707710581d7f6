import threading
from types import SimpleNamespace

import pytest

from local_region.control_loop import ControlLoop, tick_end_s
from local_region.settings import Settings

SCOPE = ("000000000000", "eu-west-1")


@pytest.mark.parametrize(
    ("now_s", "end_s"), [(1000.0, 990), (1001.9, 990), (1002.0, 1000), (1011.99, 1000)]
)
def test_a_period_is_evaluated_when_its_data_is_in(now_s, end_s):
    assert tick_end_s(now_s, 2.0, 10) == end_s


class Recorder:
    def __init__(self):
        self.evaluated, self.ticked, self.settled = [], [], 0

    def evaluate_due(self, scope, end_s):
        self.evaluated.append((scope, end_s))
        return {"alarm"}

    def tick(self, scope, due):
        self.ticked.append((scope, due))

    def settle(self):
        self.settled += 1


@pytest.fixture
def loop():
    recorder = Recorder()
    time = SimpleNamespace(now_s=1005.0)
    context = SimpleNamespace(stopping=threading.Event(), settings=Settings())
    made = ControlLoop(context, recorder, recorder, lambda: time.now_s, lambda: {SCOPE})
    return made, recorder, time


def test_a_tick_for_every_periods_end_and_settling_between(loop):
    made, recorder, time = loop
    for now_s in (1005.5, 1012.0, 1012.5, 1022.1):
        time.now_s = now_s
        made.step()
    assert recorder.evaluated == [(SCOPE, 1010), (SCOPE, 1020)]
    assert recorder.ticked == [(SCOPE, {"alarm"})] * 2
    assert recorder.settled == 4


def test_after_a_standstill_only_the_newest_period_is_evaluated(loop):
    made, recorder, time = loop
    time.now_s = 1100.0
    made.step()
    assert recorder.evaluated == [(SCOPE, 1090)]
