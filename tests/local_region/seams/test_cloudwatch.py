"""Each name of the emulator that `seams.cloudwatch` reaches for."""

import asyncio
import json

import pytest

from local_region.errors import AwsError
from local_region.seams import cloudwatch, core


@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("PutMetricData", "_put_metric_data"),
        ("ListMetrics", "_list_metrics"),
        ("GetMetricStatistics", "_get_metric_statistics"),
        ("GetMetricData", "_get_metric_data"),
        ("PutMetricAlarm", "_put_metric_alarm"),
        ("DescribeAlarmsForMetric", "_describe_alarms_for_metric"),
    ],
)
def test_an_operation_is_answered_by_ours_in_both_protocols(cw, restore, action, name):
    restore(cw, name)
    seen = []

    def operation(request):
        seen.append(request)
        if "Fail" in request:
            raise AwsError("ValidationError", "no")
        return {"Answer": 1}

    cloudwatch.replace_operation(action, operation)

    def ask(headers, body):
        return asyncio.run(cw.handle_request("POST", "/", headers, body, {}))

    target = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"G.{action}"}
    assert ask(target, b'{"A": [1]}')[2] == b'{"Answer": 1}'
    status, _, body = ask(target, b'{"Fail": 1}')
    assert (status, json.loads(body)["__type"]) == (400, "ValidationError")
    status, headers, body = ask({"content-type": "application/x-www-form-urlencoded"},
                                f"Action={action}&A.member.1=x".encode())  # fmt: skip
    assert (status, headers["Content-Type"]) == (200, "text/xml")
    assert f"<{action}Result><Answer>1</Answer>".encode() in body
    assert seen[0] == {"A": [1]}
    assert seen[-1]["A"] == ["x"]
    assert ask({"content-type": "application/cbor"}, b"")[0] in (400, 415)


def test_the_emulators_own_evaluator_is_silent(cw, restore):
    restore(cw, "_evaluate_alarm")
    restore(cw, "_evaluate_all_alarms")
    cloudwatch.silence_own_evaluator()
    cw._evaluate_all_alarms()
    assert cw._evaluate_alarm({}) is None


def test_metrics_of_other_services_come_to_us(cw, restore):
    restore(cw, "record_metric")
    got = []
    cloudwatch.publish_service_metrics_to(lambda *arguments, **more: got.append((arguments, more)))
    cw.record_metric("AWS/Lambda", "Errors", 1.0, dimensions={"FunctionName": "f"})
    assert got == [(("AWS/Lambda", "Errors", 1.0), {"dimensions": {"FunctionName": "f"}})]


def alarm(name="a"):
    return {
        "AlarmName": name,
        "AlarmArn": f"arn:aws:cloudwatch:eu-west-1:000000000000:alarm:{name}",
        "StateValue": "OK",
        "StateReason": "",
        "ActionsEnabled": True,
        "AlarmActions": ["arn:aws:sns:eu-west-1:000000000000:page"],
        "OKActions": [],
        "InsufficientDataActions": [],
    }


def test_alarms_are_kept_tagged_and_deleted(cw):
    cloudwatch.put_alarm(alarm())
    cloudwatch.tag_alarm("a", {"k": "v"})
    assert cw._resource_tags[alarm()["AlarmArn"]] == {"k": "v"}
    assert set(cloudwatch.alarms()) == {"a"}
    cloudwatch.delete_alarm("a")
    cloudwatch.delete_alarm("a")
    assert cloudwatch.alarms() == {}


def test_a_transition_is_recorded_notified_and_passed_up(cw, monkeypatch):
    sent = []
    sns = core.module("services.sns")
    monkeypatch.setattr(sns, "_fanout", lambda topic, *rest: sent.append(topic))
    cloudwatch.put_alarm(alarm())
    cw._composite_alarms["page"] = {**alarm("page"), "AlarmRule": 'ALARM("a")'}
    cloudwatch.record_transition(cloudwatch.alarms()["a"], "ALARM", "hot", {"x": 1}, 12.5)
    assert cloudwatch.alarms()["a"]["StateValue"] == "ALARM"
    assert json.loads(cloudwatch.alarms()["a"]["StateReasonData"]) == {"x": 1}
    assert cloudwatch.composite_alarms()["page"]["StateValue"] == "ALARM"
    entry = next(e for e in cw._history_entries() if "from OK to ALARM" in e["HistorySummary"])
    assert (entry["AlarmName"], entry["Timestamp"]) == ("a", 12.5)
    assert sent == ["arn:aws:sns:eu-west-1:000000000000:page"] * 2


def test_the_history_is_described_with_its_fractions(cw):
    cloudwatch.put_alarm(alarm())
    cloudwatch.record_transition(cloudwatch.alarms()["a"], "INSUFFICIENT_DATA", "x", {}, 12.5)
    cloudwatch.record_action(cloudwatch.alarms()["a"], "did it", {}, 13.5)
    _, _, body = cw._describe_alarm_history({}, {"AlarmName": "a"}, False, True)
    times = [item["Timestamp"] for item in json.loads(body)["AlarmHistoryItems"]]
    assert times[:2] == [13.5, 12.5]
