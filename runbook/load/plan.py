"""What a driver run is asked to do, as one JSON document."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runbook.errors import InputInvalid
from runbook.load.kinds import Accounts, RequestKind
from runbook.load.schedule import Process, Segment, duration_s

SCHEMA_VERSION = 1
#: `select` cannot watch descriptors beyond 1023; files, pipes and the loop need some too.
MAX_CONNECTIONS = 900


@dataclass(frozen=True)
class LoadPlan:
    """One run of the driver against one service.

    Without `kinds` the URL itself is requested, with `method`, `headers` and `body`; with them
    the URL says only where the service is. Users of `accounts` log in before the start; the
    requests that need a token take turns with theirs.

    `start_at_epoch_s` is the wall-clock second at which the schedule begins (None: at once).
    A request unanswered after `timeout_s` is a failure; `drain_s` is how long the driver
    waits for outstanding answers after the last arrival; `max_connections` bounds its
    connections, and an arrival beyond them is recorded as a failure, never delayed.
    """

    url: str
    segments: tuple[Segment, ...]
    process: Process = "poisson"
    seed: int = 1
    start_at_epoch_s: float | None = None
    timeout_s: float = 10.0
    drain_s: float = 10.0
    max_connections: int = 850
    warm_connections: int = 8
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    kinds: tuple[RequestKind, ...] = ()
    accounts: Accounts = field(default_factory=Accounts)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputInvalid(
                "The load plan cannot be used",
                f"{self.url!r} is no http or https address",
                "give the service's ServiceUrl and a path",
            )
        if not 0 < self.max_connections <= MAX_CONNECTIONS:
            raise InputInvalid(
                "The load plan cannot be used",
                f"max_connections is {self.max_connections}",
                f"choose 1 to {MAX_CONNECTIONS}",
            )

        if self.accounts.count < 1 and any(kind.authenticated for kind in self.kinds):
            raise InputInvalid(
                "The load plan cannot be used",
                "some of its requests need a user's token and it has no users",
                "give at least one user",
            )

    @property
    def duration_s(self) -> float:
        """The length of the schedule in seconds, without the drain."""
        return duration_s(self.segments)

    @property
    def host(self) -> str:
        """Host and port as a request names them."""
        return urlsplit(self.url).netloc

    def request_kinds(self) -> tuple[RequestKind, ...]:
        """What is requested: the kinds, or the URL as the only one."""
        if self.kinds:
            return self.kinds
        parts = urlsplit(self.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return (
            RequestKind(target, target, self.method, headers=dict(self.headers), body=self.body),
        )

    def caught_up(self, begins_at_epoch_s: float) -> LoadPlan:
        """This plan when it begins that late: the delay is taken from the first segment.

        So the later ones lie in the metric periods that they were planned for, though a process
        took its time to start. Unchanged when it is not late, or later than that can make up.
        """
        planned = self.start_at_epoch_s
        late_s = 0.0 if planned is None else begins_at_epoch_s - planned
        first, *rest = self.segments
        if not 0 < late_s < first.duration_s or not rest:
            return self
        rate = first.start_rps + (first.end_rps - first.start_rps) * late_s / first.duration_s
        shorter = replace(first, duration_s=first.duration_s - late_s, start_rps=rate)
        return replace(self, segments=(shorter, *rest), start_at_epoch_s=begins_at_epoch_s)

    def save(self, path: Path) -> Path:
        """Write the plan as JSON."""
        content = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return path

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> LoadPlan:
        """The plan from its JSON-able values; unknown ones are left out."""
        known = {item.name for item in fields(cls)}
        values = {key: value for key, value in content.items() if key in known}
        values["segments"] = tuple(Segment(**item) for item in values["segments"])
        values["kinds"] = tuple(RequestKind(**item) for item in values.get("kinds", ()))
        values["accounts"] = Accounts(**values.get("accounts", {}))
        return cls(**values)

    @classmethod
    def load(cls, path: Path) -> LoadPlan:
        """Read a plan. Raises InputInvalid for a file that is none."""
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputInvalid(
                f"{path} is no load plan", f"{type(error).__name__}: {error}", "write it anew"
            ) from error
