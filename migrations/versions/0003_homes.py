"""Where conversations were answered last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "homes",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("prompt_tokens", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_homes"),
    )
    op.create_index("ix_homes_at", "homes", ["at"], unique=False)


def downgrade() -> None:
    op.drop_table("homes")
