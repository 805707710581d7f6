"""Products, orders, users: what stores held before their schema had versions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "product",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("price", sa.Double(), nullable=False),
        sa.Column("image", sa.String()),
    )
    op.create_table(
        "user",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("email", sa.String(), nullable=False, unique=True),
        sa.Column("password_hash", sa.String(), nullable=False),
    )
    op.create_table(
        "catalogue_seed",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("products", sa.Integer(), nullable=False),
    )
    op.create_table(
        "order",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column(
            "product_id", sa.String(), sa.ForeignKey("product.id", ondelete="SET NULL"), index=True
        ),
        sa.Column("quantity", sa.Integer(), nullable=False),
    )
