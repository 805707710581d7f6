from datetime import UTC, datetime

import pytest

from local_region.schedules.expressions import InvalidExpression, parse


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def following(expression: str, zone: str, after: str, count: int = 2) -> list[str]:
    """The next occurrences after a UTC time, as UTC times."""
    read, moment, found = parse(expression, zone, 0.0), at(after), []
    for _ in range(count):
        moment = read.next(moment)
        if moment is None:
            break
        found.append(datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M"))
    return found


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # Every example of AWS's page on schedule types, and what the fields can say besides.
        ("cron(15 10 ? * 6L 2026-2027)", "UTC", "2026-11-01T00:00",
         ["2026-11-27T10:15", "2026-12-25T10:15"]),
        ("cron(0 8 1 * ? *)", "UTC", "2026-11-23T23:00", ["2026-12-01T08:00", "2027-01-01T08:00"]),
        ("cron(0 18 ? * MON-FRI *)", "UTC", "2026-11-27T18:00",
         ["2026-11-30T18:00", "2026-12-01T18:00"]),
        ("cron(0/10 * ? * MON-FRI *)", "UTC", "2026-11-27T23:45",
         ["2026-11-27T23:50", "2026-11-30T00:00"]),
        ("cron(0 0 L * ? *)", "UTC", "2028-02-01T00:00", ["2028-02-29T00:00", "2028-03-31T00:00"]),
        ("cron(0 9 ? * 2#1 *)", "UTC", "2026-11-23T00:00",
         ["2026-12-07T09:00", "2027-01-04T09:00"]),
        ("cron(0 9 15W * ? *)", "UTC", "2026-11-01T00:00",
         ["2026-11-16T09:00", "2026-12-15T09:00"]),
        ("cron(0 9 LW * ? *)", "UTC", "2026-10-01T00:00", ["2026-10-30T09:00", "2026-11-30T09:00"]),
        ("cron(30 6,18 * JAN,JUL ? 2027)", "UTC", "2027-07-31T06:30", ["2027-07-31T18:30"]),
        ("cron(0 7 * * ? *)", "Europe/Berlin", "2026-11-23T00:00",
         ["2026-11-23T06:00", "2026-11-24T06:00"]),
        # The hour that does not exist is skipped; the one that comes twice counts once.
        ("cron(30 2 * * ? *)", "Europe/Berlin", "2027-03-27T00:00",
         ["2027-03-27T01:30", "2027-03-29T00:30"]),
        ("cron(30 2 * * ? *)", "Europe/Berlin", "2026-10-24T00:00",
         ["2026-10-24T00:30", "2026-10-25T00:30"]),
        ("cron(30 2 * * ? *)", "Europe/Berlin", "2026-10-25T00:30",
         ["2026-10-26T01:30", "2026-10-27T01:30"]),
        ("at(2026-11-24T06:30:00)", "America/New_York", "2026-11-24T00:00", ["2026-11-24T11:30"]),
        ("at(2026-11-24T06:30:00)", "UTC", "2026-11-24T06:30", []),
    ],
)  # fmt: skip
def test_occurrences(expression, zone, after, expected):
    assert following(expression, zone, after) == expected


def test_a_rate_begins_at_its_anchor_and_keeps_its_step():
    rate = parse("rate(5 minutes)", "UTC", 1000.0)
    assert [rate.next(0.0), rate.next(1000.0), rate.next(1299.0), rate.next(1300.0)] == [
        1000.0, 1300.0, 1300.0, 1600.0,
    ]  # fmt: skip
    assert parse("rate(1 day)", "Europe/Berlin", 0.0).next(0.0) == 86_400


@pytest.mark.parametrize(
    "expression",
    [
        "rate(5 minute)", "rate(1 minutes)", "rate(0 minutes)", "rate(5 seconds)", "rate(-1 hours)",
        "cron(0 8 * * *)", "cron(0 8 * * * *)", "cron(0 8 ? * ? *)", "cron(60 8 * * ? *)",
        "cron(0 24 * * ? *)", "cron(0 8 32 * ? *)", "cron(0 8 * 13 ? *)", "cron(0 8 ? * 8 *)",
        "cron(0 8 * * ? 1969)", "0 8 * * ? *", "at(2026-02-30T00:00:00)", "at(tomorrow)", "",
    ],
)  # fmt: skip
def test_what_aws_refuses_is_refused(expression):
    with pytest.raises(InvalidExpression, match="Invalid Schedule Expression"):
        parse(expression, "UTC", 0.0)


def test_an_unknown_time_zone_is_refused():
    with pytest.raises(InvalidExpression, match="Mars/Olympus"):
        parse("rate(1 hour)", "Mars/Olympus", 0.0)
