"""What a driver run is asked to do, as one JSON document."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runbook.errors import InputInvalid
from runbook.load.schedule import Process, Segment, duration_s

SCHEMA_VERSION = 1
#: `select` cannot watch descriptors beyond 1023; files, pipes and the loop need some too.
MAX_CONNECTIONS = 900


@dataclass(frozen=True)
class LoadPlan:
    """One run of the driver against one URL.

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

    @property
    def duration_s(self) -> float:
        """The length of the schedule in seconds, without the drain."""
        return duration_s(self.segments)

    def request_bytes(self) -> bytes:
        """The request as it goes over the wire: the same bytes every time."""
        parts = urlsplit(self.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Host": parts.netloc, "User-Agent": "runbook-load", "Accept": "*/*"}
        headers |= self.headers
        body = self.body.encode()
        if body:
            headers["Content-Length"] = str(len(body))
        lines = [f"{self.method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def save(self, path: Path) -> Path:
        """Write the plan as JSON."""
        content = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> LoadPlan:
        """Read a plan. Raises InputInvalid for a file that is none."""
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            known = {item.name for item in fields(cls)}
            values = {key: value for key, value in content.items() if key in known}
            values["segments"] = tuple(Segment(**item) for item in values["segments"])
            return cls(**values)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputInvalid(
                f"{path} is no load plan", f"{type(error).__name__}: {error}", "write it anew"
            ) from error
