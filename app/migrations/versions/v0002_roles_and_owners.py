"""Who a user is, and whose a product or an order is; those from before are nobody's."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("user", sa.Column("role", sa.String(), nullable=False, server_default="user"))
    _add_user_reference("product", "owner_id")
    _add_user_reference("order", "user_id")
    op.create_index("ix_order_user_id", "order", ["user_id"])


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
