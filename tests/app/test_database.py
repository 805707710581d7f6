"""The database on both engines, also when several processes use it, and when it does not answer."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from app.database import Store
from app.schema import migrate
from app.store import Product, User

WRITERS = 3
WRITES = 40

# What a request that writes does: read first, then write in the same session.
WRITER = """
import sys
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from app.database import Store
from app.store import Product
store = Store(sys.argv[1])
for index in range(int(sys.argv[2])):
    with Session(store.engine) as session:
        session.scalar(select(func.count()).select_from(Product))
        session.add(Product(name="x", price=1.0, image=None))
        session.commit()
"""


@pytest.fixture
def store(store_url):
    store = Store(store_url)
    migrate(store)
    yield store
    store.close()


@pytest.fixture
def sqlite(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'shop.db'}")
    migrate(store)
    yield store
    store.close()


def _pragma(store, name):
    with store.engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


def _setting(store, name):
    with store.engine.connect() as connection:
        return connection.exec_driver_sql(f"SHOW {name}").scalar_one()


def _count(store, model):
    with Session(store.engine) as session:
        return session.scalar(select(func.count()).select_from(model))


def test_every_connection_to_sqlite_is_configured(sqlite):
    assert _pragma(sqlite, "journal_mode") == "wal"
    assert _pragma(sqlite, "foreign_keys") == 1
    assert _pragma(sqlite, "synchronous") == 1
    assert _pragma(sqlite, "busy_timeout") == 5000


@pytest.mark.e2e
def test_no_statement_on_postgresql_runs_for_ever(postgresql):
    store = Store(postgresql.new_database())
    assert _setting(store, "statement_timeout") == "5s"
    assert _setting(store, "application_name") == "shop"
    store.close()


def test_ping_answers(store):
    store.ping()


def test_ping_fails_without_tables(store_url):
    empty = Store(store_url)
    empty.open()
    with pytest.raises(SQLAlchemyError):
        empty.ping()
    empty.close()


@pytest.mark.e2e
def test_ping_gives_up_on_a_server_that_hangs_and_recovers_with_it(postgresql):
    store = Store(postgresql.new_database())
    migrate(store)
    store.ping()
    with store.engine.connect() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    backends = [postgresql.process.pid, pid]
    # Frozen: connections stay open, the kernel confirms what is sent, and nobody answers.
    for process in backends:
        os.kill(process, signal.SIGSTOP)
    try:
        for _ in range(3):
            began_s = time.monotonic()
            with pytest.raises(TimeoutError):
                store.ping(timeout_s=0.2)
            assert time.monotonic() - began_s < 3  # long before a statement's own 5 s
        assert _pingers() == 1
    finally:
        for process in backends:
            os.kill(process, signal.SIGCONT)
    store.ping(timeout_s=10)
    store.close()


def _pingers():
    return sum(thread.name.startswith("store-ping") for thread in threading.enumerate())


@pytest.mark.e2e
def test_a_connection_that_was_cut_is_replaced_unnoticed(postgresql):
    store = Store(postgresql.new_database())
    migrate(store)
    store.ping()
    postgresql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'shop'"
    )
    store.ping()
    store.close()


def test_the_pool_is_as_large_as_configured_and_no_larger(store_url):
    store = Store(store_url, pool_size=1)
    store.open()
    store.pool._timeout = 0.1
    assert (store.pool.size(), store.pool.checkedout()) == (1, 0)
    with store.engine.connect():
        assert store.pool.checkedout() == 1
        with pytest.raises(SQLAlchemyError, match="QueuePool limit"):
            store.engine.connect()
    assert store.pool.checkedout() == 0
    store.close()


def test_exclusive_undoes_everything_on_an_error(store):
    def add_and_fail():
        with store.exclusive() as session:
            session.add(User(email="a@b.c", password_hash=""))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()
    assert _count(store, User) == 0


def test_exclusive_sessions_run_one_after_the_other(store):
    inside = []

    def work():
        with store.exclusive():
            inside.append("in")
            time.sleep(0.05)
            inside.append("out")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == ["in", "out"] * 2


def test_exclusive_keeps_other_writers_of_a_file_out(sqlite):
    other = sqlite3.connect(sqlite.engine.url.database, timeout=0)
    with sqlite.exclusive(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("DELETE FROM product")
    other.execute("DELETE FROM product")
    other.close()


def test_processes_that_read_then_write_all_get_through(store, store_url):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, store_url, str(WRITES)])
        for _ in range(WRITERS)
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * WRITERS
    assert _count(store, Product) == WRITERS * WRITES


def test_a_file_is_switched_to_wal_once_its_writer_is_done(tmp_path):
    """SQLite refuses the switch at once, without waiting, while another process writes."""
    path = tmp_path / "shop.db"
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    done = threading.Timer(0.2, writer.execute, ["COMMIT"])
    done.start()
    store = Store(f"sqlite:///{path}")
    store.open()
    assert _pragma(store, "journal_mode") == "wal"
    store.close()
    done.join()
    writer.close()


@pytest.mark.e2e
def test_a_server_that_is_not_there_is_told_in_seconds():
    store = Store("postgresql+psycopg://shop@127.0.0.1:1/shop")
    began_s = time.monotonic()
    with pytest.raises(OperationalError):
        migrate(store)
    assert time.monotonic() - began_s < 10
    store.close()
