"""The first schema. Frozen: later changes are later revisions. `omni_connector/store/tables.py` is its living picture."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("auth", sa.String(length=40), server_default="api_key", nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        sa.Column("base_url", sa.Text(), server_default="", nullable=False),
        sa.Column("models", sa.Text(), server_default="[]", nullable=False),
        sa.Column("discovered", sa.Text(), server_default="[]", nullable=False),
        sa.Column("prefix", sa.Text(), server_default="", nullable=False),
        sa.Column("model_map", sa.Text(), server_default="{}", nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("weight", sa.Integer(), server_default="1", nullable=False),
        sa.Column("max_in_flight", sa.Integer(), nullable=True),
        sa.Column("budget", sa.Text(), nullable=True),
        sa.Column("headers", sa.LargeBinary(), nullable=True),
        sa.Column("proxy_url", sa.LargeBinary(), nullable=True),
        sa.Column("options", sa.Text(), server_default="{}", nullable=False),
        sa.Column("state", sa.String(length=40), server_default="ok", nullable=False),
        sa.Column("state_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("quota", sa.Text(), server_default="[]", nullable=False),
        sa.Column("balance", sa.Text(), nullable=True),
        sa.Column("key_hint", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", BIG, server_default="0", nullable=False),
        sa.Column("updated_at", BIG, server_default="0", nullable=False),
        sa.Column("last_used_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("label", name="uq_accounts_label"),
    )
    op.create_table(
        "aliases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("targets", sa.Text(), server_default="[]", nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_aliases"),
    )
    op.create_table(
        "chains",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tiers", sa.Text(), server_default="[]", nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_chains"),
    )
    op.create_table(
        "client_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("hint", sa.String(length=40), server_default="", nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", BIG, server_default="0", nullable=False),
        sa.Column("expires_at", BIG, nullable=True),
        sa.Column("revoked_at", BIG, nullable=True),
        sa.Column("models", sa.Text(), nullable=True),
        sa.Column("providers", sa.Text(), nullable=True),
        sa.Column("rpm", sa.Integer(), nullable=True),
        sa.Column("tpm", BIG, nullable=True),
        sa.Column("max_in_flight", sa.Integer(), nullable=True),
        sa.Column("budget", sa.Text(), nullable=True),
        sa.Column("last_used_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_client_keys"),
        sa.UniqueConstraint("hash", name="uq_client_keys_hash"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), server_default="", nullable=False),
        sa.Column("due_at", BIG, server_default="0", nullable=False),
        sa.Column("interval_ms", BIG, nullable=True),
        sa.Column("jitter", BIG, server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("max_attempts", sa.Integer(), server_default="5", nullable=False),
        sa.Column("state", sa.String(length=40), server_default="ready", nullable=False),
        sa.Column("lease_owner", sa.String(length=40), nullable=True),
        sa.Column("lease_until", BIG, nullable=True),
        sa.Column("fence", BIG, server_default="0", nullable=False),
        sa.Column("payload", sa.Text(), server_default="{}", nullable=False),
        sa.Column("last_run_at", BIG, nullable=True),
        sa.Column("last_ok_at", BIG, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("kind", "key", name="uq_jobs_kind_key"),
    )
    op.create_index("ix_jobs_state_due_at", "jobs", ["state", "due_at"], unique=False)
    op.create_table(
        "meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_meta"),
    )
    op.create_table(
        "processes",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("host", sa.Text(), server_default="", nullable=False),
        sa.Column("pid", BIG, server_default="0", nullable=False),
        sa.Column("started_at", BIG, server_default="0", nullable=False),
        sa.Column("seen_at", BIG, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_processes"),
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("started_at", BIG, server_default="0", nullable=False),
        sa.Column("settled_at", BIG, nullable=True),
        sa.Column("state", sa.String(length=40), server_default="open", nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=True),
        sa.Column("process_id", sa.String(length=40), server_default="", nullable=False),
        sa.Column("wire", sa.String(length=40), server_default="", nullable=False),
        sa.Column("path", sa.Text(), server_default="", nullable=False),
        sa.Column("stream", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("client", sa.Text(), server_default="", nullable=False),
        sa.Column("key_id", sa.String(length=40), nullable=True),
        sa.Column("key_name", sa.Text(), nullable=True),
        sa.Column("model_requested", sa.Text(), server_default="", nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("account_id", sa.String(length=40), nullable=True),
        sa.Column("account_label", sa.Text(), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("flag", sa.String(length=40), nullable=True),
        sa.Column("error_kind", sa.String(length=40), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("route", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Text(), nullable=True),
        sa.Column("skipped", sa.Text(), nullable=True),
        sa.Column("dropped", sa.Text(), nullable=True),
        sa.Column("first_token_ms", sa.Integer(), nullable=True),
        sa.Column("duration_ms", BIG, nullable=True),
        sa.Column("est_input", BIG, nullable=True),
        sa.Column("input", BIG, nullable=True),
        sa.Column("cache_read", BIG, nullable=True),
        sa.Column("cache_write", BIG, nullable=True),
        sa.Column("output", BIG, nullable=True),
        sa.Column("reasoning", BIG, nullable=True),
        sa.Column("usage_source", sa.String(length=40), server_default="none", nullable=False),
        sa.Column("usage_raw", sa.Text(), nullable=True),
        sa.Column("cost_nano", BIG, nullable=True),
        sa.Column("price_source", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_requests"),
    )
    op.create_index("ix_requests_account_id_id", "requests", ["account_id", "id"], unique=False)
    op.create_index("ix_requests_key_id_id", "requests", ["key_id", "id"], unique=False)
    op.create_index("ix_requests_model_id", "requests", ["model", "id"], unique=False)
    op.create_index(
        "ix_requests_open",
        "requests",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index("ix_requests_started_at", "requests", ["started_at"], unique=False)
    op.create_table(
        "settings",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_settings"),
    )
    op.create_table(
        "cooldowns",
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("until_at", BIG, server_default="0", nullable=False),
        sa.Column("source", sa.String(length=40), server_default="guessed", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("step", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", BIG, server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_cooldowns_account_id_accounts", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account_id", "scope", name="pk_cooldowns"),
    )
    meta = sa.table("meta", sa.column("name", sa.Text()), sa.column("value", sa.Text()))
    op.bulk_insert(meta, [{"name": "config_version", "value": "0"}])


def downgrade() -> None:
    for table in ("cooldowns", "requests", "jobs", "processes", "chains", "aliases", "settings", "client_keys", "accounts", "meta"):
        op.drop_table(table)
