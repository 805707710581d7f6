"""The schema's versions: from nothing, from before there were any, from the last, from the next."""

import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from app import schema
from app.database import Store
from app.errors import StartError
from app.schema import REVISION, migrate
from app.store import Base

# What the service made before its schema had versions.
UNVERSIONED = (
    "CREATE TABLE product (id VARCHAR NOT NULL PRIMARY KEY, name VARCHAR NOT NULL,"
    " price {double} NOT NULL, image VARCHAR)",
    'CREATE TABLE "user" (id VARCHAR NOT NULL PRIMARY KEY, email VARCHAR NOT NULL UNIQUE,'
    " password_hash VARCHAR NOT NULL)",
    "CREATE TABLE catalogue_seed (id INTEGER NOT NULL PRIMARY KEY, products INTEGER NOT NULL)",
    'CREATE TABLE "order" (id VARCHAR NOT NULL PRIMARY KEY, product_id VARCHAR'
    " REFERENCES product (id) ON DELETE SET NULL, quantity INTEGER NOT NULL)",
    'CREATE INDEX ix_order_product_id ON "order" (product_id)',
)
ENTRIES = (
    "INSERT INTO product VALUES ('p', 'Lamp', 9.5, NULL)",
    "INSERT INTO \"user\" VALUES ('u', 'a@b.c', 'hash')",
    "INSERT INTO \"order\" VALUES ('o', 'p', 2)",
)

# The versions began after roles did: stores that `create_all` made meanwhile hold all of that.
ROLES = (
    "ALTER TABLE \"user\" ADD COLUMN role VARCHAR DEFAULT 'user' NOT NULL",
    'ALTER TABLE product ADD COLUMN owner_id VARCHAR REFERENCES "user" (id) ON DELETE SET NULL',
    'ALTER TABLE "order" ADD COLUMN user_id VARCHAR REFERENCES "user" (id) ON DELETE SET NULL',
    'CREATE INDEX ix_order_user_id ON "order" (user_id)',
)
VERSION_TABLE = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"


@pytest.fixture
def store(store_url):
    store = Store(store_url)
    store.open()
    yield store
    store.close()


def _execute(store, *statements):
    with store.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _rows(store, query):
    with store.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def _differences_to_the_models(store):
    with store.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    # SQLAlchemy overlooks ON DELETE in what SQLite's ALTER TABLE wrote: see `_references`.
    return [difference for difference in found if difference[0] not in ("remove_fk", "add_fk")]


def _references(store):
    """Each foreign key: table, column, table referred to, what becomes of it."""
    tables = ("order", "product", "user", "catalogue_seed")
    if store.is_sqlite:
        return {
            (table, row[3], row[2], row[6])
            for table in tables
            for row in _rows(store, f'PRAGMA foreign_key_list("{table}")')
        }
    return {
        (table, *key["constrained_columns"], key["referred_table"], key["options"]["ondelete"])
        for table in tables
        for key in inspect(store.engine).get_foreign_keys(table)
    }


REFERENCES = {
    ("order", "product_id", "product", "SET NULL"),
    ("order", "user_id", "user", "SET NULL"),
    ("product", "owner_id", "user", "SET NULL"),
}


def test_from_nothing_to_the_models_and_again(store):
    migrate(store)
    migrate(store)
    assert _differences_to_the_models(store) == []
    assert _references(store) == REFERENCES
    assert _rows(store, "SELECT version_num FROM alembic_version") == [(REVISION,)]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param((), id="before roles"),
        pytest.param(ROLES, id="with roles"),
        pytest.param(ROLES[:1], id="halfway"),
        pytest.param(ROLES[:-1], id="but for the index"),
        pytest.param((VERSION_TABLE,), id="version not recorded"),
        pytest.param(
            (*ROLES, VERSION_TABLE, "INSERT INTO alembic_version VALUES ('0001')"),
            id="version recorded too low",
        ),
    ],
)
def test_what_was_made_before_there_were_versions_is_brought_on_with_its_entries(store, more):
    double = "DOUBLE" if store.is_sqlite else "DOUBLE PRECISION"
    _execute(store, *(statement.format(double=double) for statement in UNVERSIONED))
    _execute(store, *ENTRIES, *more)
    migrate(store)
    migrate(store)
    assert _differences_to_the_models(store) == []
    assert _references(store) == REFERENCES
    assert _rows(store, 'SELECT id, email, role FROM "user"') == [("u", "a@b.c", "user")]
    assert _rows(store, 'SELECT id, product_id, quantity, user_id FROM "order"') == [
        ("o", "p", 2, None)
    ]
    assert _rows(store, "SELECT name, owner_id FROM product") == [("Lamp", None)]
    assert _rows(store, "SELECT version_num FROM alembic_version") == [(REVISION,)]


def test_the_version_before_still_writes_to_the_schema(store):
    """While a deployment runs, and after it was rolled back, tasks of both versions do."""
    migrate(store)
    _execute(
        store,
        "INSERT INTO product (id, name, price, image) VALUES ('p', 'Lamp', 9.5, NULL)",
        "INSERT INTO \"user\" (id, email, password_hash) VALUES ('u', 'a@b.c', 'hash')",
        "INSERT INTO \"order\" (id, product_id, quantity) VALUES ('o', 'p', 2)",
    )
    assert _rows(store, 'SELECT role FROM "user"') == [("user",)]


def test_a_newer_schema_is_left_alone(store):
    """The version before starts again after a rollback."""
    migrate(store)
    _execute(store, "UPDATE alembic_version SET version_num = '9999'")
    migrate(store)
    assert _rows(store, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_tables_of_something_else_stop_the_start(store):
    _execute(store, "CREATE TABLE product (sku INTEGER)")
    with pytest.raises(StartError, match=r"tables of something else: product .*; let STORE_URL"):
        migrate(store)
    assert inspect(store.engine).get_table_names() == ["product"]


def test_a_migration_that_fails_leaves_nothing_behind(store, monkeypatch):
    def fail(*_arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(schema, "_UNVERSIONED", "none")
    monkeypatch.setattr("alembic.op.create_index", fail)
    with pytest.raises(ZeroDivisionError):
        migrate(store)
    assert inspect(store.engine).get_table_names() == []


def test_an_up_to_date_store_needs_no_alembic(store, monkeypatch):
    migrate(store)
    for module in [name for name in sys.modules if name.split(".")[0] == "alembic"]:
        monkeypatch.setitem(sys.modules, module, None)
    migrate(store)


def test_the_last_migration_is_the_one_the_code_asks_for():
    config = Config()
    config.set_main_option("script_location", "app:migrations")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [REVISION]
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)
