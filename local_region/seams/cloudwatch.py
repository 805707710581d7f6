"""The emulator's CloudWatch: its operations, its alarms' records, their history and actions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from local_region.cloudwatch import wire
from local_region.errors import AwsError
from local_region.seams import core

Operation = Callable[[Mapping[str, Any]], dict[str, Any]]
AlarmRecord = dict[str, Any]
_CBOR_REFUSED = (
    "The local region's CloudWatch speaks the JSON and the query protocol, not rpc-v2-cbor."
)


def _module() -> Any:
    return core.module("services.cloudwatch")


def replace_operation(action: str, operation: Operation) -> None:
    """Answer an operation ourselves; it runs in the caller's scope, on the event loop: be quick.

    An AwsError it raises becomes the error answer. Raises SeamMoved.
    """
    service = _module()
    error_answer = core.attribute(service, "_error")

    def answer(
        parameters: Mapping[str, list[str]], body: Any, is_cbor: bool, is_json: bool = False
    ) -> core.Answer:
        if is_cbor:
            refused: core.Answer = error_answer("UnsupportedProtocol", _CBOR_REFUSED, 415, True)
            return refused
        request = body if is_json else wire.nested(parameters)
        try:
            result = operation(request)
        except AwsError as error:
            failed: core.Answer = error_answer(
                error.code, error.message, error.status, use_json=is_json
            )
            return failed
        if is_json:
            return 200, {"Content-Type": "application/x-amz-json-1.0"}, wire.json_body(result)
        return 200, {"Content-Type": "text/xml"}, wire.xml_body(action, result)

    core.replace(service, _handler_name(action), answer)


def _handler_name(action: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in action)


def publish_service_metrics_to(publish: Callable[..., None]) -> None:
    """Send what other emulated services publish (AWS/Lambda, ...) to our store.

    `publish(namespace, name, value, unit, dimensions)`.
    """
    core.replace(_module(), "record_metric", publish)


def silence_own_evaluator() -> None:
    """The emulator evaluates alarms only when data is put, and wrongly: ours does it."""
    core.replace(_module(), "_evaluate_alarm", lambda alarm: None)
    core.replace(_module(), "_evaluate_all_alarms", lambda: None)


def alarms() -> dict[str, AlarmRecord]:
    """The metric alarms of the current scope by name; the records are live."""
    return dict(core.attribute(_module(), "_alarms").items())


def alarm_scopes() -> set[tuple[str, str]]:
    """The accounts and regions that have metric alarms."""
    return core.scopes_of(core.attribute(_module(), "_alarms"))


def composite_alarms() -> dict[str, AlarmRecord]:
    """The composite alarms of the current scope by name; the records are live."""
    return dict(core.attribute(_module(), "_composite_alarms").items())


def put_alarm(record: AlarmRecord) -> None:
    """Store a metric alarm; a new one starts its history. Its name and ARN are in the record."""
    core.attribute(_module(), "cloudformation_put_metric_alarm")(record)


def tag_alarm(name: str, tags: Mapping[str, str]) -> None:
    """Replace an alarm's tags."""
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    core.attribute(_module(), "cloudformation_set_metric_alarm_tags")(name, listed)


def delete_alarm(name: str) -> None:
    """Remove a metric alarm; one that is gone already is fine.

    Raises ValueError while a composite alarm still refers to it.
    """
    core.attribute(_module(), "cloudformation_delete_metric_alarm")(name, refuse_dependents=True)


def record_transition(
    alarm: AlarmRecord, state: str, reason: str, reason_data: Mapping[str, Any], at_s: float
) -> None:
    """Move an alarm to a state: history, SNS actions, and the composite alarms above it."""
    service = _module()
    old = alarm["StateValue"]
    alarm |= {
        "StateValue": state,
        "StateReason": reason,
        "StateReasonData": json.dumps(reason_data),
        "StateUpdatedTimestamp": at_s,
        "StateTransitionedTimestamp": at_s,
    }
    core.attribute(service, "_record_history")(
        alarm["AlarmName"], old, state, reason, "MetricAlarm", dict(reason_data)
    )
    # Its history keeps whole seconds; a period of ten asks for more.
    core.attribute(service, "_history_entries")()[-1]["Timestamp"] = at_s
    core.attribute(service, "_dispatch_alarm_actions")(alarm, old, state, reason)
    core.attribute(service, "_evaluate_parent_alarms")(alarm)


def record_action(alarm: AlarmRecord, summary: str, data: Mapping[str, Any], at_s: float) -> None:
    """Add an action to an alarm's history."""
    core.attribute(_module(), "_history_entries")().append(
        {
            "AlarmName": alarm["AlarmName"],
            "AlarmType": "MetricAlarm",
            "Timestamp": at_s,
            "HistoryItemType": "Action",
            "HistorySummary": summary,
            "HistoryData": json.dumps(data),
        }
    )
