"""Who a user is, and whose a product or an order is; those from before are nobody's.

Adds what is missing only: stores were made with some of this before the schema had versions.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    found = sa.inspect(op.get_bind())
    if "role" not in _names(found.get_columns("user")):
        op.add_column("user", sa.Column("role", sa.String(), nullable=False, server_default="user"))
    for table, column in (("product", "owner_id"), ("order", "user_id")):
        if column not in _names(found.get_columns(table)):
            _add_user_reference(table, column)
    if "ix_order_user_id" not in _names(found.get_indexes("order")):
        op.create_index("ix_order_user_id", "order", ["user_id"])


def _names(described: Iterable[Mapping[str, Any]]) -> set[str]:
    return {each["name"] for each in described}


def _add_user_reference(table: str, column: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        # SQLite adds a reference with its column or never; Alembic knows only the second way.
        op.execute(
            f'ALTER TABLE "{table}" ADD COLUMN {column} VARCHAR '
            'REFERENCES "user" (id) ON DELETE SET NULL'
        )
    else:
        op.add_column(
            table,
            sa.Column(column, sa.String(), sa.ForeignKey("user.id", ondelete="SET NULL")),
        )
