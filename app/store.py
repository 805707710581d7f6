"""What the service keeps, and where: SQLAlchemy models over SQLite.

Several tasks may share one SQLite file. It runs in WAL mode, so that readers
never wait; writers queue for up to `_BUSY_TIMEOUT_S`. SQLAlchemy leaves pysqlite
in its legacy transaction mode on purpose: there a transaction begins with the
first *write*, so it never has to be upgraded from a stale snapshot, which SQLite
refuses at once, without waiting.
"""

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any, TypeVar

from flask import Flask, current_app, g
from sqlalchemy import Engine, ForeignKey, create_engine, event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

_BUSY_TIMEOUT_S = 5.0
_ID = re.compile(r"[0-9a-f]{24}")


def new_id() -> str:
    """24 hex digits, sortable by age: seconds in 32.32 fixed point, then 32 random bits.

    The first 8 digits are the seconds since 1970, as clients of the original
    API (MongoDB ObjectIds) may read them.
    """
    return f"{time.time_ns() * 2**32 // 10**9:016x}{secrets.token_hex(4)}"


class Base(DeclarativeBase):
    """Base of the models."""


Entity = TypeVar("Entity", bound=Base)


class Product(Base):
    __tablename__ = "product"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    price: Mapped[float]
    image: Mapped[str | None]
    # Who made it, and may change it; nobody in particular for the seed's products.
    owner_id: Mapped[str | None] = mapped_column(ForeignKey("user.id", ondelete="SET NULL"))


class Order(Base):
    __tablename__ = "order"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    # An order outlives its product: it then shows no product.
    product_id: Mapped[str | None] = mapped_column(
        ForeignKey("product.id", ondelete="SET NULL"), index=True
    )
    quantity: Mapped[int]
    # An order outlives its user too: only an admin sees it then.
    user_id: Mapped[str | None] = mapped_column(
        ForeignKey("user.id", ondelete="SET NULL"), index=True
    )
    product: Mapped[Product | None] = relationship()


class User(Base):
    __tablename__ = "user"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(default="user", server_default="user")
    """`user` or `admin`."""


class CatalogueSeed(Base):
    """How many seed products this store has been given; one row, id 1."""

    __tablename__ = "catalogue_seed"

    id: Mapped[int] = mapped_column(primary_key=True)
    products: Mapped[int]


class Store:
    """One database; `url` is an SQLAlchemy address of a SQLite file."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S})
        event.listen(self.engine, "connect", _configure_connection)

    def create(self) -> None:
        """Create file, folder and tables where they are missing; safe beside other tasks.

        Raises OSError or OperationalError when the file cannot be made or opened.
        """
        Path(self.engine.url.database or "").absolute().parent.mkdir(parents=True, exist_ok=True)
        self._use_write_ahead_log()
        with self.exclusive() as session:
            Base.metadata.create_all(session.connection())

    @contextmanager
    def exclusive(self) -> Iterator[Session]:
        """A session that no other writer, here or in another process, runs beside."""
        with Session(self.engine) as session:
            session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            yield session
            session.commit()

    def ping(self) -> None:
        """Read one row at most; raises OperationalError when the store does not answer."""
        with Session(self.engine) as session:
            session.execute(select(Product.id).limit(1))

    def close(self) -> None:
        """Give up every pooled connection."""
        self.engine.dispose()

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


def _configure_connection(connection: SqliteConnection, _record: Any) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    # Safe with WAL: a power cut may lose the last commits, never the file.
    connection.execute("PRAGMA synchronous = NORMAL")


def init_app(app: Flask, url: str) -> None:
    """Give the application its store and each request its session."""
    app.extensions["store"] = Store(url)
    app.teardown_appcontext(_close_session)


def current_store() -> Store:
    """The store of the running application."""
    store: Store = current_app.extensions["store"]
    return store


def session() -> Session:
    """The session of this request, opened on first use and closed at its end."""
    if "session" not in g:
        g.session = Session(current_store().engine, expire_on_commit=False)
    current: Session = g.session
    return current


def find(model: type[Entity], entity_id: object) -> Entity | None:
    """The entity of that id; None too for what cannot be an id."""
    if not isinstance(entity_id, str) or not _ID.fullmatch(entity_id):
        return None
    return session().get(model, entity_id)


def _close_session(_error: BaseException | None) -> None:
    current: Session | None = g.pop("session", None)
    if current is not None:
        current.close()
