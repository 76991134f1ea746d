"""Sign-ins under way, refreshes of tokens, notices that were acknowledged; channels of alerts, and the alerts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "oauth_flows",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("state", sa.String(40), nullable=False, server_default="waiting"),
        sa.Column("state_hash", sa.String(64), nullable=True),
        sa.Column("created_at", Big, nullable=False, server_default="0"),
        sa.Column("expires_at", Big, nullable=False, server_default="0"),
        sa.Column("account_id", sa.String(40), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("shown", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_oauth_flows"),
        sa.UniqueConstraint("state_hash", name="uq_oauth_flows_state_hash"),
    )
    op.create_index("ix_oauth_flows_expires_at", "oauth_flows", ["expires_at"])
    op.create_table(
        "token_refreshes",
        sa.Column("account_id", sa.String(40), nullable=False),
        sa.Column("fence", Big, nullable=False, server_default="0"),
        sa.Column("owner", sa.String(40), nullable=True),
        sa.Column("lease_until", Big, nullable=True),
        sa.Column("begun_at", Big, nullable=True),
        sa.Column("spent", sa.String(64), nullable=True),
        sa.Column("ended_at", Big, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("retry_at", Big, nullable=True),
        sa.PrimaryKeyConstraint("account_id", name="pk_token_refreshes"),
    )
    op.create_table(
        "notices",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False, server_default=""),
        sa.Column("at", Big, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("provider", name="pk_notices"),
    )
    op.create_table(
        "alert_channels",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("target", sa.LargeBinary(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("enabled", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("created_at", Big, nullable=False, server_default="0"),
        sa.Column("last_ok_at", Big, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_alert_channels"),
        sa.UniqueConstraint("name", name="uq_alert_channels_name"),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, server_default=""),
        sa.Column("message", sa.Text(), nullable=False, server_default=""),
        sa.Column("state", sa.String(40), nullable=False, server_default="open"),
        sa.Column("at", Big, nullable=False, server_default="0"),
        sa.Column("ended_at", Big, nullable=True),
        sa.Column("told_at", Big, nullable=True),
        sa.Column("told", sa.Text(), nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_index("ix_alerts_state_kind_subject", "alerts", ["state", "kind", "subject"])


def downgrade() -> None:
    for table in ("alerts", "alert_channels", "notices", "token_refreshes", "oauth_flows"):
        op.drop_table(table)
