"""Runs the migrations on the connection, and in the transaction, of `schema.migrate`."""

from alembic import context

from app.store import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
