"""What repeats goes on after a failure and ends when told to, by its owner or the region."""

from __future__ import annotations

import threading

from local_region.repeating import Repeating


class Counting(Repeating):
    """Fails at its first step, tells when it has taken three."""

    def __init__(self, region_stopping: threading.Event) -> None:
        super().__init__("counting", region_stopping)
        self.steps = 0
        self.third = threading.Event()

    def step(self) -> None:
        self.steps += 1
        if self.steps == 1:
            raise OSError("for once")
        if self.steps == 3:
            self.third.set()

    def pause_s(self) -> float:
        return 0.001


def test_a_failed_step_is_logged_and_not_the_last(caplog):
    repeating = Counting(threading.Event())
    repeating.start()
    assert repeating.third.wait(10)
    repeating.stop(10)
    repeating.stop(10)
    assert "counting stumbled" in caplog.text
    assert not any(thread.name == "region-counting" for thread in threading.enumerate())


def test_it_ends_with_the_region():
    stopping = threading.Event()
    repeating = Counting(stopping)
    repeating.start()
    assert repeating.third.wait(10)
    stopping.set()
    repeating.stop(10)
    assert not any(thread.name == "region-counting" for thread in threading.enumerate())


def test_what_never_began_can_be_stopped():
    repeating = Counting(threading.Event())
    repeating.stop(10)
    assert repeating.steps == 0
