"""Alarm history and scaling activities as frames."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pandas as pd
import pytest
from dateutil.tz import tzutc

from runbook.metrics.history import read_alarm_history, read_scaling_activities, scaling_alarms

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def _at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class FakeAutoScaling:
    def describe_scaling_policies(self, **request: Any) -> dict[str, Any]:
        assert request["ResourceId"] == "service/shop/web"
        first = {"PolicyName": "requests", "PolicyType": "TargetTrackingScaling"}
        second = {"PolicyName": "step", "PolicyType": "StepScaling"}
        if "NextToken" not in request:
            alarms = [{"AlarmName": "high"}, {"AlarmName": "low"}]
            return {"ScalingPolicies": [{**first, "Alarms": alarms}], "NextToken": "2"}
        return {"ScalingPolicies": [{**second, "Alarms": [{"AlarmName": "p95"}]}]}

    def describe_scaling_activities(self, **request: Any) -> dict[str, Any]:
        def activity(at_s: float, text: str) -> dict[str, Any]:
            return {
                # As boto3 gives them.
                "StartTime": _at(at_s).astimezone(tzutc()),
                "EndTime": _at(at_s + 1).astimezone(tzutc()),
                "StatusCode": "Successful",
                "Description": text,
                "Cause": "monitor alarm high in state ALARM",
            }

        return {
            "ScalingActivities": [
                activity(60, "Setting desired count to 3."),
                activity(20, "Setting desired count to 2."),
                activity(-500, "Setting desired count to 9."),
            ]
        }


class FakeCloudWatch:
    def describe_alarms(self, **request: Any) -> dict[str, Any]:
        assert request["AlarmNames"] == ["high", "low", "p95"]
        common = {"Threshold": 100.0, "EvaluationPeriods": 3}
        return {
            "MetricAlarms": [
                {
                    "AlarmName": "high",
                    "Period": 10,
                    "ComparisonOperator": "GreaterThanThreshold",
                    **common,
                },
                {
                    "AlarmName": "low",
                    "Period": 10,
                    "ComparisonOperator": "LessThanThreshold",
                    **common,
                    "EvaluationPeriods": 6,
                },
                {
                    "AlarmName": "p95",
                    "Metrics": [
                        {"Id": "e", "Expression": "IF(cpu > 40, p95, 0)"},
                        {"Id": "p95", "MetricStat": {"Period": 20}},
                    ],
                    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
                    **common,
                },
            ]
        }

    def describe_alarm_history(self, **request: Any) -> dict[str, Any]:
        def item(at_s: float, old: str, new: str) -> dict[str, Any]:
            data = {
                "oldState": {"stateValue": old},
                "newState": {"stateValue": new, "stateReason": f"{new} because"},
            }
            return {"Timestamp": _at(at_s), "HistoryData": json.dumps(data)}

        if request["AlarmName"] != "high":
            return {"AlarmHistoryItems": []}
        if "NextToken" not in request:
            return {"AlarmHistoryItems": [item(90, "ALARM", "OK")], "NextToken": "x"}
        return {"AlarmHistoryItems": [item(30, "OK", "ALARM")]}


def test_alarms_carry_their_policy_direction_and_period() -> None:
    alarms = scaling_alarms(FakeAutoScaling(), FakeCloudWatch(), "service/shop/web")
    facts = {alarm.name: (alarm.policy, alarm.direction, alarm.reaction_s) for alarm in alarms}
    assert facts == {
        "high": ("requests", "out", 30),
        "low": ("requests", "in", 60),
        "p95": ("step", "out", 60),
    }


def test_alarm_history_is_paged_and_ascending() -> None:
    frame = read_alarm_history(FakeCloudWatch(), ["high", "low"], START, _at(100))
    assert frame["to_state"].tolist() == ["ALARM", "OK"]
    assert frame["from_state"].tolist() == ["OK", "ALARM"]
    assert frame["reason"].iloc[0] == "ALARM because"
    assert frame.index[0] == _at(30)


def test_activities_give_the_count_they_asked_for() -> None:
    frame = read_scaling_activities(FakeAutoScaling(), "service/shop/web", START, _at(100))
    assert frame["desired"].tolist() == [2.0, 3.0]
    assert frame.index[0] == _at(20)
    saved = StringIO(frame.to_json(orient="table", date_unit="ms"))
    assert pd.read_json(saved, orient="table")["ended_at"].tolist() == [_at(21), _at(61)]


@pytest.mark.parametrize("reader", [read_alarm_history, read_scaling_activities])
def test_nothing_happened_is_an_empty_frame(reader: Any) -> None:
    class Nothing:
        def describe_scaling_activities(self, **_: Any) -> dict[str, Any]:
            return {"ScalingActivities": []}

    source = FakeCloudWatch() if reader is read_alarm_history else Nothing()
    frame = reader(source, [] if reader is read_alarm_history else "x", START, _at(1))
    assert frame.empty
    assert str(frame.index.tz) == "UTC"
