import pytest

from local_region.cloudformation import monitoring

ALARM = {
    "Namespace": "N", "MetricName": "M", "Statistic": "Sum", "Period": "10",
    "EvaluationPeriods": "3", "Threshold": "1", "ComparisonOperator": "GreaterThanThreshold",
    "Tags": [{"Key": "project", "Value": "shop"}, {"Key": "aws:cloudformation:stack-name",
                                                    "Value": "s"}],
}  # fmt: skip


def test_an_alarm_is_named_put_and_tagged(context):
    name, attributes = monitoring.alarm(context).create("Slow", ALARM, "stack")
    assert name.startswith("stack-Slow-")
    assert attributes["Arn"] == f"arn:aws:cloudwatch:eu-west-1:000000000000:alarm:{name}"
    [request] = context.clients["cloudwatch"].asked_for("put_metric_alarm")
    assert (request["Period"], request["Threshold"]) == (10, 1.0)
    assert request["Tags"] == [{"Key": "project", "Value": "shop"}]


def test_an_update_keeps_the_name_and_sets_tags(context):
    new = {**ALARM, "Threshold": "2", "Tags": [{"Key": "owner", "Value": "me"}]}
    assert monitoring.alarm(context).update("a", ALARM, new, "stack", "Slow")[0] == "a"
    client = context.clients["cloudwatch"]
    assert client.asked_for("untag_resource")[0]["TagKeys"] == ["project"]
    assert client.asked_for("tag_resource")[0]["Tags"] == [{"Key": "owner", "Value": "me"}]


def test_metric_math_goes_through(context):
    metrics = [{"Id": "e", "Expression": "m * 2"},
               {"Id": "m", "ReturnData": "false", "MetricStat": {
                   "Metric": {"Namespace": "N", "MetricName": "M"}, "Period": "10",
                   "Stat": "p95"}}]  # fmt: skip
    properties = {"Metrics": metrics, "EvaluationPeriods": 1, "Threshold": 1,
                  "ComparisonOperator": "GreaterThanThreshold"}  # fmt: skip
    monitoring.alarm(context).create("Busy", properties, "stack")
    [request] = context.clients["cloudwatch"].asked_for("put_metric_alarm")
    assert request["Metrics"][1]["ReturnData"] is False
    assert request["Metrics"][1]["MetricStat"]["Period"] == 10


def test_a_composite_alarm(context):
    name, _ = monitoring.composite_alarm(context).create("Page", {"AlarmRule": "ALARM(a)"}, "s")
    [request] = context.clients["cloudwatch"].asked_for("put_composite_alarm")
    assert request == {"AlarmName": name, "AlarmRule": "ALARM(a)", "Tags": []}


def test_action_suppression_is_not_dropped_silently(context):
    properties = {"AlarmRule": "ALARM(a)", "ActionsSuppressor": "b"}
    with pytest.raises(ValueError, match="ActionsSuppressor is not emulated"):
        monitoring.composite_alarm(context).create("Page", properties, "s")


def test_a_health_check_is_made_tagged_and_changed(context):
    client = context.client("route53", "eu-west-1", "000000000000")
    client.answers = {"create_health_check": {"HealthCheck": {"Id": "h"}}}
    config = {"Type": "HTTP", "Port": "80", "ResourcePath": "/ready"}
    old = {"HealthCheckConfig": config, "HealthCheckTags": [{"Key": "Name", "Value": "x"}]}
    resource = monitoring.health_check(context)
    assert resource.create("H", old, "s") == ("h", {"HealthCheckId": "h"})
    assert client.asked_for("create_health_check")[0]["HealthCheckConfig"]["Port"] == 80
    assert client.asked_for("change_tags_for_resource")[0]["ResourceId"] == "h"
    new = {"HealthCheckConfig": {**config, "ResourcePath": "/health"}}
    assert resource.update("h", old, new, "s", "H")[0] == "h"
    assert client.asked_for("update_health_check") == [
        {"Port": 80, "ResourcePath": "/health", "HealthCheckId": "h"}
    ]
    assert client.asked_for("change_tags_for_resource")[1]["RemoveTagKeys"] == ["Name"]


def test_another_kind_of_health_check_replaces_it(context):
    client = context.client("route53", "eu-west-1", "000000000000")
    client.answers = {"create_health_check": {"HealthCheck": {"Id": "new"}}}
    old, new = ({"HealthCheckConfig": {"Type": kind}} for kind in ("HTTP", "HTTPS"))
    assert monitoring.health_check(context).update("h", old, new, "s", "H")[0] == "new"
