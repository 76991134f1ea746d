"""Limits of the installation, of providers, models and accounts; what is spent of budgets, and what requests in flight hold of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "limits",
        sa.Column("scope", sa.String(40), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("budget", sa.Text(), nullable=True),
        sa.Column("rpm", sa.Integer(), nullable=True),
        sa.Column("tpm", Big, nullable=True),
        sa.Column("max_in_flight", sa.Integer(), nullable=True),
        sa.Column("updated_at", Big, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("scope", "subject", name="pk_limits"),
    )
    op.create_table(
        "spend",
        sa.Column("scope", sa.String(40), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("start_at", Big, nullable=False),
        sa.Column("end_at", Big, nullable=False),
        sa.Column("spent_nano", Big, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("scope", "subject", "start_at", "end_at", name="pk_spend"),
    )
    op.create_table(
        "holds",
        sa.Column("request_id", sa.String(40), nullable=False),
        sa.Column("scope", sa.String(40), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("at", Big, nullable=False, server_default="0"),
        sa.Column("nano", Big, nullable=False, server_default="0"),
        sa.Column("tokens", Big, nullable=False, server_default="0"),
        sa.Column("open", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.PrimaryKeyConstraint("request_id", "scope", "subject", name="pk_holds"),
    )
    op.create_index("ix_holds_scope_subject_at", "holds", ["scope", "subject", "at"])
    op.create_index("ix_holds_at", "holds", ["at"])
    op.add_column("accounts", sa.Column("rpm", sa.Integer(), nullable=True))
    op.add_column("accounts", sa.Column("tpm", Big, nullable=True))


def downgrade() -> None:
    op.drop_column("accounts", "tpm")
    op.drop_column("accounts", "rpm")
    for name in ("holds", "spend", "limits"):
        op.drop_table(name)
