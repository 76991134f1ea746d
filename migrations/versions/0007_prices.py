"""Prices that the user set, and the two counts of a request that its price needs besides the tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "prices",
        sa.Column("pattern", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("input", sa.Text(), nullable=True),
        sa.Column("output", sa.Text(), nullable=True),
        sa.Column("cache_read", sa.Text(), nullable=True),
        sa.Column("cache_write", sa.Text(), nullable=True),
        sa.Column("per_request", sa.Text(), nullable=True),
        sa.Column("subscription", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("updated_at", Big, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("pattern", "scope", name="pk_prices"),
    )
    op.add_column("requests", sa.Column("cache_write_1h", Big, nullable=True))
    op.add_column("requests", sa.Column("web_searches", Big, nullable=True))


def downgrade() -> None:
    op.drop_column("requests", "web_searches")
    op.drop_column("requests", "cache_write_1h")
    op.drop_table("prices")
