"""The scheduler's clock, on a clock of our own."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from local_region.cloudwatch.store import MetricStore
from local_region.schedules import scheduler as module
from local_region.schedules import targets
from local_region.schedules.scheduler import Scheduler, refuse
from local_region.schedules.targets import TargetFailed
from local_region.settings import Settings

SCOPE = ("000000000000", "eu-west-1")


class World:
    """Schedules in memory, a clock to set, and what was invoked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        self.records: dict[str, dict] = {}
        self.failures: list[TargetFailed] = []
        self.letters: list[dict] = []
        self.metrics = MetricStore(SCOPE)
        monkeypatch.setattr(module.seam, "schedules", self._schedules)
        monkeypatch.setattr(module.seam, "delete_schedule", lambda a, r, key: self.records.pop(key))
        monkeypatch.setattr(targets, "invoke", self._invoke)
        context = SimpleNamespace(
            stopping=threading.Event(),
            settings=Settings(),
            metrics=self.metrics,
            client=self._client,
        )
        self.scheduler = Scheduler(context, clock=lambda: self.now_s)

    def put(self, expression: str, **more: object) -> dict:
        record = {
            "Arn": "arn:s", "Name": "s", "GroupName": "default", "State": "ENABLED",
            "ScheduleExpression": expression, "ScheduleExpressionTimezone": "UTC",
            "CreationDate": self.now_s, "LastModificationDate": self.now_s,
            "Target": {
                "Arn": "arn:aws:ecs:eu-west-1:0:cluster/c", "DeadLetterConfig": {"Arn": "a:q"},
            },
            **more,
        }  # fmt: skip
        self.records["default/s"] = record
        return record

    def at(self, now_s: float) -> list[float]:
        """Go to a time; the occurrences that were started there."""
        self.now_s = now_s
        return [invocation.scheduled_s for invocation in self.scheduler.step()]

    def _schedules(self):
        return [(*SCOPE, key, dict(record)) for key, record in self.records.items()]

    def _invoke(self, invocation, client):
        if self.failures:
            raise self.failures.pop(0)
        return "arn:task"

    def _client(self, service, region, account):
        def send(**message):
            self.letters.append(message)

        return SimpleNamespace(
            get_queue_url=lambda **asked: {"QueueUrl": asked["QueueName"]}, send_message=send
        )


@pytest.fixture
def world(monkeypatch):
    made = World(monkeypatch)
    # Attempts run in the test's own thread, when it says so.
    monkeypatch.setattr(made.scheduler._workers, "submit", lambda call, *arguments: None)
    monkeypatch.setattr("local_region.schedules.delivery._payload", lambda *arguments: "{}")
    return made


def test_a_rate_fires_at_once_and_then_at_its_step(world):
    world.put("rate(1 minute)")
    assert world.at(1000.0) == [1000.0]
    assert [world.at(t) for t in (1001.0, 1059.9, 1060.0, 1061.0)] == [[], [], [1060.0], []]
    (entry,) = world.scheduler.status()["schedules"]
    assert entry["next_at"].startswith("1970-01-01T00:18:40")


def test_a_standstill_is_made_up_for_once(world):
    world.put("rate(1 minute)")
    world.at(1000.0)
    assert world.at(1400.0) == [1060.0]
    assert world.at(1419.0) == []
    assert world.at(1420.0) == [1420.0]


def test_at_fires_once_and_is_deleted_if_so_asked(world):
    world.put("at(1970-01-01T00:17:00)", ActionAfterCompletion="DELETE")
    assert [world.at(1019.0), world.at(1020.2), world.at(1021.0)] == [[], [1020.0], []]
    assert world.records == {}


def test_a_time_that_has_passed_never_fires(world):
    world.put("at(1970-01-01T00:16:00)")
    assert world.at(1000.0) == world.at(5000.0) == []


def test_a_disabled_schedule_skips_its_occurrences(world):
    record = world.put("rate(1 minute)", State="DISABLED")
    assert world.at(1000.0) == world.at(1060.0) == []
    record["State"] = "ENABLED"
    assert world.at(1070.0) == []
    assert world.at(1120.0) == [1120.0]


def test_start_and_end_dates_bound_a_rate(world):
    world.put("rate(1 minute)", StartDate=1100, EndDate=1170)
    assert [world.at(t) for t in (1000.0, 1100.0, 1160.0, 1220.0, 1280.0)] == [
        [], [1100.0], [1160.0], [], [],
    ]  # fmt: skip


def test_a_changed_schedule_begins_anew(world):
    world.put("rate(1 hour)")
    world.at(1000.0)
    world.now_s = 1500.0
    world.put("cron(0 * * * ? *)")
    assert world.at(1500.0) == []
    assert world.at(3600.0) == [3600.0]


def test_a_failure_is_retried_then_buried(world):
    world.put("rate(1 day)")["Target"]["RetryPolicy"] = {"MaximumRetryAttempts": 1}
    world.failures = [TargetFailed("ServerException", "oops", retryable=True) for _ in range(2)]
    world.now_s = 1000.0
    (first,) = world.scheduler.step()
    world.scheduler.attempt(first)
    assert world.scheduler.step() == []
    world.now_s = 1001.0
    (second,) = world.scheduler.step()
    world.scheduler.attempt(second)
    assert second.attempt == 2
    (letter,) = world.letters
    assert letter["QueueUrl"] == "q"
    assert letter["MessageAttributes"]["EXHAUSTED_RETRY_CONDITION"]["StringValue"] == (
        "MaximumRetryAttempts"
    )
    assert [e["outcome"] for e in world.scheduler.status()["occurrences"]] == [
        "to be retried", "dead-lettered",
    ]  # fmt: skip
    assert counted(world, "InvocationAttemptCount") == 2
    assert counted(world, "InvocationsSentToDeadLetterCount") == 1


def test_without_a_queue_what_is_given_up_is_counted_as_dropped(world):
    world.put("rate(1 day)")["Target"].pop("DeadLetterConfig")
    world.failures = [TargetFailed("ClusterNotFoundException", "gone", retryable=False)]
    (first,) = world.scheduler.step()
    world.scheduler.attempt(first)
    assert world.letters == []
    assert counted(world, "InvocationDroppedCount") == 1


def counted(world: World, metric: str) -> float:
    found = world.metrics.statistic(
        "AWS/Scheduler", metric, {"ScheduleGroup": "default"}, "Sum", 0, 10_000, 10_000
    )
    return sum(value for _, value in found)


def test_refused_are_bad_expressions_zones_and_windows():
    good = {"ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": {"Mode": "OFF"}}
    assert refuse(good) == ""
    assert "Invalid" in refuse({**good, "ScheduleExpression": "every day"})
    assert "Timezone" in refuse({**good, "ScheduleExpressionTimezone": "Nowhere"})
    assert "MaximumWindow" in refuse({**good, "FlexibleTimeWindow": {"Mode": "FLEXIBLE"}})
