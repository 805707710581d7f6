"""The store on one file, also when several processes use it."""

import re
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.store import Base, Product, Store, User, new_id

WRITERS = 3
WRITES = 40

# What a request that writes does: read first, then write in the same session.
WRITER = """
import sys
import threading
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from app.store import Product, Store
store = Store(sys.argv[1])
for index in range(int(sys.argv[2])):
    with Session(store.engine) as session:
        session.scalar(select(func.count()).select_from(Product))
        session.add(Product(name="x", price=1.0, image=None))
        session.commit()
"""


@pytest.fixture
def store(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'a' / 'b' / 'shop.db'}")
    store.create()
    yield store
    store.close()


def _pragma(store, name):
    with store.engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


def test_create_makes_the_folder_and_may_be_repeated(store):
    store.create()
    store.ping()


def test_every_connection_is_configured(store):
    assert _pragma(store, "journal_mode") == "wal"
    assert _pragma(store, "foreign_keys") == 1
    assert _pragma(store, "synchronous") == 1
    assert _pragma(store, "busy_timeout") == 5000


def test_ping_fails_without_tables(tmp_path):
    empty = Store(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(OperationalError):
        empty.ping()
    empty.close()


def test_exclusive_undoes_everything_on_an_error(store):
    def add_and_fail():
        with store.exclusive() as session:
            session.add(User(email="a@b.c", password_hash=""))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()
    with Session(store.engine) as session:
        assert session.scalar(select(func.count()).select_from(User)) == 0


def test_exclusive_keeps_other_writers_out(store, tmp_path):
    other = sqlite3.connect(store.engine.url.database, timeout=0)
    with store.exclusive(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("DELETE FROM product")
    other.execute("DELETE FROM product")
    other.close()


def test_processes_that_read_then_write_all_get_through(store):
    url = str(store.engine.url)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, url, str(WRITES)]) for _ in range(WRITERS)
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * WRITERS
    with Session(store.engine) as session:
        assert session.scalar(select(func.count()).select_from(Product)) == WRITERS * WRITES


def test_ids_are_hex_unique_sorted_by_age_and_tell_the_second():
    before_s = int(time.time())
    ids = []
    for _ in range(200):
        ids.append(new_id())
        time.sleep(1e-6)  # so that even a coarse clock moves on
    assert all(re.fullmatch("[0-9a-f]{24}", entry) for entry in ids)
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    assert before_s <= int(ids[0][:8], 16) <= time.time()


def test_tables():
    assert set(Base.metadata.tables) == {"product", "order", "user", "catalogue_seed"}


def test_a_file_is_switched_to_wal_once_its_writer_is_done(tmp_path):
    """SQLite refuses the switch at once, without waiting, while another process writes."""
    path = tmp_path / "shop.db"
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    done = threading.Timer(0.2, writer.execute, ["COMMIT"])
    done.start()
    store = Store(f"sqlite:///{path}")
    store.create()
    assert _pragma(store, "journal_mode") == "wal"
    store.close()
    done.join()
    writer.close()
