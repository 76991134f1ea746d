"""How far estimates of tokens are off, what providers say a day cost, and what requests that a subscription pays for are worth."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "calibrations",
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("seen", Big, nullable=False, server_default="0"),
        sa.Column("mean", sa.Float(), nullable=False),
        sa.Column("spread", sa.Float(), nullable=False),
        sa.Column("updated_at", Big, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("family", name="pk_calibrations"),
    )
    op.create_table(
        "reconciliations",
        sa.Column("account_id", sa.String(40), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False, server_default=""),
        sa.Column("label", sa.Text(), nullable=False, server_default=""),
        sa.Column("state", sa.String(40), nullable=False, server_default="unknown"),
        sa.Column("scope", sa.String(40), nullable=False, server_default=""),
        sa.Column("words", sa.Text(), nullable=False, server_default=""),
        sa.Column("theirs_nano", Big, nullable=True),
        sa.Column("ours_nano", Big, nullable=True),
        sa.Column("unpriced", Big, nullable=False, server_default="0"),
        sa.Column("at", Big, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("account_id", "day", name="pk_reconciliations"),
    )
    op.create_index("ix_reconciliations_day", "reconciliations", ["day"])
    op.add_column("requests", sa.Column("shadow_nano", Big, nullable=True))
    op.add_column("usage_hours", sa.Column("shadow_nano", Big, nullable=False, server_default="0"))
    op.add_column("accounts", sa.Column("usage_key", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("accounts", "usage_key")
    op.drop_column("usage_hours", "shadow_nano")
    op.drop_column("requests", "shadow_nano")
    for name in ("reconciliations", "calibrations"):
        op.drop_table(name)
