import threading

import pytest

from local_region.cloudwatch.store import FINE_RETENTION_S, MetricKey, MetricStore

SCOPE = ("000000000000", "eu-west-1")
DIMENSIONS = {"LoadBalancer": "app/shop/1"}
KEY = MetricKey.of("AWS/ApplicationELB", "TargetResponseTime", DIMENSIONS)


class Clock:
    def __init__(self, now_s):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


@pytest.fixture
def store():
    return MetricStore(SCOPE, Clock(1000.0))


def put(store, at_s, values, **more):
    store.put(KEY.namespace, KEY.name, DIMENSIONS, at_s, "Seconds", values, **more)


def ask(store, statistic, start_s, end_s, period_s, **more):
    return store.statistic(
        KEY.namespace, KEY.name, DIMENSIONS, statistic, start_s, end_s, period_s, **more
    )


def test_periods_are_aligned_to_the_epoch_and_end_exclusive(store):
    for at_s in (990, 1000, 1010, 1020):
        put(store, at_s, [1.0])
    assert ask(store, "Sum", 990, 1020, 20) == [(980.0, 1.0), (1000.0, 2.0)]


def test_a_second_put_at_the_same_time_merges(store):
    put(store, 1000, [0.1], counts=[9.0])
    put(store, 1000, [0.5])
    assert ask(store, "SampleCount", 1000, 1010, 10) == [(1000.0, 10.0)]
    assert ask(store, "Maximum", 1000, 1010, 10) == [(1000.0, 0.5)]


def test_data_may_arrive_out_of_order(store):
    put(store, 1010, [2.0])
    put(store, 1000, [1.0])
    assert ask(store, "Average", 0, 2000, 10) == [(1000.0, 1.0), (1010.0, 2.0)]


def test_a_metric_is_its_dimensions_exactly(store):
    put(store, 1000, [1.0])
    store.put(KEY.namespace, KEY.name, {}, 1000, "Seconds", [5.0])
    assert ask(store, "Sum", 1000, 1010, 10) == [(1000.0, 1.0)]
    assert store.statistic(KEY.namespace, KEY.name, {}, "Sum", 1000, 1010, 10) == [(1000.0, 5.0)]


def test_regions_do_not_see_each_other(store):
    put(store, 1000, [1.0], scope=("000000000000", "us-east-1"))
    assert ask(store, "Sum", 1000, 1010, 10) == []
    assert ask(store, "Sum", 1000, 1010, 10, scope=("000000000000", "us-east-1"))


def test_a_unit_filters(store):
    put(store, 1000, [1.0])
    store.put(KEY.namespace, KEY.name, DIMENSIONS, 1000, "Milliseconds", [50.0])
    assert ask(store, "Sum", 1000, 1010, 10, unit="Milliseconds") == [(1000.0, 50.0)]


def test_values_without_their_counts_are_refused(store):
    with pytest.raises(ValueError, match="2 values with 1 counts"):
        put(store, 1000, [1.0, 2.0], counts=[1.0])


def test_nothing_seen_is_no_datapoint(store):
    put(store, 1000, [])
    put(store, 1000, [1.0], counts=[0.0])
    assert ask(store, "Sum", 0, 2000, 10) == []
    assert store.keys() == []


def test_old_data_is_merged_to_minutes_then_dropped():
    clock = Clock(0.0)
    store = MetricStore(SCOPE, clock, max_age_s=2 * FINE_RETENTION_S)
    for at_s in range(0, 120, 10):
        put(store, at_s, [float(at_s)])
    clock.now_s = FINE_RETENTION_S + 1000
    put(store, clock.now_s, [1.0])
    assert ask(store, "SampleCount", 0, 120, 10) == [(0.0, 6.0), (60.0, 6.0)]
    assert ask(store, "p100", 0, 120, 60) == [(0.0, 50.0), (60.0, 110.0)]
    clock.now_s += 2 * FINE_RETENTION_S
    put(store, clock.now_s, [1.0])
    assert ask(store, "SampleCount", 0, 120, 60) == []


def test_metrics_are_listed_with_recent_data_only(store):
    put(store, 500, [1.0])
    assert store.keys() == [KEY]
    assert store.keys(since_s=501) == []


def test_the_unit_is_the_newest_one(store):
    assert store.unit(KEY) == "None"
    put(store, 1000, [1.0])
    assert store.unit(KEY) == "Seconds"


def test_many_threads_lose_nothing(store):
    def work(n):
        for i in range(200):
            put(store, 1000 + i, [float(n)])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ask(store, "SampleCount", 1000, 1200, 200) == [(1000.0, 800.0)]
