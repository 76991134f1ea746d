"""Hourly sums of usage, made from the rows that are there; where the rows of the past are still complete is told from here on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SUMS = ("requests", "failed", "input", "cache_read", "cache_write", "output", "reasoning", "cost_nano", "unpriced")

FILL = """
INSERT INTO usage_hours (hour, key_id, account_id, provider, model, client, key_name, account_label,
    requests, failed, input, cache_read, cache_write, output, reasoning, cost_nano, unpriced)
SELECT started_at / 3600000, coalesce(key_id, ''), coalesce(account_id, ''), coalesce(provider, ''),
    coalesce(model, model_requested), client,
    coalesce(max(key_name), ''), coalesce(max(account_label), ''),
    count(*), sum(CASE WHEN outcome IN ('failed', 'cut') THEN 1 ELSE 0 END),
    coalesce(sum(input), 0), coalesce(sum(cache_read), 0), coalesce(sum(cache_write), 0), coalesce(sum(output), 0),
    coalesce(sum(reasoning), 0), coalesce(sum(cost_nano), 0),
    sum(CASE WHEN cost_nano IS NULL AND (input > 0 OR output > 0) THEN 1 ELSE 0 END)
FROM requests WHERE state = 'settled' GROUP BY 1, 2, 3, 4, 5, 6
"""


def upgrade() -> None:
    op.create_table(
        "usage_hours",
        sa.Column("hour", Big, nullable=False),
        sa.Column("key_id", sa.String(40), nullable=False),
        sa.Column("account_id", sa.String(40), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("provider", "model", "client")),
        *(sa.Column(name, sa.Text(), nullable=False, server_default="") for name in ("key_name", "account_label")),
        *(sa.Column(name, Big, nullable=False, server_default="0") for name in SUMS),
        sa.PrimaryKeyConstraint("hour", "key_id", "account_id", "provider", "model", "client", name="pk_usage_hours"),
        sqlite_with_rowid=False,
    )
    op.execute(FILL)


def downgrade() -> None:
    op.drop_table("usage_hours")
