"""What counts of a step: on CloudWatch's level, without passwords, disturbance and warm-up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runbook.capacity.measured import LoadTest
from runbook.capacity.sample import (
    BLOCKS_PER_PERIOD,
    MIN_BLOCKS,
    on_cloudwatchs_level,
    samples_of,
)
from runbook.load.measurement import RawLoad


def _rewritten(test: LoadTest, number: int, change) -> LoadTest:
    """The test with one phase's recording changed; `change(raw, at_s)` returns what took when."""
    step = test.steps[number]
    path = test.folder / step.raw_file
    raw = RawLoad.load(path)
    change(raw, raw.intended_s - step.client.start_s).save(path)
    return test


def test_a_step_has_twenty_blocks_of_time(simulate, simulated_service) -> None:
    sample = samples_of(simulate(simulated_service(1)))[0]
    cut = sample.blocks(20.0)
    assert len(cut.requests) == BLOCKS_PER_PERIOD >= MIN_BLOCKS >= 20
    assert cut.requests.sum() == len(sample.latency_ms) == sample.counted.sum()


def test_what_the_client_sees_besides_is_added_not_multiplied(simulate, simulated_service) -> None:
    test = simulate(simulated_service(1))
    step = test.steps[3]
    raw = test.recording(step).between(step.client.start_s, step.client.end_s)
    late_ms = raw.latency_ms + 3.0
    level = on_cloudwatchs_level(late_ms, step)
    for percent, told in ((50, step.trt_p50_ms), (95, step.trt_p95_ms), (99, step.trt_p99_ms)):
        assert np.percentile(level, percent, method="inverted_cdf") == pytest.approx(told, abs=0.01)
    # Stretched to p95 alone the median would come out by far too long.
    alone = on_cloudwatchs_level(late_ms, replace(step, trt_p50_ms=None, trt_p99_ms=None))
    assert np.median(alone) == pytest.approx(step.trt_p50_ms, abs=0.3)
    assert on_cloudwatchs_level(late_ms, replace(step, trt_p95_ms=None)) is late_ms


def test_credentials_are_outside_the_slo(simulate, simulated_service) -> None:
    test = simulate(simulated_service(1))

    def passwords(raw: RawLoad, at_s) -> RawLoad:
        kind = (np.arange(len(raw)) % 10 == 0).astype(np.int16)
        slow = np.where(kind == 1, 0.3, 0.0)
        return replace(raw, done_s=raw.done_s + slow, kind=kind)

    _rewritten(test, 0, passwords)
    told = replace(test, route_classes=("read", "credential"))
    step = told.steps[0]
    steps = tuple(replace(s, trt_p50_ms=None, trt_p95_ms=None, trt_p99_ms=None) for s in told.steps)
    kept = samples_of(replace(told, steps=steps[:6]))[0]
    everything = samples_of(replace(test, steps=steps[:6]))[0]
    assert (everything.latency_ms > 20).mean() == pytest.approx(0.1, abs=0.01)
    assert (kept.latency_ms > 20).mean() == 0
    assert kept.counted.sum() < step.client.requests
    assert LoadTest.load(told.save(test.folder / "load_test.json")).route_classes == (
        "read", "credential",
    )  # fmt: skip


def _still(raw: RawLoad, at_s, start: float, end: float) -> RawLoad:
    """Nothing was answered from `start` to `end`, and what waited was answered at once then."""
    left = np.where((at_s >= start) & (at_s < end), end - at_s, 0.0)
    return replace(raw, done_s=raw.done_s + left)


def _untold(test: LoadTest) -> LoadTest:
    """The client's response times alone: they were rewritten and CloudWatch's were not."""
    steps = [replace(s, trt_p50_ms=None, trt_p95_ms=None, trt_p99_ms=None) for s in test.steps]
    return replace(test, steps=tuple(steps))


def test_a_disturbance_is_left_out_with_its_reason_and_the_rest_is_too_short(
    simulate, simulated_service
) -> None:
    test = _untold(simulate(simulated_service(1)))
    _rewritten(test, 1, lambda raw, at_s: _still(raw, at_s, 2.0, 4.0))
    sample = samples_of(test)[1]
    ((start, end),) = sample.dropped
    assert (start, end) == pytest.approx((2.0, 4.0), abs=0.51)
    assert "left out: slow, though these arrivals" in sample.note
    assert f"blocks of time are left, {MIN_BLOCKS} are needed" in sample.note
    assert (sample.latency_ms > 20).mean() < 0.02
    # Time left out takes no blocks: the others are as long as before.
    assert sample.block_count == pytest.approx(20 * (1 - (end - start) / 10), abs=0.6)
    assert set(sample.block_of) == set(range(sample.block_count))


def test_a_step_that_was_disturbed_for_long_does_not_count(simulate, simulated_service) -> None:
    """The seconds 2 to 6 of 10: what is left is no measurement of a period."""
    test = _untold(simulate(simulated_service(1)))
    _rewritten(test, 1, lambda raw, at_s: _still(raw, at_s, 2.0, 6.0))
    sample = samples_of(test)[1]
    assert sample.void.startswith("disturbed for 4.0 of 10.0 s (2.0 to 6.0 s): slow, though")


def test_what_recurs_is_the_services_own_and_counts(simulate, simulated_service) -> None:
    test = _untold(simulate(simulated_service(1)))
    before = samples_of(test)
    for number in range(6):
        _rewritten(test, number, lambda raw, at_s: _still(raw, at_s, 2.0, 3.0))
    found = samples_of(test)
    assert all(not sample.dropped for sample in found)
    assert "of 10 steps have slow stretches" in found[0].note
    assert (found[0].latency_ms > 20).mean() > 0.05 > (before[0].latency_ms > 20).mean()


def test_no_recording_is_an_error_with_advice(simulate, simulated_service) -> None:
    test = simulate(simulated_service(1))
    Path(test.folder / test.steps[0].raw_file).unlink()
    with pytest.raises(Exception, match="holds no recorded requests"):
        samples_of(test)
