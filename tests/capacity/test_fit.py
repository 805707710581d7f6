"""The fit against simulated services whose capacity is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runbook.capacity import direct, fit
from runbook.capacity.curve import CapacityCurve
from runbook.capacity.fit import fit_curve
from runbook.capacity.measured import LoadTest
from runbook.errors import InputInvalid, MeasurementVoid, SloMissed

#: c_SLO per task by simulating 2000 s at each rate (mean of 2.5 ms CPU, cv 0.15, 0.25 vCPU).
TRUE_C_SLO = {1: 74.5, 3: 89.0}


def test_the_known_capacity_is_found_for_each_task_count(simulate, simulated_service) -> None:
    curve = fit_curve(simulate(simulated_service(1), simulated_service(3)), resamples=300)
    for tasks, truth in TRUE_C_SLO.items():
        count = curve.count(tasks)
        assert count.c_slo_per_task_rps == pytest.approx(truth, rel=0.06)
        assert count.lo_per_task_rps < count.c_slo_per_task_rps < (count.hi_per_task_rps or 0)
        assert not count.censored
        assert count.blocks >= 20
        assert count.cpu_s_per_request == pytest.approx(0.0025, rel=0.02)
        assert count.cpu_idle_pct == pytest.approx(2.0, abs=0.5)
    # Round robin smooths arrivals: three tasks carry more each than one alone.
    assert curve.count(3).c_slo_per_task_rps > 1.1 * curve.count(1).c_slo_per_task_rps


def test_the_interval_covers_the_truth_in_most_experiments(simulate, simulated_service) -> None:
    found = [
        fit_curve(simulate(simulated_service(1), seed=seed), resamples=80, predict_up_to=1).counts[
            0
        ]
        for seed in range(1, 9)
    ]
    covered = sum(
        count.lo_per_task_rps <= TRUE_C_SLO[1] <= (count.hi_per_task_rps or np.inf)
        for count in found
    )
    assert covered >= 7
    estimates = [count.c_slo_per_task_rps for count in found]
    assert np.mean(estimates) == pytest.approx(TRUE_C_SLO[1], rel=0.025)


def test_points_hold_percentiles_of_all_requests_with_their_bounds(
    simulate, simulated_service
) -> None:
    points = (
        fit_curve(simulate(simulated_service(1)), resamples=50, predict_up_to=1).count(1).points
    )
    rates = [point.rate_per_task_rps for point in points]
    assert rates == sorted(rates)
    for point in points:
        assert point.p50_ms <= point.p95_ms <= point.p99_ms
        assert point.p95_lo_ms <= point.p95_ms <= point.p95_hi_ms


def test_latencies_are_taken_to_cloudwatchs_level(simulate, simulated_service) -> None:
    test = simulate(simulated_service(1))
    # The balancer says twice what the client measured: its word counts.
    doubled = [replace(step, trt_p95_ms=2 * (step.trt_p95_ms or 0)) for step in test.steps]
    slower = fit_curve(replace(test, steps=tuple(doubled)), resamples=50, predict_up_to=1).count(1)
    assert (
        slower.c_slo_per_task_rps
        < fit_curve(test, resamples=50, predict_up_to=1).count(1).c_slo_per_task_rps
    )
    assert slower.points[0].p95_ms == pytest.approx(doubled[0].trt_p95_ms, rel=0.01)


def _voided(test: LoadTest, keep: float, reason: str = "the host was the limit") -> LoadTest:
    """Void every step above a share of saturation (100 requests/s for one task)."""
    steps = [
        replace(step, void_reason=reason) if step.rate_rps > keep * 100 else step
        for step in test.steps
    ]
    return replace(test, steps=tuple(steps))


def test_an_slo_that_was_never_left_gives_a_labelled_lower_bound(
    simulate, simulated_service
) -> None:
    test = simulate(simulated_service(1))
    calm = [step for step in test.steps if (step.trt_p95_ms or 0) < 15]
    count = fit_curve(replace(test, steps=tuple(calm)), resamples=50, predict_up_to=1).count(1)
    highest = max(step.offered_per_task_rps for step in calm)
    assert count.censored
    assert count.c_slo_per_task_rps == pytest.approx(highest)
    assert count.hi_per_task_rps is None
    assert count.lo_per_task_rps <= highest
    assert any("lower bound" in note for note in count.notes)


def test_void_steps_stay_visible_with_their_reason(simulate, simulated_service) -> None:
    test = simulate(simulated_service(1))
    first = replace(test.steps[0], void_reason="the driver was late")
    count = fit_curve(
        replace(test, steps=(first, *test.steps[1:])), resamples=50, predict_up_to=1
    ).count(1)
    assert [step.reason for step in count.void] == ["the driver was late"]
    assert count.void[0].rate_per_task_rps not in [p.rate_per_task_rps for p in count.points]


def test_a_run_whose_decisive_steps_are_void_recommends_nothing(
    simulate, simulated_service
) -> None:
    test = simulate(simulated_service(1))
    with pytest.raises(MeasurementVoid, match=r"No capacity can be stated.*host was the limit"):
        fit_curve(_voided(test, 0.56), resamples=50, predict_up_to=1)
    crossing = [
        replace(step, void_reason="the host was the limit") if 66 < step.rate_rps < 84 else step
        for step in test.steps
    ]
    with pytest.raises(MeasurementVoid, match="near the crossing"):
        fit_curve(replace(test, steps=tuple(crossing)), resamples=50, predict_up_to=1)


def test_a_service_that_never_keeps_its_slo_is_a_finding(simulate, simulated_service) -> None:
    with pytest.raises(SloMissed, match="missed with 1 task"):
        fit_curve(simulate(simulated_service(1), slo_ms=0.5), resamples=50, predict_up_to=1)


def test_curve_and_load_test_survive_their_files(
    simulate, simulated_service, tmp_path: Path
) -> None:
    test = simulate(simulated_service(1))
    again = LoadTest.load(test.save(tmp_path / "load_test.json"))
    assert again == test
    curve = fit_curve(again, resamples=50, predict_up_to=1)
    assert CapacityCurve.load(curve.save(tmp_path / "capacity.json")) == curve
    assert len(test.frame()) == len(test.steps)
    assert set(curve.frame()["tasks"]) == {1}
    assert "p95 leaves 20 ms" in curve.summary()[0]
    with pytest.raises(InputInvalid, match="is not known"):
        curve.count(7)
    (tmp_path / "capacity.json").write_text('{"schema_version": 99}')
    with pytest.raises(InputInvalid, match="is no capacity curve"):
        CapacityCurve.load(tmp_path / "capacity.json")
    for text, why in (("", "it is no JSON: line 1, column 1"), ("[]", "it is not built like one")):
        (tmp_path / "capacity.json").write_text(text)
        with pytest.raises(InputInvalid, match=f"is no capacity curve: {why};"):
            CapacityCurve.load(tmp_path / "capacity.json")
    with pytest.raises(InputInvalid, match="is no capacity curve: is a directory;"):
        CapacityCurve.load(tmp_path)


def test_an_interval_that_reaches_zero_recommends_nothing(
    simulate, simulated_service, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = simulate(simulated_service(1))
    known = direct.find_crossing

    def hopeless(*args, **kwargs):
        found = known(*args, **kwargs)
        assert found is not None
        return replace(found, lo_rps=-20.0)

    monkeypatch.setattr(direct, "find_crossing", hopeless)
    with pytest.raises(MeasurementVoid, match=r"reaches -20\.0"):
        fit_curve(test, resamples=50, predict_up_to=1)


def test_the_model_explains_the_steps_and_predicts_a_count_that_was_not_measured(
    simulate, simulated_service
) -> None:
    curve = fit_curve(simulate(simulated_service(1), simulated_service(3)), predict_up_to=2)
    assert curve.model is not None
    assert curve.model.doubt == ""
    assert curve.model.quota_factor == pytest.approx(1.0, abs=0.05)
    assert curve.model.rms_residual < 2
    assert {count.method for count in curve.counts} == {"logistic fit and queueing model"}
    (two,) = curve.model.predictions
    # By simulating 2000 s at each rate.
    assert two.c_slo_per_task_rps == pytest.approx(85.2, rel=0.04)
    assert two.lo_per_task_rps < two.c_slo_per_task_rps < two.hi_per_task_rps
    for count in curve.counts:
        assert count.direct is not None
        assert count.logit is not None
        odds = count.logit[0] + count.logit[1] * count.c_slo_per_task_rps
        assert 1 / (1 + np.exp(-odds)) == pytest.approx(0.05)
    one = curve.count(1)
    assert one.direct is not None
    # Both know more than either, though the model brings its own error.
    assert (one.hi_per_task_rps or np.inf) - one.lo_per_task_rps < one.direct[2] - one.direct[1]
    assert curve.scalability is not None
    assert curve.scalability.efficiency > 1.05
    assert len(curve.residuals()) == len(curve.model.residuals)


def test_a_service_that_is_no_such_queue_keeps_the_direct_fit(simulate, simulated_service) -> None:
    test = simulate(simulated_service(1))
    # Slow answers that no quota explains: the model must not decide.
    slow = [
        replace(step, cpu_pct=(step.cpu_pct or 0) * 0.3, throttled_pct=0.0) for step in test.steps
    ]
    count = fit_curve(replace(test, steps=tuple(slow)), resamples=50, predict_up_to=1).count(1)
    assert count.method == "logistic fit"
    assert any("queueing model" in note and "not" in note for note in count.notes)
    assert any("CPU throttling does not govern p95" in note for note in count.notes)


def _shares(test: LoadTest, told: dict[int, float]) -> LoadTest:
    """Some steps of a test, each with a share of its requests made slow, spread over all of it."""
    steps = []
    for number, share in told.items():
        step = test.steps[number]
        path = test.folder / f"share-{number}.npz"
        raw = test.recording(step)
        slow = np.arange(len(raw)) % 100 < 100 * share
        replace(raw, done_s=np.where(slow, raw.intended_s + 0.06, raw.intended_s + 0.004)).save(
            path
        )
        plain = replace(step, trt_p50_ms=None, trt_p95_ms=None, trt_p99_ms=None, cpu_pct=None)
        steps.append(replace(plain, raw_file=path.name))
    return replace(test, steps=tuple(steps))


def test_slowness_that_does_not_follow_the_load_states_no_capacity(
    simulate, simulated_service
) -> None:
    """9, 8 and 7 % slow at rising rates, then 4 % at the highest: that is no lower bound."""
    test = simulate(simulated_service(1))
    falling = _shares(test, {0: 0.09, 1: 0.08, 2: 0.07, 3: 0.04})
    with pytest.raises(MeasurementVoid, match="does not rise with the rate"):
        fit_curve(falling, resamples=50, predict_up_to=1)


def test_a_lower_bound_ends_at_the_first_rate_that_misses(simulate, simulated_service) -> None:
    test = simulate(simulated_service(1))
    blip = _shares(test, {0: 0.0, 1: 0.01, 2: 0.01, 4: 0.06, 5: 0.03})
    count = fit_curve(blip, resamples=50, predict_up_to=1).count(1)
    assert count.censored
    assert count.c_slo_per_task_rps == pytest.approx(test.steps[2].offered_per_task_rps)
    # Few blocks near it are said of a lower bound, too.
    assert any("weak interval" in note for note in count.notes)


def test_a_model_that_one_count_contradicts_predicts_no_other(
    simulate, simulated_service, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = simulate(simulated_service(1), simulated_service(3))
    known = fit.fit_direct

    def elsewhere(load_test, tasks, *args, **kwargs):
        found = known(load_test, tasks, *args, **kwargs)
        assert found.hi is not None
        moved = (0.7 * found.rate, 0.7 * found.lo, 0.7 * found.hi)
        return replace(found, rate=moved[0], lo=moved[1], hi=moved[2]) if tasks == 3 else found

    monkeypatch.setattr(fit, "fit_direct", elsewhere)
    curve = fit_curve(test, resamples=50, predict_up_to=2)
    assert curve.model is not None
    assert "it contradicts the steps with 3 task(s)" in curve.model.doubt
    assert curve.model.predictions == ()
    assert {count.method for count in curve.counts} == {"logistic fit"}


def test_the_models_error_and_its_source_are_told(simulate, simulated_service) -> None:
    curve = fit_curve(simulate(simulated_service(1)), resamples=50, predict_up_to=1)
    assert curve.model is not None
    assert curve.model.error_pct == pytest.approx(8.9, abs=0.1)
    (note,) = [note for note in curve.count(1).notes if note.startswith("c_SLO is")]
    assert "resampled in blocks of time" in note
    assert "9 % for its own error in predicting held-back task counts" in note
