"""The database behind the store: its engine, connections, locks, and whether it answers.

SQLite is the embedded default. Several tasks may share one SQLite file. It runs
in WAL mode, so that readers never wait; writers queue for up to `_BUSY_TIMEOUT_S`.
SQLAlchemy leaves pysqlite in its legacy transaction mode on purpose: there a
transaction begins with the first *write*, so it never has to be upgraded from a
stale snapshot, which SQLite refuses at once, without waiting.

PostgreSQL is what several tasks share in AWS. Every wait on it is bounded, because
a task has few threads and one that waits for ever serves nobody. What the address
leaves out, libpq takes from PGHOST, PGPORT, PGDATABASE, PGUSER and PGPASSWORD.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

POOL_SIZE = 2
"""Connections a task keeps at most, unless configured: one for its thread, one for `/ready`."""
PING_TIMEOUT_S = 2.0

_BUSY_TIMEOUT_S = 5.0
_CONNECT_TIMEOUT_S = 3
_POOL_TIMEOUT_S = 5.0
# Above the slowest statement of a request by far, below the balancer's idle timeout.
_STATEMENT_TIMEOUT_MS = 5_000
# Starting tasks wait for the one that migrates or seeds.
_LOCK_TIMEOUT_S = 60
# Any number that no other user of the database takes for its advisory locks.
_LOCK_KEY = 0x73686F70


class Pool(QueuePool):
    """`size()` connections at most, `checkedout()` in use; tells when one is waited for."""

    waited: Callable[[], object] = staticmethod(lambda: None)

    def connect(self) -> PoolProxiedConnection:
        """Lend one, within the pool's timeout."""
        if self.checkedout() >= self.size():
            self.waited()
        return super().connect()


class Store:
    """One database; `url` is an SQLAlchemy address of a SQLite file or of PostgreSQL."""

    def __init__(self, url: str, pool_size: int = POOL_SIZE) -> None:
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        arguments = _sqlite_arguments() if self.is_sqlite else _postgresql_arguments()
        self.engine: Engine = create_engine(
            url,
            poolclass=Pool,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_POOL_TIMEOUT_S,
            **arguments,
        )
        if self.is_sqlite:
            event.listen(self.engine, "connect", _configure_sqlite)
        self._pinger = ThreadPoolExecutor(1, thread_name_prefix="store-ping")
        self._pings = threading.Lock()
        self._ping: Future[None] | None = None

    @property
    def pool(self) -> Pool:
        """The connections."""
        pool = self.engine.pool
        assert isinstance(pool, Pool)
        return pool

    def open(self) -> None:
        """Make a SQLite file and its folder where they are missing; safe beside other tasks.

        Raises OSError or OperationalError when the file cannot be made or opened.
        """
        if self.is_sqlite:
            path = Path(self.engine.url.database or "").absolute()
            path.parent.mkdir(parents=True, exist_ok=True)
            self._use_write_ahead_log()

    @contextmanager
    def exclusive(self) -> Iterator[Session]:
        """A session that no other exclusive one, here or in another process, runs beside.

        SQLite keeps every other writer out meanwhile, PostgreSQL only its like.
        """
        with Session(self.engine) as session:
            connection = session.connection()
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_LOCK_TIMEOUT_S}s'")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
            yield session
            session.commit()

    def ping(self, timeout_s: float = PING_TIMEOUT_S) -> None:
        """Read from the store's schema.

        Raises SQLAlchemyError when the store refuses, OSError when its file is gone,
        TimeoutError when it does not answer in time. Asks in a thread of its own, one
        question at a time, so that a store that hangs costs a caller `timeout_s` and no more
        threads.
        """
        with self._pings:
            if self._ping is None or self._ping.done():
                self._ping = self._pinger.submit(self._read)
            ping = self._ping
        ping.result(timeout_s)

    def close(self) -> None:
        """Give up every pooled connection."""
        self._pinger.shutdown(wait=False)
        self.engine.dispose()

    def _read(self) -> None:
        if self.is_sqlite:
            # An open connection goes on with a file that was removed: what it writes is lost.
            Path(self.engine.url.database or "").stat()
        with self.engine.connect() as connection:
            connection.exec_driver_sql("SELECT version_num FROM alembic_version").all()

    def _use_write_ahead_log(self) -> None:
        """Switch the file to WAL; it stays so.

        SQLite refuses this at once, without waiting, while another process writes to
        the file (as a task that starts at the same time may), so the waiting is done here.
        """
        deadline_s = time.monotonic() + _BUSY_TIMEOUT_S
        while True:
            try:
                with self.engine.connect() as connection:
                    connection.exec_driver_sql("PRAGMA journal_mode = WAL")
                return
            except OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline_s:
                    raise
                time.sleep(0.02)


def _sqlite_arguments() -> dict[str, Any]:
    return {"connect_args": {"timeout": _BUSY_TIMEOUT_S}}


def _postgresql_arguments() -> dict[str, Any]:
    return {
        # A failover leaves dead connections in the pool: found before use, not by a request.
        "pool_pre_ping": True,
        "connect_args": {
            "application_name": "shop",
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "options": f"-c statement_timeout={_STATEMENT_TIMEOUT_MS}",
            # A host that vanished answers nothing, not even a refusal.
            "tcp_user_timeout": _STATEMENT_TIMEOUT_MS,
            "keepalives_idle": 30,
        },
    }


def _configure_sqlite(connection: SqliteConnection, _record: Any) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    # Safe with WAL: a power cut may lose the last commits, never the file.
    connection.execute("PRAGMA synchronous = NORMAL")
