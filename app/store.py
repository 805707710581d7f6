"""What the service keeps: SQLAlchemy models, and a session for each request.

A change of a model needs a migration (`schema.py`).
"""

import re
import secrets
import time
from typing import TypeVar

from flask import Flask, current_app, g
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from app.database import POOL_SIZE, Store

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


def init_app(app: Flask, url: str, pool_size: int = POOL_SIZE) -> None:
    """Give the application its store and each request its session."""
    app.extensions["store"] = Store(url, pool_size)
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
