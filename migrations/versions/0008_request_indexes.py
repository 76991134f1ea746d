"""Indexes for the filters of the request log: a page is found without reading the whole table."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Name → columns, and which rows are in it.
INDEXES = {
    "ix_requests_wire_id": (["wire", "id"], None),
    "ix_requests_model_requested_id": (["model_requested", "id"], None),
    "ix_requests_provider_id": (["provider", "id"], "provider IS NOT NULL"),
    "ix_requests_flag_id": (["flag", "id"], "flag IS NOT NULL"),
    "ix_requests_error_status_id": (["http_status", "id"], "http_status >= 400"),
    "ix_requests_failed": (["id"], "outcome IN ('failed', 'cut')"),
}


def upgrade() -> None:
    for name, (columns, where) in INDEXES.items():
        rows = None if where is None else sa.text(where)
        op.create_index(name, "requests", columns, unique=False, sqlite_where=rows, postgresql_where=rows)


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "requests")
