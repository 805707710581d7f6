"""The emulator's EventBridge and SQS, as far as tasks' changes and queues' lengths go."""

from __future__ import annotations

import json
import time
from typing import Any

from local_region.seams import core


def put_aws_event(source: str, detail_type: str, resources: list[str], detail: Any) -> None:
    """Put an event of AWS's own on the default bus; rules that match send it on.

    Needs account and region pinned.
    """
    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Resources": resources,
        "Detail": json.dumps(detail),
    }
    core.attribute(core.module("services.eventbridge"), "_put_events")(
        {"Entries": [entry]}, allow_aws_source=True
    )


def visible_messages() -> list[tuple[str, str, str, int]]:
    """(account id, region, queue's name, messages that can be received now) of every queue."""
    queues = core.attribute(core.attribute(core.module("services.sqs"), "_queues"), "_data")
    now_s = time.time()
    return [
        (key[0], key[1], queue["name"], sum(m["visible_at"] <= now_s for m in queue["messages"]))
        for key, queue in list(queues.items())
    ]
