import numpy as np
import pytest

from local_region.cloudwatch.statistics import (
    Samples,
    StatisticSet,
    UnsupportedStatistic,
    percentile_rank,
    statistic_of,
)


def samples(values, counts=None, sets=()):
    counts = counts or [1.0] * len(values)
    return Samples.of(values, counts, tuple(sets))


def test_basic_statistics_weigh_values_by_their_counts():
    data = samples([1.0, 4.0], [3.0, 1.0])
    assert statistic_of(data, "SampleCount") == 4
    assert statistic_of(data, "Sum") == 7
    assert statistic_of(data, "Average") == 1.75
    assert statistic_of(data, "Minimum") == 1
    assert statistic_of(data, "Maximum") == 4


@pytest.mark.parametrize("rank", [0, 1, 25, 50, 90, 95, 99, 99.9, 100])
def test_percentiles_are_those_of_the_expanded_samples(rank):
    values, counts = [0.9, 0.1, 0.4, 0.2], [1, 7, 3, 20]
    expanded = np.repeat(values, counts)
    got = statistic_of(samples(values, [float(c) for c in counts]), f"p{rank}")
    assert got == pytest.approx(np.percentile(expanded, rank))


def test_the_median_of_one_sample_is_the_sample():
    assert statistic_of(samples([0.3]), "p50") == 0.3


def test_a_statistic_set_counts_in_sums_but_has_no_percentile():
    data = samples([2.0], sets=[StatisticSet(2, 10.0, 4.0, 6.0)])
    assert statistic_of(data, "Sum") == 12
    assert statistic_of(data, "Maximum") == 6
    assert statistic_of(data, "p95") is None


def test_a_statistic_set_of_one_value_has_percentiles():
    assert statistic_of(samples([], sets=[StatisticSet(3, 6.0, 2.0, 2.0)]), "p50") == 2.0


def test_negative_values_have_no_percentile():
    assert statistic_of(samples([-1.0, 2.0]), "p50") is None


@pytest.mark.parametrize("name", ["tm99", "wm(10%:90%)", "IQM", "p101", "average", "p"])
def test_what_is_not_computed_is_refused_not_averaged(name):
    with pytest.raises(UnsupportedStatistic, match="not emulated"):
        statistic_of(samples([1.0]), name)


@pytest.mark.parametrize(
    ("name", "rank"), [("p95", 95.0), ("p99.9", 99.9), ("p0", 0.0), ("x", None)]
)
def test_percentile_names(name, rank):
    assert percentile_rank(name) == rank


def test_merging_keeps_every_sample():
    merged = Samples.merged([samples([1.0]), samples([3.0], [2.0])])
    assert statistic_of(merged, "Sum") == 7
