"""The schema's versions: brought up to date when a task starts.

Tasks start together, so the first takes a lock and migrates, the others wait and
find it done. While a deployment runs, and after one was rolled back, tasks of the
version before use the same database: a migration may therefore only add (a table,
an index, a column that has a default or may be empty). What is to go, goes one
release after the last code that used it.

A new version is a file in `migrations/versions`, numbered on, and `REVISION` here.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect

from app.database import Store
from app.errors import StartError

REVISION = "0002"
"""The schema's version that this code was written for."""

_UNVERSIONED = "0001"  # what was made before the schema had versions


def migrate(store: Store) -> None:
    """Bring the store's schema to `REVISION`; safe beside other tasks that start.

    A newer schema stays: it only has more than this code knows. Raises StartError when
    the tables are none of this service's, OSError or SQLAlchemyError when the store fails.
    """
    store.open()
    with store.exclusive() as session:
        connection = session.connection()
        found = _revision(connection)
        # Alembic is loaded only when needed: it would take a third of a start's CPU.
        if found is None or found < REVISION:
            _upgrade(connection, found)


def _revision(connection: Connection) -> str | None:
    """The version found, by its record or by the tables; None for an empty database."""
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" in tables:
        found: str | None = connection.exec_driver_sql(
            "SELECT version_num FROM alembic_version"
        ).scalar_one_or_none()
        if found:
            return found
    ours = {"product", "order", "user", "catalogue_seed"}
    if ours <= tables:
        return _UNVERSIONED
    if ours & tables:
        raise StartError(
            f"the store holds tables of something else: {', '.join(sorted(ours & tables))} without "
            f"{', '.join(sorted(ours - tables))}; let STORE_URL name a database of its own"
        )
    return None


def _upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    if found == _UNVERSIONED:
        command.stamp(config, found)
    command.upgrade(config, REVISION)
